using Loci.Memory.Segments;
using Loci.Numerics;

namespace Loci.Memory.Rules.ScalarGated;

/// <summary>Linear attention (equation 12): every write is kept for ever.</summary>
public sealed class LinearAttention : MemoryRule
{
    /// <inheritdoc/>
    public override string Name => "linear";

    /// <inheritdoc/>
    public override string Description => "M_t = M_{t-1} + v_t k_t^T";

    /// <inheritdoc/>
    public override SegmentStart DefaultStart => SegmentStart.Independent;

    /// <inheritdoc/>
    public override bool SupportsLogLinear => true;

    internal override LayerMemory CreateLayer(LayerContext layer, MixerConfiguration mixer) =>
        new MatrixMemory(layer, new NoGates());

    private sealed class NoGates : MemoryGates
    {
        public override IReadOnlyList<Parameter> Parameters => [];

        public override GateValues Compute(Tape tape, Tensor x) => default;
    }
}
