using Loci.Evaluation;
using Loci.Training;

namespace Loci.Cli.Demo;

/// <summary>The two models side by side on held-out text, and what may be said about the difference.</summary>
internal sealed record DemoComparison
{
    private DemoComparison(DemoMeasurement plain, DemoMeasurement cached)
    {
        Base = plain;
        Cached = cached;
        // Both models read the same windows, so the noise that counts is that of their differences, which is far smaller than that of either:
        // the standard error of a ratio of sums, of bits to bytes.
        var count = plain.Windows.Count;
        long bytes = plain.Windows.Sum(window => window.Bytes);
        double[] differences = [.. plain.Windows.Zip(cached.Windows, (a, b) => b.Bits - a.Bits)];
        var mean = differences.Sum() / bytes;
        var squares = differences.Zip(plain.Windows, (difference, window) => Math.Pow(difference - (mean * window.Bytes), 2)).Sum();
        StandardError = count > 1 && bytes > 0 ? Math.Sqrt(squares * count / (count - 1)) / bytes : double.NaN;
    }

    /// <summary>The model without a cache.</summary>
    public DemoMeasurement Base { get; }

    /// <summary>The model with one.</summary>
    public DemoMeasurement Cached { get; }

    /// <summary>Bits per byte of the cached model less those of the base: negative where the cache helps.</summary>
    public double Difference => BitsPerByte(Cached.Held) - BitsPerByte(Base.Held);

    /// <summary>The standard error of the difference over the windows of held-out text; NaN where there is but one.</summary>
    public double StandardError { get; }

    /// <summary>Whether the difference is so small that other held-out text could turn it round: less than twice its standard error.</summary>
    public bool IsNoise => !(Math.Abs(Difference) > 2 * StandardError);

    /// <summary>Compares two measurements on the same text.</summary>
    public static DemoComparison Of(DemoMeasurement plain, DemoMeasurement cached) => new(plain, cached);

    /// <summary>The loss of a text in bits per byte.</summary>
    public static double BitsPerByte(PerplexityResult result) => result.BitsPerByte ?? double.NaN;

    /// <summary>A difference as a part of the base's loss.</summary>
    public static string Percent(double plain, double cached) => FormattableString.Invariant($"{100 * (cached - plain) / plain:+0.0;-0.0;0.0} %");

    /// <summary>The rows of the comparison by position, each twice as long as the one before, and the whole.</summary>
    public IReadOnlyList<(string Positions, double Base, double Cached)> Rows()
    {
        List<(string, double, double)> rows = [];
        var plain = Base.Held.Positions;
        var cached = Cached.Held.Positions;
        for (int from = 0, to = 1; from < plain.Count; (from, to) = (to, 2 * to))
        {
            var range = from..Math.Min(to, plain.Count);
            rows.Add((FormattableString.Invariant($"{plain[from].From:#,0} to {plain[range.End.Value - 1].To:#,0}"), Pool(plain.Take(range)), Pool(cached.Take(range))));
        }

        rows.Add(("all", BitsPerByte(Base.Held), BitsPerByte(Cached.Held)));
        return rows;
    }

    /// <summary>What the numbers say, in sentences.</summary>
    public IReadOnlyList<string> Verdict()
    {
        var numbers = FormattableString.Invariant($"{Math.Abs(Difference):0.0000} bits per byte ({100 * Math.Abs(Difference) / BitsPerByte(Base.Held):0.0} %)");
        if (double.IsNaN(StandardError))
        {
            return [$"They differ by {numbers}, on too little held-out text to say which is better."];
        }

        var spread = FormattableString.Invariant($"±{2 * StandardError:0.0000} over {Base.Windows.Count} held-out windows.");
        return IsNoise
            ? [$"They differ by {numbers}, {spread}", "± is two standard errors, so that is within the noise: this run does not show which is better."]
            : [$"The growing memory {(Difference < 0 ? "saves" : "costs")} {numbers}, {spread}", "± is two standard errors of the text; another --seed moves both models too, so try a few."];
    }

    private static double Pool(IEnumerable<PositionLoss> positions)
    {
        double bits = 0;
        double bytes = 0;
        foreach (var position in positions)
        {
            if (position.BitsPerByte is { } rate && rate > 0)
            {
                var sum = position.Loss * position.Tokens / Math.Log(2);
                bits += sum;
                bytes += sum / rate;
            }
        }

        return bits / bytes;
    }
}
