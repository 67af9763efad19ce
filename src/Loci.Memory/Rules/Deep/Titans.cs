using Loci.Memory.Rules.Deep;
using Loci.Memory.Segments;
using Loci.Numerics;
using Loci.Numerics.Operations;

namespace Loci.Memory.Rules.Deep;

/// <summary>The long-term memory of Titans (equations 34 to 36, with the sign of a descent): a network that learns to answer a key with its value, with momentum and forgetting.</summary>
public sealed class Titans : MemoryRule
{
    /// <inheritdoc/>
    public override string Name => "titans";

    /// <inheritdoc/>
    public override string Description => "S_t = h_t S_{t-1} - e_t grad ||M(k_t) - v_t||^2, W_t = a_t W_{t-1} + S_t, M(x) = x + LN(W_1 gelu(W_2 x))";

    /// <inheritdoc/>
    public override SegmentStart DefaultStart => SegmentStart.Checkpoint;

    internal override LayerMemory CreateLayer(LayerContext layer, MixerConfiguration mixer) =>
        new DeepMemory(layer, mixer, InnerLoss.SquaredError, decays: true, hasMomentum: true);
}
