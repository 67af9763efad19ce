using Loci.Memory.Rules;
using Loci.Memory.Segments;
using Loci.Numerics;
using Loci.Numerics.Operations;

namespace Loci.Caching;

/// <summary>
/// Caching after training (section 4.3 of arXiv 2602.24281) with fixed weights: one state, the mean or the exponential mean of the cached ones, is read together with the online one, averaged as
/// weights: for deep memories a soup of two, for matrix memories also the average of the reads.
/// </summary>
internal sealed class AveragedStates(Router router, float? decay) : RoutedReader(router)
{
    public override Tensor Read(Tape tape, MemoryPlan plan, ScanResult scan, Tensor q, RouterInputs routing) =>
        throw new InvalidOperationException("Averages of cached states are read while decoding only.");

    /// <summary>How much the newest of <paramref name="count"/> states weighs in their average.</summary>
    public float ShareOfNewest(int count) => decay is { } rho ? 1 - rho : 1f / count;

    /// <summary>The logit of the online state beside the average's 0: it weighs 1 / (count + 1), or 1 - rho.</summary>
    public float OnlineBias(int count) => decay is { } rho ? MathF.Log((1 - rho) / rho) : -MathF.Log(count);
}
