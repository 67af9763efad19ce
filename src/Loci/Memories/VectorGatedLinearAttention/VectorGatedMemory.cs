using Loci.Caching;
using Loci.Memory.Rules.VectorGated;
using Loci.Memory.Segments;
using Loci.Numerics;
using Loci.Numerics.Operations;

namespace Loci.Memories;

/// <summary>A matrix memory with a decay for every key dimension, M_t = M_{t-1} diag(a_t) + v_t k_t^T.</summary>
internal sealed class VectorGatedMemory(Device device, int heads, int width, VectorDecay decay) : LayerMemory
{
    public override IReadOnlyList<Parameter> Parameters => decay.Parameters;

    internal override bool RewritesSegments => false;

    internal override Tensor Apply(Tape tape, MemoryPlan plan, Tensor x, Tensor q, Tensor k, Tensor v, RouterInputs routing, CacheReader reader)
    {
        var scan = VectorGatedScan.Apply(tape, plan, q, k, v, heads, decay.Compute(tape, x));
        return reader.Read(tape, plan, scan, q, routing);
    }

    internal override RecurrentMemory CreateRecurrent(Segmentation segmentation) => new RecurrentVectorGatedMemory(device, decay, segmentation, heads, width);
}
