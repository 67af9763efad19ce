using Loci.Memory.Rules;
using Loci.Memory.Segments;
using Loci.Numerics;
using Loci.Numerics.Operations;

namespace Loci.Caching;

/// <summary>
/// Sparse selective caching (equations 16 and 17): each token reads the online memory and the k past segments that score highest; tokens are dispatched by
/// segment, so that the cost is k reads a token.
/// </summary>
internal sealed class SparseSelectiveCaching(Router router) : RoutedReader(router)
{
    public override Tensor Read(Tape tape, MemoryPlan plan, ScanResult scan, Tensor q, RouterInputs routing) => Router.Read(tape, plan, scan, q, routing);
}
