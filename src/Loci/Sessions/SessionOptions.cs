using Loci.Memory.Aggregations;
using Loci.Memory.Store;
using Loci.Numerics;

namespace Loci.Sessions;

/// <summary>How a session keeps its memory.</summary>
public sealed record SessionOptions
{
    /// <summary>How cached states (checkpoints) are stored. Fewer bits save memory and cost a little accuracy; logarithmic segments are few and always stored as they are.</summary>
    public StateFormat Checkpoints { get; init; }

    /// <summary>
    /// Whether the session keeps what it takes to go back to the ends of segments: the last inputs of the convolutions, and the momentum of memories that carry it on. Without,
    /// <see cref="Session.Rewind"/> reads everything again from the start.
    /// </summary>
    public bool KeepsReturns { get; init; } = true;

    /// <summary>A cache for a model that was trained without one.</summary>
    public AfterTrainingCache? AfterTraining { get; init; }

    /// <summary>
    /// Past segments that a token reads at most: a model trained with GRM (equation 9) is read as by SSC (equations 16 and 17), which keeps many segments from drowning the one that matters where
    /// texts are longer than those trained on, and one trained with SSC with another k. Null reads as the model was trained. Such sessions are not kept in files.
    /// </summary>
    public int? ReadTopK { get; init; }

    /// <summary>
    /// Bytes of memory that the session may take; null for no limit. Where the cache would exceed it, sparse selective caching and Residual leave cached states in the session's file, from
    /// which they are mapped, and the other forms, which read every state for every token, stop with an error.
    /// </summary>
    public long? MemoryBudget { get; init; }
}
