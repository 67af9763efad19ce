using System.Text.Json.Serialization;
using Loci.Memory.Segments;
using Loci.Numerics;

namespace Loci.Memory.Aggregations;

/// <summary>
/// A cache for memories that were trained without one. Nothing of it is learned: gates come from queries and keys as they are, at a fixed
/// temperature and with a fixed bias.
/// </summary>
public sealed record AfterTrainingCache
{
    private const int MostSegmentsRead = 1 << 16;

    private readonly string _read = "mean";

    /// <summary>How cached states are read: the name of one of <see cref="AggregationRegistry.AfterTraining"/>.</summary>
    public string Read
    {
        get => _read;

        // Two names that earlier versions wrote into session files.
        init => _read = value switch
        {
            "gated-residual" => "grm",
            "sparse" => "ssc",
            _ => value,
        };
    }

    /// <summary>Tokens per segment: the length that the model was trained at.</summary>
    public int SegmentLength { get; init; } = 1024;

    /// <summary>
    /// What a segment starts from. The model has only ever seen memories that go on, or start anew, at its training length.
    /// </summary>
    public SegmentStart Start { get; init; } = SegmentStart.Checkpoint;

    /// <summary>rho of the exponential mean, above 0 and below 1.</summary>
    public float Rho { get; init; } = 0.5f;

    /// <summary>
    /// Gated forms: added to the online state's logit. 0 is the paper's gate; the larger it is, the more the model stays as it was.
    /// </summary>
    public float OnlineBias { get; init; }

    /// <summary>Gated forms: tau, what scores are multiplied by.</summary>
    public float Temperature { get; init; } = 1;

    /// <summary>Sparse form: past segments read per token.</summary>
    public int TopK { get; init; } = 4;

    /// <summary>How cached states are read.</summary>
    /// <exception cref="LociException">There is no such read.</exception>
    [JsonIgnore]
    public Aggregation Aggregation => AggregationRegistry.FindAfterTraining(Read);

    /// <summary>Checks that the settings make sense.</summary>
    /// <returns>This cache.</returns>
    /// <exception cref="LociException">They do not.</exception>
    public AfterTrainingCache Validate()
    {
        _ = Aggregation;
        Require(Enum.IsDefined(Start), $"There is no start of segments number {(int)Start}: use checkpoint or independent.");
        Require(SegmentLength >= 1, $"A segment of {SegmentLength} tokens is too short: use at least 1.");
        Require(Rho is > 0 and < 1, $"A rho of {Rho} is out of range: use a number above 0 and below 1, such as 0.5.");
        Require(float.IsFinite(OnlineBias), $"The online bias is {OnlineBias}: use a finite number.");
        Require(float.IsFinite(Temperature), $"The temperature of the gates is {Temperature}: use a finite number.");
        Require(TopK is >= 1 and <= MostSegmentsRead, $"Sparse selective caching reads {TopK} past segments: use 1 to {MostSegmentsRead}.");
        return this;

        static void Require(bool condition, string message)
        {
            if (!condition)
            {
                throw new LociException(message);
            }
        }
    }

    internal CacheReader CreateReader(Device device, int heads, bool readsLinearly) =>
        ((IReadsAfterTraining)Validate().Aggregation).CreateReader(device, heads, readsLinearly, this);
}
