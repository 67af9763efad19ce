using Loci.Memory.Segments;
using Loci.Numerics;

namespace Loci.Memory.Rules.ScalarGated;

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

    internal override LayerMemory CreateLayer(LayerContext layer, MixerConfiguration mixer) =>
        new MatrixMemory(layer, new Gates(new GateProjection(layer, "decay", GateProjection.DecayBias)));

    private sealed class Gates(GateProjection decay) : MemoryGates
    {
        public override IReadOnlyList<Parameter> Parameters { get; } = decay.Parameters;

        public override GateValues Compute(Tape tape, Tensor x) => new(decay.LogSigmoid(tape, x), null, null);
    }
}
