using Loci.Memory.Aggregations;
using Loci.Memory.Routing;
using Loci.Memory.Rules;
using Loci.Memory.Segments;
using Loci.Numerics;
using Loci.Numerics.Operations;

namespace Loci.Caching;

/// <summary>Residual memory (equation 7): y_t = M_t^(s)(q_t) + sum_{i before s} M^(i)(q_t), one read of the states' running sum.</summary>
internal sealed class ResidualMemory(int heads, bool detaches) : CacheReader
{
    public override Tensor Read(Tape tape, MemoryPlan plan, ScanResult scan, Tensor q, RouterInputs routing) => CachedRead.Sum(tape, plan, scan, q, new CachedReadOptions(heads, DetachesStates: detaches));
}
