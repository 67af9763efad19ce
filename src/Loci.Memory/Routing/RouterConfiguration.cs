using System.Text.Json.Serialization;

namespace Loci.Memory.Routing;

/// <summary>What asks the router.</summary>
public enum RouterQuery
{
    /// <summary>u = x W_u.</summary>
    [JsonStringEnumMemberName("projected")]
    Projected,

    /// <summary>u = q: no weights of its own.</summary>
    [JsonStringEnumMemberName("query")]
    Query,
}

/// <summary>What of its tokens describes a segment to the router.</summary>
public enum RouterKeys
{
    /// <summary>The memory's keys, as the paper has it.</summary>
    [JsonStringEnumMemberName("memory")]
    Memory,

    /// <summary>
    /// r = x W_r, keys of the router's own that are not normalised: it learns what of a segment is worth finding, and tokens with small
    /// ones do not drown the others.
    /// </summary>
    [JsonStringEnumMemberName("projected")]
    Projected,

    /// <summary>
    /// One learned vector for all tokens, turned by their positions as u is (rotary): gates depend on the token that reads and on distance,
    /// not on what a segment holds. An ablation.
    /// </summary>
    [JsonStringEnumMemberName("position")]
    Position,
}

/// <summary>The router of the gated aggregations (docs/method.md, section 4).</summary>
public sealed record RouterConfiguration
{
    /// <summary>How a segment is described by its keys.</summary>
    public RouterKey Key { get; init; } = RouterKey.NormalizedMean;

    /// <summary>What of its tokens describes a segment; left out of the file where it is <c>memory</c>.</summary>
    [JsonIgnore(Condition = JsonIgnoreCondition.WhenWritingDefault)]
    public RouterKeys Keys { get; init; }

    /// <summary>What asks.</summary>
    public RouterQuery Query { get; init; } = RouterQuery.Projected;

    /// <summary>Whether all heads share one softmax over the sum of their scores.</summary>
    public bool SharedGates { get; init; }

    /// <summary>What the learned temperature tau of every head starts from.</summary>
    public float InitialTemperature { get; init; } = 1;

    /// <summary>
    /// Adds a learned bias to the online segment's logit that starts from this; none where null. A large one starts as the base model.
    /// </summary>
    public float? OnlineBias { get; init; }
}
