using Loci.Memory.Routing;

namespace Loci.Evaluation.Tasks.Ruler;

/// <summary>A mean over examples.</summary>
/// <param name="Count">Number of examples.</param>
/// <param name="Value">Their mean; NaN of none.</param>
/// <param name="StandardError">Its standard error; NaN of fewer than two.</param>
public sealed record RoutingMean(int Count, double Value, double StandardError)
{
    internal static RoutingMean Of(IEnumerable<double> values)
    {
        double[] all = [.. values];
        if (all.Length == 0)
        {
            return new RoutingMean(0, double.NaN, double.NaN);
        }

        var mean = all.Average();
        var error = all.Length < 2 ? double.NaN : Math.Sqrt(all.Sum(value => (value - mean) * (value - mean)) / (all.Length - 1) / all.Length);
        return new RoutingMean(all.Length, mean, error);
    }
}

/// <summary>How the needles' segments were read.</summary>
/// <param name="Layer">Number of the block; null for all.</param>
/// <param name="Head">Number of the head; null for all.</param>
/// <param name="HitRate">How often a segment that was chosen holds part of the needle, from 0 to 1; null but for sparse selective caching, as all others read every segment.</param>
/// <param name="Chance">The hit rate of segments chosen at random; null where there is no hit rate.</param>
/// <param name="GateMass">The sum of the gates of the segments that hold part of the needle, from 0 to 1.</param>
/// <param name="GateRatio">That sum in units of what it were if all segments and the online memory had the same gate.</param>
public sealed record RoutingUse(int? Layer, int? Head, RoutingMean? HitRate, double? Chance, RoutingMean GateMass, RoutingMean GateRatio);

/// <summary>How well answers were predicted.</summary>
/// <param name="Accuracy">Part of the examples in which every token of the answer is the most likely one.</param>
/// <param name="Loss">Nats per token of the answer, averaged over the examples.</param>
public sealed record RoutingAnswers(RoutingMean Accuracy, RoutingMean Loss);

/// <summary>The measurement of some examples.</summary>
/// <param name="Length">Their length; null for all.</param>
/// <param name="Depth">Their depth; null for all.</param>
/// <param name="Examples">How many they are, without those in the online segment.</param>
/// <param name="InOnlineSegment">Further examples whose needles lie in the online segment of every block, which no router need find; nothing else counts them.</param>
/// <param name="All">The reads of all blocks and heads.</param>
/// <param name="Heads">Those of each block, and of each of its heads.</param>
/// <param name="Router">Answers with the model's own router.</param>
/// <param name="Oracle">Answers where, from the last token of the prompt on, only the needles' segments are read beside the online memory.</param>
/// <param name="Online">Answers where, from there on, no cached segment is read.</param>
public sealed record RoutingSlice(
    int? Length, double? Depth, int Examples, int InOnlineSegment, RoutingUse All, IReadOnlyList<RoutingUse> Heads, RoutingAnswers Router, RoutingAnswers Oracle, RoutingAnswers Online);

/// <summary>Where a model's routers look for needles; see <see cref="RoutingMeasurement"/>.</summary>
/// <param name="All">All examples.</param>
/// <param name="Lengths">Those of each length.</param>
/// <param name="Depths">Those of each depth.</param>
/// <param name="Cells">Those of each length and depth.</param>
public sealed record RoutingResult(RoutingSlice All, IReadOnlyList<RoutingSlice> Lengths, IReadOnlyList<RoutingSlice> Depths, IReadOnlyList<RoutingSlice> Cells);
