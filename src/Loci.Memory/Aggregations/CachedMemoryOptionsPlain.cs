namespace Loci.Reference;

/// <summary>What state a segment starts from (method.md section 3).</summary>
public enum SegmentStart
{
    /// <summary>The state at the end of the segment before: M_0^(s) = M^(s-1).</summary>
    Checkpoint,

    /// <summary>The memory's initial state.</summary>
    Independent,
}

/// <summary>How the cached memories and the online memory are read together (method.md section 4).</summary>
public enum Aggregation
{
    /// <summary>The online memory only.</summary>
    None,

    /// <summary>Equation 7.</summary>
    Residual,

    /// <summary>Gated residual memory, equation 9.</summary>
    GatedResidual,

    /// <summary>Equation 15.</summary>
    MemorySoup,

    /// <summary>Sparse selective caching, equations 16 and 17.</summary>
    SparseSelective,
}

/// <summary>How a segment is described by its keys.</summary>
public enum SegmentDescription
{
    /// <summary>Mean of the L2-normalised keys times sqrt(count).</summary>
    NormalizedMean,

    /// <summary>Sum of the keys.</summary>
    Sum,

    /// <summary>Mean of the keys.</summary>
    Mean,
}

/// <summary>The options of one layer of cached memories.</summary>
/// <param name="Segmentation">How sequences are cut.</param>
/// <param name="Start">What a segment starts from.</param>
/// <param name="Aggregation">How memories are read together.</param>
public sealed record CachedMemoryOptions(Segmentation Segmentation, SegmentStart Start, Aggregation Aggregation)
{
    /// <summary>
    /// What segments are described by instead of the memory's keys, [rows, heads dk], taken as they are; null = the keys.
    /// </summary>
    public Real[,]? RouterKeys { get; init; }

    public SegmentDescription Description { get; init; } = SegmentDescription.NormalizedMean;

    /// <summary>For <see cref="SegmentDescription.NormalizedMean"/>: false takes the keys as already normalised.</summary>
    public bool NormalizeKeys { get; init; } = true;

    /// <summary>Added to the sum of squares where the router normalises keys.</summary>
    public double NormalizationEpsilon { get; init; }

    /// <summary>Scores summed over the heads before the softmax: every head has the same gates.</summary>
    public bool SharedGates { get; init; }

    /// <summary>Added to the online segment's logit (once, after the sum over heads where gates are shared).</summary>
    public Real OnlineBias { get; init; }

    /// <summary>How many past segments sparse selective caching reads (fewer where there are fewer).</summary>
    public int SelectedSegments { get; init; } = 4;
}
