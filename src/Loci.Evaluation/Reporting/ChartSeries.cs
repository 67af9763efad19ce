namespace Loci.Evaluation.Reporting;

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
    /// Half-life, in points, of a two-sided exponential average that is drawn as the curve, with the values themselves faint behind it; 0 draws
    /// the values as they are.
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

    /// <summary>The average with weights that halve every half-life to both sides, so that it does not lag; non-finite values stay gaps.</summary>
    internal static double[] Smooth(IReadOnlyList<double> values, double halfLife)
    {
        double[] sums = new double[values.Count];
        double[] weights = new double[values.Count];
        double keep = Math.Pow(0.5, 1 / halfLife);
        double sum = 0;
        double weight = 0;
        for (int i = 0; i < sums.Length; i++)
        {
            Take(i);
            (sums[i], weights[i]) = (sum, weight);
        }

        (sum, weight) = (0, 0);
        for (int i = sums.Length - 1; i >= 0; i--)
        {
            // Before this value is taken: it is in the sum from the left already.
            sums[i] = double.IsFinite(values[i]) ? (sums[i] + (keep * sum)) / (weights[i] + (keep * weight)) : double.NaN;
            Take(i);
        }

        return sums;

        void Take(int i)
        {
            bool finite = double.IsFinite(values[i]);
            sum = (keep * sum) + (finite ? values[i] : 0);
            weight = (keep * weight) + (finite ? 1 : 0);
        }
    }
}
