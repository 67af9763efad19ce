using Loci.Memory.Routing;
using Loci.Memory.Rules;
using Loci.Memory.Segments;
using Loci.Numerics;

namespace Loci.Memory.Aggregations;

/// <summary>
/// Gated residual memory (equation 9): y_t = g_t^(s) M_t^(s)(q_t) + sum_{i before s} g_t^(i) M^(i)(q_t), gates by a softmax over all
/// segments.
/// </summary>
internal sealed class GatedResidual : TrainedAggregation, IReadsAfterTraining
{
    public override string Name => "grm";

    public override string Title => "GRM";

    public override string Equation => "y_t = g_t^(s) M_t^(s)(q_t) + sum_{i<s} g_t^(i) M^(i)(q_t)";

    public override bool IsGated => true;

    internal override TrainedReader CreateReader(LayerContext layer, CacheConfiguration cache) => new Reader(new Router(layer, cache, 0));

    CacheReader IReadsAfterTraining.CreateReader(Device device, int heads, bool readsLinearly, AfterTrainingCache cache) =>
        new Reader(Router.Fixed(device, heads, 0, cache.Temperature, cache.OnlineBias));

    internal sealed class Reader(Router router) : RoutedReader(router)
    {
        public override ReadState CreateState(CachedSegments segments, RecurrentMemory memory) => new RoutedState(segments, memory, Router);

        public override CacheReader Sparse(int topK, bool readsLinearly) => new SparseSelective.Reader(new Router(Router, topK));
    }
}
