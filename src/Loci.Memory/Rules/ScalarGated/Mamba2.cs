using Loci.Memory.Rules.ScalarGated;
using Loci.Memory.Segments;
using Loci.Numerics;
using Loci.Numerics.Operations;

namespace Loci.Memory.Rules.ScalarGated;

/// <summary>
/// The state-space recurrence of Mamba-2 (Dao and Gu, arXiv 2405.21060) in the block of all memories: a step size Delta per head and token scales the write
/// and, times a learned rate, the decay. Delta = softplus(x W + bias), log a = -Delta exp(A), l = Delta.
/// </summary>
public sealed class Mamba2 : MemoryRule
{
    /// <inheritdoc/>
    public override string Name => "mamba2";

    /// <inheritdoc/>
    public override string Description => "M_t = exp(-D_t A) M_{t-1} + D_t v_t k_t^T";

    /// <inheritdoc/>
    public override SegmentStart DefaultStart => SegmentStart.Independent;

    /// <inheritdoc/>
    public override bool SupportsLogLinear => true;

    internal override LayerMemory CreateLayer(LayerContext layer, MixerConfiguration mixer) =>
        new MatrixMemory(layer, new Gates(layer));

    private sealed class Gates : MemoryGates
    {
        private readonly GateProjection _stepSize;
        private readonly Parameter _logRate;

        public Gates(LayerContext layer)
        {
            // As in Mamba-2: step sizes uniform in log space in [0.001, 0.1], through the inverse of softplus; rates uniform in [1, 16].
            var shape = new Shape(layer.Heads);
            var bias = layer.Initializer.Uniform(layer.Device, layer.Prefix + "step_size.bias", shape, uniform => InverseSoftplus(0.001 * Math.Pow(100, uniform)));
            _stepSize = new GateProjection(layer, "step_size", bias);
            _logRate = layer.Initializer.Uniform(layer.Device, layer.Prefix + "log_rate", shape, uniform => Math.Log(1 + (15 * uniform)));
            Parameters = [.. _stepSize.Parameters, _logRate];
        }

        public override IReadOnlyList<Parameter> Parameters { get; }

        public override GateValues Compute(Tape tape, Tensor x)
        {
            var stepSize = _stepSize.Softplus(tape, x);
            return new(RateDecay.Apply(tape, stepSize, _logRate), null, stepSize);
        }

        private static double InverseSoftplus(double value) => Math.Log(Math.Exp(value) - 1);
    }
}
