using Loci.Memory.Segments;
using Loci.Numerics;

namespace Loci.Memory.Rules.Delta;

/// <summary>
/// Writes a matrix memory by the delta rule, S_t = a_t S_{t-1} (I - beta_t k_t k_t^T) + beta_t v_t k_t^T, chunk by chunk and reads its
/// online state, o_t = S_t q_t, in one fused operation (Yang et al., arXiv 2406.06484; with the decay a, arXiv 2412.06464). Keys should
/// have unit length: a write with a beta in [0, 1] then never makes a state larger than what it stores.
/// </summary>
public static class DeltaScan
{
    /// <summary>Runs the memory over a batch.</summary>
    /// <param name="tape">The step.</param>
    /// <param name="plan">
    /// Chunks and cached states of the batch; made to rewrite merged segments where segments are logarithmic and independent.
    /// </param>
    /// <param name="q">Queries, [rows, H*d].</param>
    /// <param name="k">Keys, [rows, H*d].</param>
    /// <param name="v">Values, [rows, H*d].</param>
    /// <param name="heads">H.</param>
    /// <param name="beta">beta, [rows, H].</param>
    /// <param name="logDecay">log a, at most 0, [rows, H]; null for a = 1.</param>
    /// <returns>The online reads and the cached states.</returns>
    /// <exception cref="ArgumentException">The shapes do not fit together, or the plan merges states.</exception>
    public static ScanResult Apply(
        Tape tape, MemoryPlan plan, Tensor q, Tensor k, Tensor v, int heads, Tensor beta, Tensor? logDecay = null)
    {
        ArgumentNullException.ThrowIfNull(beta);
        return ScanOperation.Apply<DeltaScanKernel>(tape, plan, q, k, v, heads, [new(logDecay), new(beta)]);
    }
}
