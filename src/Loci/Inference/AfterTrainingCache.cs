using System.Text.Json.Serialization;
using Loci.Caching;
using Loci.Models;
using Loci.Numerics;
using Loci.Numerics.Operations;

namespace Loci.Inference;

/// <summary>How cached states of a memory that was trained without a cache are read (section 4.3 of arXiv 2602.24281, which leaves open what is averaged).</summary>
public enum AfterTrainingRead
{
    /// <summary>The mean of all cached states and the online one, in the space of their weights.</summary>
    [JsonStringEnumMemberName("mean")]
    Mean,

    /// <summary>The exponential mean: each newer state weighs 1 - rho, the older ones rho together. One state is kept, whatever the length.</summary>
    [JsonStringEnumMemberName("ema")]
    ExponentialMean,

    /// <summary>The mean of what the states say: every state is read. For matrix memories the same as <see cref="Mean"/>.</summary>
    [JsonStringEnumMemberName("output-mean")]
    OutputMean,

    /// <summary>The sum of what the states say (Residual, equation 7).</summary>
    [JsonStringEnumMemberName("residual")]
    Residual,

    /// <summary>Gated residual memory (equation 9), routed by the query.</summary>
    [JsonStringEnumMemberName("gated-residual")]
    GatedResidual,

    /// <summary>Memory soup (equation 15), routed by the query.</summary>
    [JsonStringEnumMemberName("soup")]
    MemorySoup,

    /// <summary>Sparse selective caching (equations 16 and 17), routed by the query.</summary>
    [JsonStringEnumMemberName("sparse")]
    SparseSelective,
}

/// <summary>A cache for memories that were trained without one. Nothing of it is learned: gates come from queries and keys as they are, at a fixed temperature and with a fixed bias.</summary>
public sealed record AfterTrainingCache
{
    private const int MostSegmentsRead = 1 << 16;

    /// <summary>How cached states are read.</summary>
    public AfterTrainingRead Read { get; init; } = AfterTrainingRead.Mean;

    /// <summary>Tokens per segment: the length that the model was trained at.</summary>
    public int SegmentLength { get; init; } = 1024;

    /// <summary>What a segment starts from. The model has only ever seen memories that go on, or start anew, at its training length.</summary>
    public SegmentStart Start { get; init; } = SegmentStart.Checkpoint;

    /// <summary>rho of the exponential mean, above 0 and below 1.</summary>
    public float Rho { get; init; } = 0.5f;

    /// <summary>Gated forms: added to the online state's logit. 0 is the paper's gate; the larger it is, the more the model stays as it was.</summary>
    public float OnlineBias { get; init; }

    /// <summary>Gated forms: tau, what scores are multiplied by.</summary>
    public float Temperature { get; init; } = 1;

    /// <summary>Sparse form: past segments read per token.</summary>
    public int TopK { get; init; } = 4;

    /// <summary>Checks that the numbers make sense.</summary>
    /// <returns>This cache.</returns>
    /// <exception cref="LociException">They do not.</exception>
    public AfterTrainingCache Validate()
    {
        Require(
            Enum.IsDefined(Read),
            $"There is no way number {(int)Read} to read cached states: "
            + "use mean, ema, output-mean, residual, gated-residual, soup or sparse.");
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

    internal CacheReader CreateReader(Device device, int heads, bool isDeep)
    {
        _ = Validate();
        return Read switch
        {
            AfterTrainingRead.Residual => new ResidualMemory(heads, false),
            AfterTrainingRead.Mean => new AveragedStates(Router(0, 0, null), null),
            AfterTrainingRead.ExponentialMean => new AveragedStates(Router(0, 0, null), Rho),
            AfterTrainingRead.OutputMean => isDeep ? new GatedResidualMemory(Router(0, 0, null)) : new AveragedStates(Router(0, 0, null), null),
            AfterTrainingRead.MemorySoup => new MemorySoup(Router(0, Temperature, OnlineBias)),
            AfterTrainingRead.SparseSelective => new SparseSelectiveCaching(Router(TopK, Temperature, OnlineBias)),
            _ => new GatedResidualMemory(Router(0, Temperature, OnlineBias)),
        };

        Router Router(int topK, float temperature, float? bias) =>
            new(device, "after_training.", heads, new CacheConfiguration { Router = new() { InitialTemperature = temperature, OnlineBias = bias } }, topK, new Initializer(0, 1));
    }
}
