namespace Loci.Reporting;

/// <summary>One curve of a chart.</summary>
public sealed record ChartSeries
{
    /// <summary>Describes a curve.</summary>
    /// <param name="name">Its name in the legend.</param>
    /// <param name="x">Its abscissas, ascending.</param>
    /// <param name="y">Its ordinates, as many; a NaN or an infinity leaves a gap.</param>
    /// <exception cref="ArgumentException">The lists differ in length.</exception>
    public ChartSeries(string name, IReadOnlyList<double> x, IReadOnlyList<double> y)
    {
        ArgumentException.ThrowIfNullOrEmpty(name);
        ArgumentNullException.ThrowIfNull(x);
        ArgumentNullException.ThrowIfNull(y);
        if (x.Count != y.Count)
        {
            throw new ArgumentException($"Series '{name}' has {x.Count} abscissas and {y.Count} ordinates.", nameof(y));
        }

        Name = name;
        X = x;
        Y = y;
    }

    /// <summary>Its name in the legend.</summary>
    public string Name { get; }

    /// <summary>Its abscissas, ascending.</summary>
    public IReadOnlyList<double> X { get; }

    /// <summary>Its ordinates.</summary>
    public IReadOnlyList<double> Y { get; }

    /// <summary>
    /// Half-life, in points, of an exponential moving average that is drawn as the curve, with the values themselves faint behind it; 0 draws the
    /// values as they are.
    /// </summary>
    public double SmoothingHalfLife
    {
        get;
        init
        {
            if (!double.IsFinite(value) || value < 0)
            {
                throw new ArgumentOutOfRangeException(nameof(value), value, "The half-life must be finite and not negative.");
            }

            field = value;
        }
    }

    /// <summary>The exponential moving average, free of bias towards its start; non-finite values are passed over and stay gaps.</summary>
    internal static double[] Smooth(IReadOnlyList<double> values, double halfLife)
    {
        double[] smooth = new double[values.Count];
        double keep = Math.Pow(0.5, 1 / halfLife);
        double sum = 0;
        double weight = 0;
        for (int i = 0; i < smooth.Length; i++)
        {
            if (!double.IsFinite(values[i]))
            {
                smooth[i] = double.NaN;
                continue;
            }

            sum = (keep * sum) + ((1 - keep) * values[i]);
            weight = (keep * weight) + (1 - keep);
            smooth[i] = sum / weight;
        }

        return smooth;
    }
}
