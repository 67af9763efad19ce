using System.Text.Json.Serialization;
using Loci.Memory.Rules;
using Loci.Memory.Rules.Deep;

namespace Loci.Memory;

/// <summary>One token mixer: a memory and its cache, or softmax attention.</summary>
public sealed record MixerConfiguration
{
    /// <summary>Name of the memory rule in <see cref="MemoryRules"/>, or <c>attention</c>.</summary>
    public string Memory { get; init; } = "gated-linear";

    /// <summary>The cache; ignored by attention.</summary>
    public CacheConfiguration Cache { get; init; } = new();

    /// <summary>The network of a deep memory; other memories ignore it.</summary>
    public DeepMemoryConfiguration Deep { get; init; } = new();

    /// <summary>
    /// Tokens that the chunked form writes at once. To deep memories it is part of the model: all inner gradients of a chunk are taken at
    /// the weights that it starts with.
    /// </summary>
    public int ChunkLength { get; init; } = 64;

    /// <summary>Whether this is softmax attention.</summary>
    [JsonIgnore]
    public bool IsAttention => Memory == "attention";
}
