using Loci.Caching;
using Loci.Models;
using Loci.Numerics;

namespace Loci.Memories;

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

    /// <inheritdoc/>
    public override LayerMemory CreateLayer(Device device, string prefix, ModelConfiguration model, MixerConfiguration mixer, Initializer initializer) =>
        new DeltaMemory(device, model.Heads, model.HeadWidth, new GateProjection(device, prefix + "beta", model, initializer, 0), null);
}
