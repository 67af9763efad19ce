using Loci.Memory.Rules;
using Loci.Memory.Segments;
using Loci.Numerics;
using Loci.Numerics.Operations;

namespace Loci.Caching;

/// <summary>No cached states: the base recurrence.</summary>
internal sealed class OnlineMemory : CacheReader
{
    public override Tensor Read(Tape tape, MemoryPlan plan, ScanResult scan, Tensor q, RouterInputs routing) => scan.Output;
}
