using Loci.Memory.Segments;
using Loci.Numerics;

namespace Loci.Memory.Rules.VectorGated;

/// <summary>
/// Writes a matrix memory with a decay for every key dimension, S_t = S_{t-1} diag(alpha_t) + v_t k_t^T, chunk by chunk and reads its
/// online state, o_t = S_t q_t, in one fused operation (gated linear attention, Yang et al., arXiv 2312.06635).
/// </summary>
public static class VectorGatedScan
{
    /// <summary>Runs the memory over a batch.</summary>
    /// <param name="tape">The step.</param>
    /// <param name="plan">Chunks and cached states of the batch.</param>
    /// <param name="q">Queries, [rows, H*d].</param>
    /// <param name="k">Keys, [rows, H*d].</param>
    /// <param name="v">Values, [rows, H*d].</param>
    /// <param name="heads">H.</param>
    /// <param name="logDecay">log alpha, at most 0, [rows, H*d].</param>
    /// <returns>The online reads and the cached states.</returns>
    /// <exception cref="ArgumentException">The shapes do not fit together, or the plan rewrites merged segments.</exception>
    public static ScanResult Apply(Tape tape, MemoryPlan plan, Tensor q, Tensor k, Tensor v, int heads, Tensor logDecay)
    {
        ArgumentNullException.ThrowIfNull(logDecay);
        return ScanOperation.Apply<VectorGatedScanKernel>(tape, plan, q, k, v, heads, [new(logDecay, IsVector: true)]);
    }
}
