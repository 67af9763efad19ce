using Loci.Memory.Rules.VectorGated;
using Loci.Memory.Segments;
using Loci.Numerics;
using Loci.Numerics.Operations;

namespace Loci.Memory.Rules.VectorGated;

/// <summary>A matrix memory with a decay for every key dimension, M_t = M_{t-1} diag(a_t) + v_t k_t^T.</summary>
internal sealed class VectorGatedMemory(LayerContext layer, VectorDecay decay) : LayerMemory
{
    public override IReadOnlyList<Parameter> Parameters => decay.Parameters;

    public override bool RewritesSegments => false;

    public override Written Write(Tape tape, in MemoryInputs inputs) =>
        new(VectorGatedScan.Apply(tape, inputs.Plan, inputs.Q, inputs.K, inputs.V, layer.Heads, decay.Compute(tape, inputs.X)));

    public override RecurrentMemory CreateRecurrent(Segmentation segmentation) =>
        new RecurrentVectorGatedMemory(layer.Device, decay, segmentation, layer.Heads, layer.HeadWidth);
}
