using Loci.Memory.Routing;
using Loci.Memory.Rules;
using Loci.Memory.Segments;
using Loci.Numerics;

namespace Loci.Memory.Aggregations;

/// <summary>
/// Sparse selective caching (equations 16 and 17): each token reads the online memory and R_t, the k past segments that score highest,
/// through a softmax over these. Tokens
/// are dispatched by segment, so that the cost is k reads a token.
/// </summary>
internal sealed class SparseSelective : TrainedAggregation, IReadsAfterTraining
{
    public override string Name => "ssc";

    public override string Title => "SSC";

    public override string Equation => "y_t = g_t^(s) M_t^(s)(q_t) + sum_{i in R_t} g_t^(i) M^(i)(q_t), R_t the k past segments with the highest scores";

    public override bool IsGated => true;

    public override bool IsSparse => true;

    internal override TrainedReader CreateReader(LayerContext layer, CacheConfiguration cache) => new Reader(new Router(layer, cache, cache.TopK));

    CacheReader IReadsAfterTraining.CreateReader(Device device, int heads, bool readsLinearly, AfterTrainingCache cache) =>
        new Reader(Router.Fixed(device, heads, cache.TopK, cache.Temperature, cache.OnlineBias));

    internal sealed class Reader(Router router) : RoutedReader(router)
    {
        public override ReadState CreateState(CachedSegments segments, RecurrentMemory memory) => new State(segments, memory, Router);

        public override CacheReader Sparse(int topK, bool readsLinearly) => new Reader(new Router(Router, topK));
    }

    /// <summary>The gated read, with an index that finds the segments; it is made from the pooled keys, so it is not saved.</summary>
    private sealed class State(CachedSegments segments, RecurrentMemory memory, Router router) : RoutedState(segments, memory, router)
    {
        private readonly KeyIndex? _index = segments.Merges ? null : new KeyIndex(segments.Device, segments.Heads, segments.Width);

        public override bool ReadsAllStates => false;

        public override long Bytes => _index?.Bytes ?? 0;

        public override void CopyFrom(ReadState source) => ((State)source)._index?.CopyTo(_index!);

        public override void Dispose()
        {
            base.Dispose();
            _index?.Dispose();
        }

        protected override void AddIndex(ref RouterArguments arguments)
        {
            arguments.Index = _index?.Data ?? default;
            arguments.IndexCapacity = _index?.Capacity ?? 0;
        }

        protected override void KeyPooled(int slot, DeviceSpan<float> key) => _index?.Set(slot, key);
    }
}
