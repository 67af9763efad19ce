using Loci.Memory.Segments;
using Loci.Numerics;

namespace Loci.Memory.Rules.ScalarGated;

/// <summary>
/// Writes a matrix memory M_t = a_t M_{t-1} + b_t v_{t-1} k_{t-1}^T + l_t v_t k_t^T chunk by chunk and reads its online state, o_t = M_t
/// q_t, in one fused operation (equations 4, 12 and 28 of arXiv 2602.24281). Gates left out stand for a = 1, b = 0, l = 1: plain linear
/// attention.
/// </summary>
public static class ScalarGatedScan
{
    /// <summary>Runs the memory over a batch.</summary>
    /// <param name="tape">The step.</param>
    /// <param name="plan">Chunks and cached states of the batch.</param>
    /// <param name="q">Queries, [rows, H*d].</param>
    /// <param name="k">Keys, [rows, H*d].</param>
    /// <param name="v">Values, [rows, H*d].</param>
    /// <param name="heads">H.</param>
    /// <param name="logDecay">log a, at most 0, [rows, H].</param>
    /// <param name="previousGate">b, [rows, H].</param>
    /// <param name="writeGate">l, [rows, H].</param>
    /// <returns>The online reads and the cached states.</returns>
    /// <exception cref="ArgumentException">The shapes do not fit together.</exception>
    public static ScanResult Apply(
        Tape tape, MemoryPlan plan, Tensor q, Tensor k, Tensor v, int heads,
        Tensor? logDecay = null, Tensor? previousGate = null, Tensor? writeGate = null) =>
        ScanOperation.Apply<ScalarGatedScanKernel>(tape, plan, q, k, v, heads, [new(logDecay), new(previousGate), new(writeGate)]);
}
