using System.Globalization;

namespace Loci.Evaluation;

/// <summary>Values of slices as numbers.</summary>
internal static class SliceNumbers
{
    /// <summary>A value as a number, a range such as <c>16-31</c> as its beginning; NaN where it is neither.</summary>
    public static double Parse(string text)
    {
        var from = text.Split('-') is [{ Length: > 0 } first, { Length: > 0 } last] && double.TryParse(last, NumberStyles.AllowDecimalPoint, CultureInfo.InvariantCulture, out _) ? first : text;
        return double.TryParse(from, NumberStyles.Float, CultureInfo.InvariantCulture, out var number) && double.IsFinite(number) ? number : double.NaN;
    }

    /// <summary>Values as numbers; null where one is none, or there are fewer than two.</summary>
    public static double[]? Parse(IReadOnlyList<string> values)
    {
        double[] numbers = [.. values.Select(Parse)];
        return numbers.Length > 1 && !numbers.Any(double.IsNaN) ? numbers : null;
    }
}
