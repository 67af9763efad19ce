using Loci.Memory.Segments;
using Loci.Numerics;

namespace Loci.Memory.Rules.ScalarGated;

/// <summary>Sliding-window linear attention with a window of 2 (equation 28).</summary>
public sealed class SlidingWindowLinearAttention : MemoryRule
{
    /// <inheritdoc/>
    public override string Name => "swla";

    /// <inheritdoc/>
    public override string Description => "M_t = a_t M_{t-1} + b_t v_{t-1} k_{t-1}^T + l_t v_t k_t^T";

    /// <inheritdoc/>
    public override SegmentStart DefaultStart => SegmentStart.Independent;

    internal override LayerMemory CreateLayer(LayerContext layer, MixerConfiguration mixer) =>
        new MatrixMemory(layer, new Gates(
            new GateProjection(layer, "decay", GateProjection.DecayBias), new GateProjection(layer, "previous_gate", 0), new GateProjection(layer, "write_gate", 0)));

    private sealed class Gates(GateProjection decay, GateProjection previous, GateProjection write) : MemoryGates
    {
        public override bool HasWindow => true;

        public override IReadOnlyList<Parameter> Parameters { get; } = [.. decay.Parameters, .. previous.Parameters, .. write.Parameters];

        public override GateValues Compute(Tape tape, Tensor x) => new(decay.LogSigmoid(tape, x), previous.Sigmoid(tape, x), write.Sigmoid(tape, x));
    }
}
