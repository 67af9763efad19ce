using Loci.Memory.Segments;
using Loci.Numerics;

namespace Loci.Memory.Rules.Delta;

/// <summary>
/// The delta rule (Yang et al., arXiv 2406.06484): a write first takes back what the memory holds for its key, so that a value replaces the one before it.
/// </summary>
public sealed class DeltaNet : MemoryRule
{
    /// <inheritdoc/>
    public override string Name => "delta-net";

    /// <inheritdoc/>
    public override string Description => "M_t = M_{t-1} (I - b_t k_t k_t^T) + b_t v_t k_t^T";

    /// <inheritdoc/>
    public override SegmentStart DefaultStart => SegmentStart.Checkpoint;

    internal override LayerMemory CreateLayer(LayerContext layer, MixerConfiguration mixer) =>
        new DeltaMemory(layer, new GateProjection(layer, "beta", 0), null);
}
