using System.Text.Json.Serialization;

namespace Loci.Memory.Routing;

/// <summary>How a segment is described to the router by its keys.</summary>
public enum RouterKey
{
    /// <summary>Mean of the keys (normalised by the mixer) times the square root of their number.</summary>
    [JsonStringEnumMemberName("normalized-mean")]
    NormalizedMean,

    /// <summary>Sum of the keys, as one reading of the paper has it; saturates the softmax as segments grow.</summary>
    [JsonStringEnumMemberName("sum")]
    Sum,

    /// <summary>Mean of the keys, as the other reading has it; leaves the softmax near uniform.</summary>
    [JsonStringEnumMemberName("mean")]
    Mean,
}
