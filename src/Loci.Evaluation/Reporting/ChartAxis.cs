using System.Globalization;

namespace Loci.Evaluation.Reporting;

/// <summary>Maps values to 0..1 along an axis and chooses where its ticks go.</summary>
internal sealed class ChartAxis
{
    private readonly double _from; // on the scale that is linear along the axis
    private readonly double _to;

    private ChartAxis(bool logarithmic, double from, double to, IReadOnlyList<double> ticks, IReadOnlyList<string> labels)
    {
        Logarithmic = logarithmic;
        _from = from;
        _to = to;
        Ticks = ticks;
        Labels = labels;
    }

    public bool Logarithmic { get; }

    public IReadOnlyList<double> Ticks { get; }

    public IReadOnlyList<string> Labels { get; }

    /// <summary>An axis over a range of values.</summary>
    /// <param name="minimum">The least value; above 0 if logarithmic.</param>
    /// <param name="maximum">The greatest value, not below the least.</param>
    /// <param name="logarithmic">Whether equal ratios get equal lengths.</param>
    /// <param name="ticks">About how many ticks there is room for.</param>
    /// <param name="margin">The part of the range to leave free at both ends.</param>
    public static ChartAxis Create(double minimum, double maximum, bool logarithmic, int ticks, double margin)
    {
        double from = logarithmic ? Math.Log10(minimum) : minimum;
        double to = logarithmic ? Math.Log10(maximum) : maximum;
        double least = logarithmic ? 0.1 : Math.Max(Math.Abs(from), Math.Abs(to)) * 1e-9;
        if (to - from <= least)
        {
            double half = logarithmic ? 0.15 : Math.Max(Math.Abs(from) * 0.05, double.IsNormal(from) ? 1e-300 : 0.5);
            (from, to) = (from - half, to + half);
        }

        double extra = (to - from) * margin;
        (from, to) = (from - extra, to + extra);
        double[] values = logarithmic ? LogarithmicTicks(from, to, ticks) : LinearTicks(from, to, ticks);
        return new ChartAxis(logarithmic, from, to, values, Label(values, uniform: !logarithmic));
    }

    /// <summary>Whether a scale can show a value: finite, positive if logarithmic, and not so extreme that arithmetic on the range overflows.</summary>
    public static bool CanShow(double value, bool logarithmic) => Math.Abs(value) <= 1e300 && (!logarithmic || value >= 1e-300);

    /// <summary>The place of a value along the axis.</summary>
    /// <param name="value">A value that <see cref="CanShow"/> accepts.</param>
    public double Place(double value) => ((Logarithmic ? Math.Log10(value) : value) - _from) / (_to - _from);

    private static double[] LinearTicks(double from, double to, int count)
    {
        double rough = (to - from) / count;
        double power = Math.Pow(10, Math.Floor(Math.Log10(rough)));
        double step = (rough / power) switch
        {
            < 1.5 => power,
            < 3.5 => 2 * power,
            < 7.5 => 5 * power,
            _ => 10 * power,
        };
        List<double> ticks = [];
        double tolerance = step * 1e-9;
        for (double index = Math.Ceiling((from - tolerance) / step) + 0.0; index * step <= to + tolerance && ticks.Count <= 4 * count; index++)
        {
            // Through decimal text, so that 3 * 0.1 becomes 0.3.
            ticks.Add(double.Parse((index * step).ToString("G12", CultureInfo.InvariantCulture), CultureInfo.InvariantCulture));
        }

        return [.. ticks];
    }

    private static double[] LogarithmicTicks(double from, double to, int count)
    {
        int first = (int)Math.Ceiling(from - 1e-9);
        int last = (int)Math.Floor(to + 1e-9);
        int decades = last - first + 1;
        if (to - from < 1)
        {
            return [.. LinearTicks(Math.Pow(10, from), Math.Pow(10, to), count).Where(tick => tick > 0)];
        }

        int every = Math.Max(1, (decades + count - 1) / count);
        double[] multiples = every > 1 || decades * 3 > 2 * count ? [1] : [1, 2, 5];
        List<double> ticks = [];
        for (int power = first - 1; power <= last; power++)
        {
            foreach (double multiple in multiples)
            {
                double tick = multiple * Math.Pow(10, power);
                double place = Math.Log10(tick);
                if (place >= from - 1e-9 && place <= to + 1e-9 && (power - first) % every == 0)
                {
                    ticks.Add(tick);
                }
            }
        }

        return [.. ticks];
    }

    private static string[] Label(double[] ticks, bool uniform)
    {
        double greatest = ticks.Length == 0 ? 0 : ticks.Max(Math.Abs);
        if (greatest is >= 1e15 or (> 0 and < 1e-4))
        {
            return [.. ticks.Select(tick => tick == 0 ? "0" : Minus(tick.ToString("0.##e0", CultureInfo.InvariantCulture)))];
        }

        if (greatest < 10_000)
        {
            string[] labels = [.. ticks.Select(Plain)];
            int decimals = uniform && labels.Length > 0 ? labels.Max(label => label.Contains('.') ? label.Length - label.IndexOf('.') - 1 : 0) : 0;
            return decimals == 0 ? labels : [.. ticks.Select(tick => tick == 0 ? "0" : Minus(tick.ToString("F" + decimals, CultureInfo.InvariantCulture)))];
        }

        return [.. ticks.Select(tick => Math.Abs(tick) switch
        {
            >= 1e12 => Plain(tick / 1e12) + "T",
            >= 1e9 => Plain(tick / 1e9) + "G",
            >= 1e6 => Plain(tick / 1e6) + "M",
            >= 1e3 => Plain(tick / 1e3) + "k",
            _ => Plain(tick),
        })];
    }

    private static string Plain(double value) => Minus(value.ToString("0.##########", CultureInfo.InvariantCulture));

    private static string Minus(string number) => number.Replace('-', '\u2212');
}
