using Loci.Memory.Aggregations;
using Loci.Memory.Routing;
using Loci.Memory.Rules;
using Loci.Memory.Segments;
using Loci.Numerics;

namespace Loci.Memory.Aggregations;

/// <summary>
/// Memory soup (equation 15): y_t = M*_t(q_t), the read of one memory whose every weight is the gated sum of the cached and the online
/// ones. A memory that reads linearly in
/// its state gives the gated sum of reads: gated residual memory.
/// </summary>
internal sealed class MemorySoup : TrainedAggregation, IReadsAfterTraining
{
    public override string Name => "soup";

    public override string Title => "Memory Soup";

    public override string Equation => "y_t = M*_t(q_t), the weights of M*_t are sum_i g_t^(i) W^(i)";

    public override bool IsGated => true;

    internal override TrainedReader CreateReader(LayerContext layer, CacheConfiguration cache) => new Reader(new Router(layer, cache, 0));

    CacheReader IReadsAfterTraining.CreateReader(Device device, int heads, bool readsLinearly, AfterTrainingCache cache) =>
        new Reader(Router.Fixed(device, heads, 0, cache.Temperature, cache.OnlineBias));

    private sealed class Reader(Router router) : RoutedReader(router)
    {
        public override Tensor Read(Tape tape, LayerMemory memory, in MemoryInputs inputs) => memory.WriteAndReadSoup(tape, inputs, Router);

        public override ReadState CreateState(CachedSegments segments, RecurrentMemory memory) =>
            new SoupState(segments, memory, Router);

        public override CacheReader? Sparse(int topK, bool readsLinearly) => readsLinearly ? new SparseSelective.Reader(new Router(Router, topK)) : null;
    }
}

/// <summary>
/// The step form of a soup. Networks are mixed layer by layer beside the weights that a token leaves, so they are written token by token.
/// </summary>
internal class SoupState(CachedSegments segments, RecurrentMemory memory, Router router) : RoutedState(segments, memory, router)
{
    public override bool ReadsRowByRow => !Memory.ReadsLinearly;

    protected override void Launch(in ReadArguments arguments) => Memory.ReadSoup(Segments.Plan, arguments);
}
