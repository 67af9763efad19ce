using System.Text.Json.Serialization;

namespace Loci.Models;

/// <summary>What the blocks of a language model are made of.</summary>
public enum ModelArchitecture
{
    /// <summary>RMSNorm, a configurable mixer, SwiGLU: the models that Loci trains (docs/method.md, section 7).</summary>
    [JsonStringEnumMemberName("llama")]
    Llama,

    /// <summary>RWKV-5.1: one decay per head, and no output gate; read from its checkpoints, not trained.</summary>
    [JsonStringEnumMemberName("rwkv-5.1")]
    Rwkv51,

    /// <summary>RWKV-5.2 (Peng et al., arXiv 2404.05892); read from its checkpoints, not trained.</summary>
    [JsonStringEnumMemberName("rwkv-5.2")]
    Rwkv52,

    /// <summary>RWKV-7 (Peng et al., arXiv 2503.14456); read from its checkpoints, not trained.</summary>
    [JsonStringEnumMemberName("rwkv-7")]
    Rwkv7,
}

/// <summary>Columns of the bottlenecks of RWKV-7, each at least 1.</summary>
/// <param name="Decay">Of the decay.</param>
/// <param name="Rate">Of the in-context learning rate.</param>
/// <param name="FirstValue">Of the part of a value that is taken from the first block.</param>
/// <param name="Gate">Of the output gate.</param>
public sealed record RwkvRanks(int Decay, int Rate, int FirstValue, int Gate);
