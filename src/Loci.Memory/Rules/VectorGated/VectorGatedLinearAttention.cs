using Loci.Memory.Segments;
using Loci.Numerics;

namespace Loci.Memory.Rules.VectorGated;

/// <summary>Gated linear attention with a decay for every key dimension (Yang et al., arXiv 2312.06635).</summary>
public sealed class VectorGatedLinearAttention : MemoryRule
{
    /// <inheritdoc/>
    public override string Name => "gla";

    /// <inheritdoc/>
    public override string Description => "M_t = M_{t-1} diag(a_t) + v_t k_t^T";

    /// <inheritdoc/>
    public override SegmentStart DefaultStart => SegmentStart.Independent;

    internal override LayerMemory CreateLayer(LayerContext layer, MixerConfiguration mixer) =>
        new VectorGatedMemory(layer, new VectorDecay(layer, "decay"));
}
