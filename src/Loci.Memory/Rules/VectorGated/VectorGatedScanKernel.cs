using System.Numerics;
using System.Runtime.CompilerServices;
using Loci.Memory.Segments;
using Loci.Numerics;
using Loci.Numerics.Kernels;

namespace Loci.Memory.Rules.VectorGated;

/// <summary>
/// The chunked form of N_t = diag(alpha_t) N_{t-1} + k_t^T v_t with a decay for every key dimension. The state is carried from block to
/// block of at most 16 rows inside a chunk. Inside a block entered with N, with R_t = alpha_1 o ... o alpha_t and E_tj = alpha_{j+1} o ...
/// o alpha_t,
///   o_t = (q_t o R_t) N + sum_{j at most t} P_tj v_j,  P_tj = q_t . (k_j o E_tj),  N' = diag(R_c) N + sum_j (k_j o E_cj)^T v_j.
/// Products of decays are carried from row to row, so that nothing but log alpha itself is ever exponentiated: no quotient of decays, no
/// positive exponent. Smaller blocks cost fewer multiplications but feed the matrix products worse; 16 rows balance the two.
/// </summary>
internal readonly unsafe struct VectorGatedScanKernel : IMatrixScan
{
    private const int Block = 16;

    internal struct Work(in ScanArguments arguments)
    {
        public readonly ScanWork Scan = new(arguments);
        public readonly GateWork LogDecay = new(arguments.Gates[0]);
    }

    /// <summary>What a block of rows needs beside its inputs.</summary>
    private ref struct Rows
    {
        public float* Alpha;    // [Block, d]
        public float* Reach;    // R, [Block, d]
        public float* Keys;     // k_j o E_cj once all rows are through, [Block, d]
        public float* Queries;  // q_t o R_t, [Block, d]
        public float* P;        // [Block, Block]
    }

    public static bool RewritesSegments => false;

    public static void Forward(CpuDevice device, in ScanArguments arguments)
    {
        var work = new Work(arguments);
        device.Workers.For(arguments.Plan.ItemCount * arguments.Heads, &WriteItem, &work);
        device.Workers.For(arguments.MergeCount, &VectorGatedMerge.Forward, &work);
    }

    public static void Backward(CpuDevice device, in ScanArguments arguments)
    {
        var work = new Work(arguments);
        var merges = arguments.States.Gradient.IsEmpty ? 0 : arguments.MergeCount;
        device.Workers.For(merges, &VectorGatedMerge.PropagateBackward, &work);
        device.Workers.For(arguments.Plan.ItemCount * arguments.Heads, &ItemBackward, &work);
        device.Workers.For(merges, &VectorGatedMerge.InputBackward, &work);
    }

    private static void WriteItem(void* state, int index, int worker)
    {
        ref var work = ref *(Work*)state;
        ref readonly var scan = ref work.Scan;
        int d = scan.Width, stride = scan.Stride, heads = scan.Heads, square = d * d;
        int item = index / heads, head = index % heads;
        var memory = KernelScratch.Get((nuint)(square + RowScratchLength(d)));
        var n = memory;   // [d, d]
        var block = RowScratch(n + square, d);
        var isZero = true;
        int first = scan.Plan.Items[2 * item], past = scan.Plan.Items[(2 * item) + 1];
        for (var i = first; i < past; i++)
        {
            var chunk = scan.Plan.Chunks + (i * MemoryPlan.ChunkFields);
            int row = chunk[0], rows = chunk[1], slot = chunk[2];
            if (scan.ChunkStates != null && !isZero)
            {
                Blas1.Copy(n, scan.ChunkStates + ((((long)i * heads) + head) * square), square);
            }

            for (var start = 0; start < rows; start += Block)
            {
                var count = Math.Min(Block, rows - start);
                var offset = ((long)(row + start) * stride) + (head * d);
                float* v = scan.V + offset, o = scan.Output + offset;
                Decay(block, scan.Q + offset, scan.K + offset, work.LogDecay.Values + offset, stride, count, d, true, null, null);

                // O = (Q o R) N + P V
                if (!isZero)
                {
                    MatrixProduct.MultiplySmall(false, false, count, d, d, block.Queries, d, n, d, o, stride, false);
                }

                MatrixProduct.MultiplySmall(false, false, count, d, count, block.P, Block, v, stride, o, stride, !isZero);
                if (i < past - 1 || slot >= 0 || start + count < rows)
                {
                    Carry(block, v, stride, n, isZero, count, d);
                    isZero = false;
                }
            }

            if (slot >= 0)
            {
                Blas1.Copy(n, scan.States + ((((long)slot * heads) + head) * square), square);
            }
        }
    }

    private static void ItemBackward(void* state, int index, int worker)
    {
        ref var work = ref *(Work*)state;
        ref readonly var scan = ref work.Scan;
        int d = scan.Width, stride = scan.Stride, heads = scan.Heads, square = d * d, line = Block * d;
        int item = index / heads, head = index % heads;
        var blocks = (scan.ChunkLength + Block - 1) / Block;
        var memory = KernelScratch.Get((nuint)((blocks * square) + square + (6 * line) + (Block * Block) + (2 * d) + RowScratchLength(d)));
        var states = memory;                    // before every block but the first of a chunk, [blocks, d, d]
        var g = states + (blocks * square);     // gradient of the state after the block, [d, d]
        var dQueries = g + square;              // of q_t o R_t, then of q_t and log alpha through it, [Block, d]
        var dKeys = dQueries + line;            // of k_j o E_cj, likewise, [Block, d]
        var pairsQ = dKeys + line;              // dq_t behind P, without the diagonal, [Block, d]
        var pairsK = pairsQ + line;             // dk_j behind P, without the diagonal, [Block, d]
        var turned = pairsK + line;             // q_t o E_tj, [Block, d]
        var tail = turned + line;               // E_cj, [Block, d]
        var dP = tail + line;                   // [Block, Block]
        var suffix = dP + (Block * Block);      // [d]
        var prefix = suffix + d;                // [d]
        var block = RowScratch(prefix + d, d);
        var gradientIsZero = true;
        int first = scan.Plan.Items[2 * item], past = scan.Plan.Items[(2 * item) + 1];
        for (var i = past - 1; i >= first; i--)
        {
            var chunk = scan.Plan.Chunks + (i * MemoryPlan.ChunkFields);
            int row = chunk[0], rows = chunk[1], slot = chunk[2];
            if (slot >= 0 && scan.DStates != null)
            {
                var dState = scan.DStates + ((((long)slot * heads) + head) * square);
                Lanes.AddScaled(dState, 1, g, square, !gradientIsZero);
                gradientIsZero = false;
            }

            var entry = i == first ? null : scan.ChunkStates + ((((long)i * heads) + head) * square);
            var last = (rows - 1) / Block;
            for (var b = 0; b < last; b++)
            {
                var offset = ((long)(row + (b * Block)) * stride) + (head * d);
                var before = b == 0 ? entry : states + (b * square);
                var after = states + ((b + 1) * square);
                Decay(block, null, scan.K + offset, work.LogDecay.Values + offset, stride, Block, d, false, null, null);
                if (before != null)
                {
                    Blas1.Copy(before, after, square);
                }

                Carry(block, scan.V + offset, stride, after, before == null, Block, d);
            }

            for (var b = last; b >= 0; b--)
            {
                var count = Math.Min(Block, rows - (b * Block));
                var offset = ((long)(row + (b * Block)) * stride) + (head * d);
                var n = b == 0 ? entry : states + (b * square);
                float* q = scan.Q + offset, k = scan.K + offset, v = scan.V + offset, dO = scan.DOutput + offset;

                // dP = dO V^T
                MatrixProduct.MultiplySmall(false, true, count, count, d, dO, stride, v, stride, dP, Block, false);
                Decay(block, q, k, work.LogDecay.Values + offset, stride, count, d, true, dP, pairsQ);
                TurnBack(block, q, stride, count, d, dP, pairsK, turned, tail);

                // dV = P^T dO + (K o E) G; d(K o E) = V G^T
                MatrixProduct.MultiplySmall(true, false, count, d, count, block.P, Block, dO, stride, scan.DV + offset, stride, scan.AddV);
                if (!gradientIsZero)
                {
                    MatrixProduct.MultiplySmall(false, false, count, d, d, block.Keys, d, g, d, scan.DV + offset, stride, true);
                    MatrixProduct.MultiplySmall(false, true, count, d, d, v, stride, g, d, dKeys, d, false);
                    Blas1.Multiply(dKeys, tail, dKeys, count * d);
                }
                else
                {
                    Blas1.Zero(dKeys, count * d);
                }

                // d(Q o R) = dO N^T; dN = R_c o G + (Q o R)^T dO; through R_c: d log alpha += R_c o sum over the columns of G o N
                Blas1.Zero(suffix, d);
                if (n != null)
                {
                    MatrixProduct.MultiplySmall(false, true, count, d, d, dO, stride, n, d, dQueries, d, false);
                    Blas1.Multiply(dQueries, block.Reach, dQueries, count * d);
                    if (!gradientIsZero)
                    {
                        var reach = block.Reach + ((count - 1) * d);
                        for (var x = 0; x < d; x++)
                        {
                            suffix[x] = reach[x] * Blas1.Dot(g + (x * d), n + (x * d), d);
                            Blas1.Scale(reach[x], g + (x * d), g + (x * d), d);
                        }
                    }

                    MatrixProduct.MultiplySmall(true, false, d, d, count, block.Queries, d, dO, stride, g, d, !gradientIsZero);
                    gradientIsZero = false;
                }
                else
                {
                    Blas1.Zero(dQueries, count * d);
                }

                Inputs(work, offset, count, d, dP, dQueries, dKeys, pairsQ, pairsK);
                Gates(work, offset, count, d, dQueries, dKeys, pairsQ, pairsK, suffix, prefix);
            }
        }
    }

    private static int RowScratchLength(int d) => (4 * Block * d) + (Block * Block);

    private static Rows RowScratch(float* memory, int d)
    {
        var line = Block * d;
        return new Rows
        {
            Alpha = memory,
            Reach = memory + line,
            Keys = memory + (2 * line),
            Queries = memory + (3 * line),
            P = memory + (4 * line),
        };
    }

    /// <summary>
    /// Takes the keys of a block from row to row under the decays and fills all of <see cref="Rows"/>, without Queries and P where they are
    /// not wanted. Given dP, it also sums what the queries receive through P from the rows before them: pairs_t = sum_{j less than t} dP_tj
    /// k_j o E_tj.
    /// </summary>
    private static void Decay(
        in Rows block, float* q, float* k, float* logDecay, int stride, int count, int d, bool reads, float* dP, float* pairs)
    {
        for (var t = 0; t < count; t++)
        {
            var row = (long)t * stride;
            float* alpha = block.Alpha + (t * d), reach = block.Reach + (t * d), line = block.P + (t * Block);
            var x = 0;
            for (; x <= d - Lanes.Count; x += Lanes.Count)
            {
                StartRow(
                    logDecay + row + x, reads ? q + row + x : null, t == 0 ? null : reach - d + x, alpha + x, reach + x,
                    block.Queries + (t * d) + x, Lanes.Count);
            }

            if (x < d)
            {
                StartRow(
                    logDecay + row + x, reads ? q + row + x : null, t == 0 ? null : reach - d + x, alpha + x, reach + x,
                    block.Queries + (t * d) + x, d - x);
            }

            if (!reads)
            {
                for (var j = 0; j < t; j++)
                {
                    Blas1.Multiply(block.Keys + (j * d), alpha, block.Keys + (j * d), d);
                }
            }
            else
            {
                for (var j = 0; j < t; j++)
                {
                    line[j] = MultiplyAndDot(block.Keys + (j * d), alpha, q + row, d);
                }

                line[t] = Blas1.Dot(q + row, k + row, d);
                Blas1.Zero(line + t + 1, count - t - 1);
            }

            if (dP != null)
            {
                Blas1.Zero(pairs + (t * d), d);
                for (var j = 0; j < t; j++)
                {
                    Blas1.AddScaled(dP[(t * Block) + j], block.Keys + (j * d), pairs + (t * d), d);
                }
            }

            Blas1.Copy(k + row, block.Keys + (t * d), d);
        }
    }

    /// <summary>alpha, R and q o R of part of a row.</summary>
    [MethodImpl(MethodImplOptions.AggressiveInlining)]
    private static void StartRow(float* logDecay, float* q, float* reachBefore, float* alpha, float* reach, float* queries, int left)
    {
        var decay = VectorMath.Exp(Lanes.Load(logDecay, left));
        var total = reachBefore == null ? decay : Lanes.Load(reachBefore, left) * decay;
        Lanes.Store(decay, alpha, left);
        Lanes.Store(total, reach, left);
        if (q != null)
        {
            Lanes.Store(Lanes.Load(q, left) * total, queries, left);
        }
    }

    /// <summary>From the last row back: pairs_j = sum_{t after j} dP_tj q_t o E_tj, and E_cj.</summary>
    private static void TurnBack(in Rows block, float* q, int stride, int count, int d, float* dP, float* pairs, float* turned, float* tail)
    {
        for (var j = count - 1; j >= 0; j--)
        {
            Blas1.Zero(pairs + (j * d), d);
            if (j == count - 1)
            {
                new Span<float>(tail + (j * d), d).Fill(1);
            }
            else
            {
                var alpha = block.Alpha + ((j + 1) * d);
                Blas1.Copy(tail + ((j + 1) * d), tail + (j * d), d);
                Blas1.Multiply(tail + (j * d), alpha, tail + (j * d), d);
                for (var t = j + 1; t < count; t++)
                {
                    MultiplyAndAdd(turned + (t * d), alpha, dP[(t * Block) + j], pairs + (j * d), d);
                }
            }

            Blas1.Copy(q + ((long)j * stride), turned + (j * d), d);
        }
    }

    /// <summary>N = diag(R_c) N + (K o E)^T V in place.</summary>
    private static void Carry(in Rows block, float* v, int stride, float* n, bool isZero, int count, int d)
    {
        if (!isZero)
        {
            var reach = block.Reach + ((count - 1) * d);
            for (var x = 0; x < d; x++)
            {
                Blas1.Scale(reach[x], n + (x * d), n + (x * d), d);
            }
        }

        MatrixProduct.MultiplySmall(true, false, d, d, count, block.Keys, d, v, stride, n, d, !isZero);
    }

    /// <summary>Gradients of queries and keys: through the state, through the pairs, and through the diagonal of P.</summary>
    private static void Inputs(
        in Work work, long offset, int count, int d, float* dP, float* dQueries, float* dKeys, float* pairsQ, float* pairsK)
    {
        for (var t = 0; t < count; t++)
        {
            var row = offset + ((long)t * work.Scan.Stride);
            var diagonal = dP[(t * Block) + t];
            var x = 0;
            for (; x <= d - Lanes.Count; x += Lanes.Count)
            {
                InputsAt(work, row + x, (t * d) + x, diagonal, dQueries, dKeys, pairsQ, pairsK, Lanes.Count);
            }

            if (x < d)
            {
                InputsAt(work, row + x, (t * d) + x, diagonal, dQueries, dKeys, pairsQ, pairsK, d - x);
            }
        }
    }

    [MethodImpl(MethodImplOptions.AggressiveInlining)]
    private static void InputsAt(
        in Work work, long index, int i, float diagonal, float* dQueries, float* dKeys, float* pairsQ, float* pairsK, int left)
    {
        var factor = new Vector<float>(diagonal);
        Vector<float> q = Lanes.Load(work.Scan.Q + index, left), k = Lanes.Load(work.Scan.K + index, left);
        Lanes.Store(
            Vector.MultiplyAddEstimate(factor, k, Lanes.Load(dQueries + i, left) + Lanes.Load(pairsQ + i, left)), work.Scan.DQ + index,
            left, work.Scan.AddQ);
        Lanes.Store(
            Vector.MultiplyAddEstimate(factor, q, Lanes.Load(dKeys + i, left) + Lanes.Load(pairsK + i, left)), work.Scan.DK + index, left,
            work.Scan.AddK);
    }

    /// <summary>
    /// Gradient of log alpha_i. A query's read of the entering state carries alpha_i for i at most t: summed from the end. A key's share of
    /// the leaving state carries it for i after j: summed from the start. A pair (t, j) carries it for i from j + 1 to t: a difference that
    /// moves from row to row; pairs on the diagonal carry nothing and stay out of it, so that strong decays leave no rounding behind.
    /// </summary>
    private static void Gates(
        in Work work, long offset, int count, int d, float* dQueries, float* dKeys, float* pairsQ, float* pairsK, float* suffix,
        float* prefix)
    {
        if (work.LogDecay.Gradient == null)
        {
            return;
        }

        Blas1.Zero(prefix, d);
        for (var t = 0; t < count; t++)
        {
            // dKeys becomes the sum of what the keys before row t carry.
            float* k = work.Scan.K + offset + ((long)t * work.Scan.Stride), carried = dKeys + (t * d);
            for (var x = 0; x < d; x++)
            {
                var own = k[x] * carried[x];
                carried[x] = prefix[x];
                prefix[x] += own;
            }
        }

        for (var t = count - 1; t >= 0; t--)
        {
            var row = offset + ((long)t * work.Scan.Stride);
            var x = 0;
            for (; x <= d - Lanes.Count; x += Lanes.Count)
            {
                GatesAt(work, row + x, (t * d) + x, dQueries, dKeys, pairsQ, pairsK, suffix + x, Lanes.Count);
            }

            if (x < d)
            {
                GatesAt(work, row + x, (t * d) + x, dQueries, dKeys, pairsQ, pairsK, suffix + x, d - x);
            }
        }
    }

    [MethodImpl(MethodImplOptions.AggressiveInlining)]
    private static void GatesAt(
        in Work work, long index, int i, float* dQueries, float* dKeys, float* pairsQ, float* pairsK, float* suffix, int left)
    {
        Vector<float> q = Lanes.Load(work.Scan.Q + index, left), k = Lanes.Load(work.Scan.K + index, left);
        var sum = Lanes.Load(suffix, left)
            + (q * (Lanes.Load(dQueries + i, left) + Lanes.Load(pairsQ + i, left))) - (k * Lanes.Load(pairsK + i, left));
        Lanes.Store(sum, suffix, left);
        Lanes.Store(sum + Lanes.Load(dKeys + i, left), work.LogDecay.Gradient + index, left, work.LogDecay.Accumulates);
    }

    /// <summary>x = x o y, then x . z.</summary>
    [MethodImpl(MethodImplOptions.AggressiveInlining)]
    private static float MultiplyAndDot(float* x, float* y, float* z, int count)
    {
        var sum = Vector<float>.Zero;
        var i = 0;
        for (; i <= count - Lanes.Count; i += Lanes.Count)
        {
            var product = Vector.Load(x + i) * Vector.Load(y + i);
            Vector.Store(product, x + i);
            sum = Vector.MultiplyAddEstimate(product, Vector.Load(z + i), sum);
        }

        if (i < count)
        {
            var product = Lanes.Load(x + i, count - i) * Lanes.Load(y + i, count - i);
            Lanes.Store(product, x + i, count - i);
            sum = Vector.MultiplyAddEstimate(product, Lanes.Load(z + i, count - i), sum);
        }

        return Vector.Sum(sum);
    }

    /// <summary>x = x o y, then z += scale x.</summary>
    [MethodImpl(MethodImplOptions.AggressiveInlining)]
    private static void MultiplyAndAdd(float* x, float* y, float scale, float* z, int count)
    {
        var factor = new Vector<float>(scale);
        var i = 0;
        for (; i <= count - Lanes.Count; i += Lanes.Count)
        {
            var product = Vector.Load(x + i) * Vector.Load(y + i);
            Vector.Store(product, x + i);
            Vector.Store(Vector.MultiplyAddEstimate(product, factor, Vector.Load(z + i)), z + i);
        }

        if (i < count)
        {
            var product = Lanes.Load(x + i, count - i) * Lanes.Load(y + i, count - i);
            Lanes.Store(product, x + i, count - i);
            Lanes.Store(Vector.MultiplyAddEstimate(product, factor, Lanes.Load(z + i, count - i)), z + i, count - i);
        }
    }
}
