using Loci.Memory.Rules.Deep;
using Loci.Memory.Segments;
using Loci.Numerics;
using Loci.Numerics.Operations;

namespace Loci.Memory.Rules.Deep;

/// <summary>Deep linear attention (equation 30): a network written by gradient ascent on the inner product of its answer and the value.</summary>
public sealed class DeepLinearAttention : MemoryRule
{
    /// <inheritdoc/>
    public override string Name => "dla";

    /// <inheritdoc/>
    public override string Description => "W_t = W_{t-1} + e_t grad <M(k_t), v_t>, M(x) = x + LN(W_1 gelu(W_2 x))";

    /// <inheritdoc/>
    public override SegmentStart DefaultStart => SegmentStart.Independent;

    internal override LayerMemory CreateLayer(LayerContext layer, MixerConfiguration mixer) =>
        new DeepMemory(layer, mixer, InnerLoss.InnerProduct, decays: false, hasMomentum: false);
}
