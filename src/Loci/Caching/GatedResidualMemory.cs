using Loci.Memory.Rules;
using Loci.Memory.Segments;
using Loci.Numerics;
using Loci.Numerics.Operations;

namespace Loci.Caching;

/// <summary>Gated residual memory (equation 9): y_t = g_t^(s) M_t^(s)(q_t) + sum_{i before s} g_t^(i) M^(i)(q_t).</summary>
internal sealed class GatedResidualMemory(Router router) : RoutedReader(router)
{
    public override Tensor Read(Tape tape, MemoryPlan plan, ScanResult scan, Tensor q, RouterInputs routing) => Router.Read(tape, plan, scan, q, routing);
}
