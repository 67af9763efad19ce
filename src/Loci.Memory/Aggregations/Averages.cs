using Loci.Memory.Routing;
using Loci.Memory.Rules;
using Loci.Memory.Segments;
using Loci.Numerics;

namespace Loci.Memory.Aggregations;

/// <summary>
/// Caching after training (section 4.3): the mean of all cached states and the online one, in the space of their weights. One state stands
/// for all that is cached; it is read
/// together with the online one as a soup of two, which for matrix memories is the average of the reads.
/// </summary>
internal sealed class Mean : Aggregation, IReadsAfterTraining
{
    public override string Name => "mean";

    public override string Title => "mean";

    public override string Equation => "y_t = M*_t(q_t), the weights of M*_t are the mean of all";

    CacheReader IReadsAfterTraining.CreateReader(Device device, int heads, bool readsLinearly, AfterTrainingCache cache) =>
        new AverageReader(Router.Fixed(device, heads, 0, 0, null), null);
}

/// <summary>The exponential mean of the cached states: each newer one weighs 1 - rho, the older ones rho together.</summary>
internal sealed class ExponentialMean : Aggregation, IReadsAfterTraining
{
    public override string Name => "ema";

    public override string Title => "exponential mean";

    public override string Equation => "y_t = M*_t(q_t), W* = (1 - rho) W_t^(s) + rho A^(s-1), A^(i) = (1 - rho) W^(i) + rho A^(i-1)";

    CacheReader IReadsAfterTraining.CreateReader(Device device, int heads, bool readsLinearly, AfterTrainingCache cache) =>
        new AverageReader(Router.Fixed(device, heads, 0, 0, null), cache.Rho);
}

/// <summary>The mean of what the states say. Where a read is linear in the state it is the mean of the states.</summary>
internal sealed class OutputMean : Aggregation, IReadsAfterTraining
{
    public override string Name => "output-mean";

    public override string Title => "mean of the outputs";

    public override string Equation => "y_t = (M_t^(s)(q_t) + sum_{i<s} M^(i)(q_t)) / s";

    CacheReader IReadsAfterTraining.CreateReader(Device device, int heads, bool readsLinearly, AfterTrainingCache cache)
    {
        var router = Router.Fixed(device, heads, 0, 0, null);
        return readsLinearly ? new AverageReader(router, null) : new GatedResidual.Reader(router);
    }
}

/// <summary>Reads the average of the cached states beside the online one.</summary>
/// <param name="router">A router whose scores are all 0.</param>
/// <param name="decay">rho; null for the mean.</param>
internal sealed class AverageReader(Router router, float? decay) : CacheReader
{
    public override Router Router => router;

    public override IReadOnlyList<Parameter> Parameters => router.Parameters;

    public override bool ChangesStates => true;

    public override ReadState CreateState(CachedSegments segments, RecurrentMemory memory) => new State(segments, memory, router, decay);

    private sealed class State(CachedSegments segments, RecurrentMemory memory, Router router, float? decay) : SoupState(segments, memory, router)
    {
        private readonly DeviceSpan<float> _onlineBias = segments.Store.AddBuffer(segments.Heads);

        public override bool CanHideSegments => false;

        public override bool CanGoBack => false;

        // The average's logit is 0.
        protected override DeviceSpan<float> OnlineBias => _onlineBias;

        private int CachedSegments => Segments.Lengths[0] / Segments.Segmentation.Length;

        public override void CacheSegment()
        {
            if (Segments.Count == 0)
            {
                base.CacheSegment();
                return;
            }

            Segments.Lengthen(Memory.OnlineLength);
            var share = decay is { } rho ? 1 - rho : 1f / CachedSegments;
            var average = Segments.States.Writable(0);
            Device.AddScaled(average, -share, average);
            Device.AddScaled(Memory.State, share, average);
        }

        public override void StatesChanged()
        {
            base.StatesChanged();
            if (Segments.Count > 0)
            {
                // The online state weighs 1 / (segments + 1), or 1 - rho.
                Device.Fill(_onlineBias, decay is { } rho ? MathF.Log((1 - rho) / rho) : -MathF.Log(CachedSegments));
            }
        }
    }
}
