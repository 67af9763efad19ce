using Loci.Memory.Aggregations;
using Loci.Memory.Routing;
using Loci.Memory.Segments;

namespace Loci.Memory;

/// <summary>Segments and how their states are read.</summary>
public sealed record CacheConfiguration
{
    /// <summary>How cached states are read: the name of one of <see cref="AggregationRegistry.Trained"/>.</summary>
    public string Aggregation { get; init; } = "none";

    /// <summary>Constant or logarithmic segments.</summary>
    public SegmentKind Segments { get; init; } = SegmentKind.Constant;

    /// <summary>Tokens per constant segment; ignored by logarithmic ones, whose block is the chunk.</summary>
    public int SegmentLength { get; init; } = 256;

    /// <summary>What a segment's memory starts from; null takes the memory rule's default.</summary>
    public SegmentStart? Start { get; init; }

    /// <summary>Past segments that sparse selective caching reads per token.</summary>
    public int TopK { get; init; } = 4;

    /// <summary>Whether cached states are constants to the backward pass; by default gradients reach whatever wrote them.</summary>
    public bool DetachStates { get; init; }

    /// <summary>The router of the gated aggregations.</summary>
    public RouterConfiguration Router { get; init; } = new();
}
