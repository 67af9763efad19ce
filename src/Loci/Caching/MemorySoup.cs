using Loci.Memory.Rules;
using Loci.Memory.Segments;
using Loci.Numerics;
using Loci.Numerics.Operations;

namespace Loci.Caching;

/// <summary>
/// Memory soup (equation 15): the read of one memory whose weights are the gated sum of all. A matrix memory reads linearly in its weights, so here the soup
/// of states is the gated sum of their reads: gated residual memory.
/// </summary>
internal sealed class MemorySoup(Router router) : RoutedReader(router)
{
    public override Tensor Read(Tape tape, MemoryPlan plan, ScanResult scan, Tensor q, RouterInputs routing) => Router.Read(tape, plan, scan, q, routing);
}
