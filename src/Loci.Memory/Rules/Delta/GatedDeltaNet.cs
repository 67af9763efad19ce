using Loci.Memory.Segments;
using Loci.Numerics;

namespace Loci.Memory.Rules.Delta;

/// <summary>The delta rule with one decay per head and token (Yang et al., arXiv 2412.06464): it can forget all at once as well as one value at a time.</summary>
public sealed class GatedDeltaNet : MemoryRule
{
    /// <inheritdoc/>
    public override string Name => "gated-delta-net";

    /// <inheritdoc/>
    public override string Description => "M_t = a_t M_{t-1} (I - b_t k_t k_t^T) + b_t v_t k_t^T";

    /// <inheritdoc/>
    public override SegmentStart DefaultStart => SegmentStart.Checkpoint;

    internal override LayerMemory CreateLayer(LayerContext layer, MixerConfiguration mixer) =>
        new DeltaMemory(layer, new GateProjection(layer, "beta", 0), new GateProjection(layer, "decay", GateProjection.DecayBias));
}
