namespace Loci.Benchmarks;

/// <summary>Statistics of repeated measurements.</summary>
internal static class Samples
{
    public static double Median(this IReadOnlyCollection<double> values) => values.Order().ElementAt(values.Count / 2);
}
