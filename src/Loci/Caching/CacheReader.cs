using Loci.Memory.Rules;
using Loci.Memory.Segments;
using Loci.Models;
using Loci.Numerics;
using Loci.Numerics.Operations;

namespace Loci.Caching;

/// <summary>Reads the cached states of one layer beside its online memory (equation 5). One subclass an aggregation.</summary>
internal abstract class CacheReader
{
    /// <summary>The learned tensors of the router.</summary>
    public virtual IReadOnlyList<Parameter> Parameters => [];

    /// <summary>Whether a router takes part.</summary>
    public virtual bool IsRouted => false;

    /// <summary>Reads.</summary>
    /// <param name="tape">The step.</param>
    /// <param name="plan">The plan of the batch.</param>
    /// <param name="scan">Online reads and cached states.</param>
    /// <param name="q">Queries, [rows, H*d].</param>
    /// <param name="routing">What the router compares.</param>
    /// <returns>y, [rows, H*d].</returns>
    public abstract Tensor Read(Tape tape, MemoryPlan plan, ScanResult scan, Tensor q, RouterInputs routing);

    internal static CacheReader Create(Device device, string prefix, ModelConfiguration model, CacheConfiguration cache, Initializer initializer) =>
        cache.Aggregation switch
        {
            AggregationKind.Residual => new ResidualMemory(model.Heads, cache.DetachStates),
            AggregationKind.GatedResidual => new GatedResidualMemory(new Router(device, prefix, model.Heads, cache, 0, initializer)),
            AggregationKind.MemorySoup => new MemorySoup(new Router(device, prefix, model.Heads, cache, 0, initializer)),
            AggregationKind.SparseSelective => new SparseSelectiveCaching(new Router(device, prefix, model.Heads, cache, cache.TopK, initializer)),
            AggregationKind.LogLinear => new LogLinearAttention(device, prefix, model, initializer),
            _ => new OnlineMemory(),
        };
}
