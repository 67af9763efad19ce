using Loci.Caching;
using Loci.Models;
using Loci.Numerics;

namespace Loci.Memories;

/// <summary>Linear attention with one decay per head and token: SWLA (equation 28) without its window and write gate.</summary>
public sealed class GatedLinearAttention : MemoryRule
{
    /// <inheritdoc/>
    public override string Name => "gated-linear";

    /// <inheritdoc/>
    public override string Description => "M_t = a_t M_{t-1} + v_t k_t^T";

    /// <inheritdoc/>
    public override SegmentStart DefaultStart => SegmentStart.Independent;

    /// <inheritdoc/>
    public override bool SupportsLogLinear => true;

    /// <inheritdoc/>
    public override LayerMemory CreateLayer(Device device, string prefix, ModelConfiguration model, MixerConfiguration mixer, Initializer initializer) =>
        new MatrixMemory(device, model.Heads, new Gates(model.HeadWidth, new GateProjection(device, prefix + "decay", model, initializer, GateProjection.DecayBias)));

    private sealed class Gates(int width, GateProjection decay) : MemoryGates(width)
    {
        public override IReadOnlyList<Parameter> Parameters { get; } = decay.Parameters;

        public override GateValues Compute(Tape tape, Tensor x) => new(decay.LogSigmoid(tape, x), null, null);
    }
}
