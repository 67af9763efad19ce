using System.Numerics;
using System.Runtime.CompilerServices;
using Loci.Memory.Segments;
using Loci.Numerics;
using Loci.Numerics.Kernels;

namespace Loci.Memory.Rules.Delta;

/// <summary>
/// The chunked form of the delta rule N_t = a_t (I - beta_t k_t^T k_t) N_{t-1} + beta_t k_t^T v_t (rows as vectors, states transposed).
/// With the corrections y_t = v_t - a_t k_t N_{t-1} and u_t = beta_t y_t it is the decaying memory N_t = a_t N_{t-1} + k_t^T u_t. Inside a
/// chunk entered with the state N, with G_t = log a_1 + ... + log a_t, the corrections solve a unit lower triangular system, all columns of
/// the values at once:
///   y_t = v_t - exp(G_t) k_t N - sum_{j less than t} L_tj u_j,  L_tj = exp(G_t - G_j) (k_t . k_j),
///   o_t = exp(G_t) q_t N + sum_{j at most t} exp(G_t - G_j) (q_t . k_j) u_j,  N' = exp(G_c) N + sum_j exp(G_c - G_j) k_j^T u_j.
/// </summary>
internal readonly unsafe struct DeltaScanKernel : IMatrixScan
{
    // Rows that are substituted one after another; the rows before them come in as a matrix product.
    private const int Block = 16;

    private struct Work(in ScanArguments arguments)
    {
        public ScanWork Scan = new(arguments);
        public GateWork LogDecay = new(arguments.Gates[0]);
        public GateWork Beta = new(arguments.Gates[1]);
        public int FirstItem;
    }

    /// <summary>Gate arrays of one chunk and head; index 0 is the chunk's first row.</summary>
    private ref struct Gates
    {
        public float* Beta;
        public float* Reach;   // exp(G)
        public float* Weight;  // exp(G_c - G)
        public float* Decay;   // D, exp(G_t - G_j), 0 above the diagonal, [c, c]
    }

    public static bool RewritesSegments => true;

    public static void Forward(CpuDevice device, in ScanArguments arguments)
    {
        // Items write different states, whatever their level.
        var work = new Work(arguments);
        device.Workers.For(arguments.Plan.ItemCount * arguments.Heads, &WriteItem, &work);
    }

    public static void Backward(CpuDevice device, in ScanArguments arguments)
    {
        // Level after level: the segments of a level have no row in common, and those of a later one add to what is there.
        var work = new Work(arguments);
        var plan = arguments.Plan;
        for (var level = 0; level < plan.LevelCount; level++)
        {
            work.FirstItem = plan.Levels.Values[level];
            device.Workers.For((plan.Levels.Values[level + 1] - work.FirstItem) * arguments.Heads, &ItemBackward, &work);
            work.Scan.AddQ = work.Scan.AddK = work.Scan.AddV = work.LogDecay.Accumulates = work.Beta.Accumulates = true;
        }
    }

    private static void WriteItem(void* state, int index, int worker)
    {
        ref var work = ref *(Work*)state;
        ref var scan = ref work.Scan;
        int d = scan.Width, c = scan.ChunkLength, stride = scan.Stride, heads = scan.Heads, square = d * d;
        int item = work.FirstItem + (index / heads), head = index % heads;
        var memory = KernelScratch.Get((nuint)(square + (2 * c * c) + (2 * c * d) + GateScratchLength(c)));
        var n = memory;            // [d, d]
        var l = n + square;        // -L, then P, [c, c]
        var u = l + (2 * c * c);   // U, [c, d]
        var w = u + (c * d);       // the part of the output or the values that the state gives, [c, d]
        var gates = GateScratch(w + (c * d), l + (c * c), c);
        var isZero = true;
        int first = scan.Plan.Items[2 * item], past = scan.Plan.Items[(2 * item) + 1];
        for (var i = first; i < past; i++)
        {
            var chunk = scan.Plan.Chunks + (i * MemoryPlan.ChunkFields);
            int row = chunk[0], rows = chunk[1], slot = chunk[2];
            var isRead = IsRead(chunk);
            var offset = ((long)row * stride) + (head * d);
            float* q = scan.Q + offset, k = scan.K + offset, v = scan.V + offset, o = scan.Output + offset;
            if (scan.ChunkStates != null && !isZero)
            {
                Blas1.Copy(n, scan.ChunkStates + ((((long)i * heads) + head) * square), square);
            }

            LoadGates(work, row, rows, head, c, gates);
            Correct(gates, k, v, stride, isZero ? null : n, l, w, u, u, rows, d, c);
            if (isRead)
            {
                // P = (Q K^T) o D; O = exp(G) o (Q N) + P U
                MatrixProduct.MultiplySmall(false, true, rows, rows, d, q, stride, k, stride, l, c, false);
                Mask(gates, l, rows, c);
                if (!isZero)
                {
                    MatrixProduct.MultiplySmall(false, false, rows, d, d, q, stride, n, d, o, stride, false);
                    Blas1.ScaleRows(gates.Reach, o, stride, o, stride, rows, d);
                }

                MatrixProduct.MultiplySmall(false, false, rows, d, rows, l, c, u, d, o, stride, !isZero);
            }

            if (i == past - 1 && slot < 0)
            {
                break;
            }

            // N = exp(G_c) N + K^T (w o U)
            Blas1.ScaleRows(gates.Weight, u, d, u, d, rows, d);
            if (!isZero)
            {
                Blas1.Scale(gates.Reach[rows - 1], n, n, square);
            }

            MatrixProduct.MultiplySmall(true, false, d, d, rows, k, stride, u, d, n, d, !isZero);
            isZero = false;
            if (slot >= 0)
            {
                Blas1.Copy(n, scan.States + ((((long)slot * heads) + head) * square), square);
            }
        }
    }

    private static void ItemBackward(void* state, int index, int worker)
    {
        ref var work = ref *(Work*)state;
        ref var scan = ref work.Scan;
        int d = scan.Width, c = scan.ChunkLength, stride = scan.Stride, heads = scan.Heads, square = d * d;
        int item = work.FirstItem + (index / heads), head = index % heads;
        var memory = KernelScratch.Get((nuint)(square + (4 * c * c) + (6 * c * d) + (2 * (c + 16)) + GateScratchLength(c)));
        var g = memory;             // gradient of the state after the chunk, [d, d]
        var l = g + square;         // -L, [c, c]
        var p = l + (c * c);        // P, then the gradient of K K^T, [c, c]
        var dp = p + (c * c);       // gradient of P, then of Q K^T, [c, c]
        var y = dp + (2 * c * c);   // Y, then w o U, [c, d]
        var u = y + (c * d);        // U, [c, d]
        var z = u + (c * d);        // K N, [c, d]
        var dr = z + (c * d);       // gradient of U, then of its right side, [c, d]
        var dx = dr + (c * d);      // gradient of V, [c, d]
        var part = dx + (c * d);    // [c, d]
        var dG = part + (c * d);
        var dBeta = dG + c + 16;
        var gates = GateScratch(dBeta + c + 16, dp + (c * c), c);
        var hasDecay = work.LogDecay.Values != null;
        var gradientIsZero = true;
        int first = scan.Plan.Items[2 * item], past = scan.Plan.Items[(2 * item) + 1];
        for (var i = past - 1; i >= first; i--)
        {
            var chunk = scan.Plan.Chunks + (i * MemoryPlan.ChunkFields);
            int row = chunk[0], rows = chunk[1], slot = chunk[2];
            var isRead = IsRead(chunk);
            if (slot >= 0 && scan.DStates != null)
            {
                var dState = scan.DStates + ((((long)slot * heads) + head) * square);
                Lanes.AddScaled(dState, 1, g, square, !gradientIsZero);
                gradientIsZero = false;
            }

            if (!isRead && gradientIsZero)
            {
                continue;
            }

            var offset = ((long)row * stride) + (head * d);
            float* q = scan.Q + offset, k = scan.K + offset, v = scan.V + offset, dO = scan.DOutput + offset;
            float* dq = scan.DQ + offset, dk = scan.DK + offset, dv = scan.DV + offset;
            var n = i == first ? null : scan.ChunkStates + ((((long)i * heads) + head) * square);
            Blas1.Zero(dG, rows);
            LoadGates(work, row, rows, head, c, gates);
            Correct(gates, k, v, stride, n, l, z, y, u, rows, d, c);
            if (!gradientIsZero)
            {
                // dU = w o (K G), dw = (K G) . U
                MatrixProduct.MultiplySmall(false, false, rows, d, d, k, stride, g, d, dr, d, false);
                for (var t = 0; t < rows - 1 && hasDecay; t++)
                {
                    var x = gates.Weight[t] * Blas1.Dot(dr + (t * d), u + (t * d), d);
                    dG[t] -= x;
                    dG[rows - 1] += x;
                }

                Blas1.ScaleRows(gates.Weight, dr, d, dr, d, rows, d);
            }

            if (isRead)
            {
                // dU += P^T dO; dP = dO U^T
                MatrixProduct.MultiplySmall(false, true, rows, rows, d, q, stride, k, stride, p, c, false);
                Mask(gates, p, rows, c);
                MatrixProduct.MultiplySmall(true, false, rows, d, rows, p, c, dO, stride, dr, d, !gradientIsZero);
                MatrixProduct.MultiplySmall(false, true, rows, rows, d, dO, stride, u, d, dp, c, false);
                for (var t = 1; t < rows && hasDecay; t++)
                {
                    DecayGradient(p + (t * c), dp + (t * c), t, dG);
                }

                Mask(gates, dp, rows, c);
            }

            SubstituteBack(l, c, gates.Beta, dr, dx, rows, d);
            for (var t = 0; t < rows; t++)
            {
                dBeta[t] = Blas1.Dot(dr + (t * d), y + (t * d), d);
                Lanes.AddScaled(dx + (t * d), 1, dv + ((long)t * stride), d, scan.AddV);
            }

            // dL = -dX U^T
            MatrixProduct.MultiplySmall(false, true, rows, rows, d, dx, d, u, d, p, c, false);
            for (var t = 1; t < rows && hasDecay; t++)
            {
                DecayGradient(l + (t * c), p + (t * c), t, dG);
            }

            // The gradient of K K^T in its lower triangle, and again in the upper: dK = (dS + dS^T) K
            for (var t = 0; t < rows; t++)
            {
                for (var j = 0; j < t; j++)
                {
                    p[(j * c) + t] = p[(t * c) + j] = -gates.Decay[(t * c) + j] * p[(t * c) + j];
                }

                p[(t * c) + t] = 0;
            }

            MatrixProduct.MultiplySmall(false, false, rows, d, rows, p, c, k, stride, dk, stride, scan.AddK);
            if (isRead)
            {
                // dQ = dS K; dK += dS^T Q
                MatrixProduct.MultiplySmall(false, false, rows, d, rows, dp, c, k, stride, dq, stride, scan.AddQ);
                MatrixProduct.MultiplySmall(true, false, rows, d, rows, dp, c, q, stride, dk, stride, true);
            }

            if (!gradientIsZero)
            {
                // dK += (w o U) G^T
                Blas1.ScaleRows(gates.Weight, u, d, y, d, rows, d);
                MatrixProduct.MultiplySmall(false, true, rows, d, d, y, d, g, d, dk, stride, true);
            }

            if (n != null)
            {
                if (!gradientIsZero && hasDecay)
                {
                    // d exp(G_c) = G . N
                    dG[rows - 1] += gates.Reach[rows - 1] * Blas1.Dot(g, n, square);
                    Blas1.Scale(gates.Reach[rows - 1], g, g, square);
                }

                // With E = -exp(G) o dX, the gradient of K N: dK += E N^T, dN = exp(G_c) G + K^T E
                Blas1.ScaleRows(gates.Reach, dx, d, dx, d, rows, d, -1);
                MatrixProduct.MultiplySmall(false, true, rows, d, d, dx, d, n, d, dk, stride, true);
                MatrixProduct.MultiplySmall(true, false, d, d, rows, k, stride, dx, d, g, d, !gradientIsZero);
                gradientIsZero = false;
                for (var t = 0; t < rows && hasDecay; t++)
                {
                    dG[t] += Blas1.Dot(dx + (t * d), z + (t * d), d);
                }

                if (isRead)
                {
                    // With F = exp(G) o dO, the gradient of Q N: dQ += F N^T, dN += Q^T F
                    Blas1.ScaleRows(gates.Reach, dO, stride, dr, d, rows, d);
                    MatrixProduct.MultiplySmall(false, true, rows, d, d, dr, d, n, d, part, d, false);
                    MatrixProduct.MultiplySmall(true, false, d, d, rows, q, stride, dr, d, g, d, true);
                    for (var t = 0; t < rows; t++)
                    {
                        dG[t] += hasDecay ? Blas1.Dot(part + (t * d), q + ((long)t * stride), d) : 0;
                        Blas1.AddScaled(1, part + (t * d), dq + ((long)t * stride), d);
                    }
                }
            }

            // G is a running sum, so its gradient is summed from the end.
            var suffix = 0f;
            for (var t = rows - 1; t >= 0; t--)
            {
                suffix += dG[t];
                var gate = ((long)(row + t) * heads) + head;
                work.LogDecay.Store(gate, suffix);
                work.Beta.Store(gate, dBeta[t]);
            }
        }
    }

    private static bool IsRead(int* chunk) => chunk[4] != 0;

    private static int GateScratchLength(int c) => 3 * (c + 16);

    private static Gates GateScratch(float* memory, float* decay, int c)
    {
        var line = c + 16;
        return new Gates
        {
            Beta = memory,
            Reach = memory + line,
            Weight = memory + (2 * line),
            Decay = decay,
        };
    }

    /// <summary>
    /// Products of decays, carried from row to row: nothing is divided, and strong decays take no precision from weak ones after them.
    /// </summary>
    private static void LoadGates(in Work work, int row, int rows, int head, int c, in Gates gates)
    {
        var reach = 1f;
        for (var t = 0; t < rows; t++)
        {
            var gate = ((long)(row + t) * work.Scan.Heads) + head;
            var decay = work.LogDecay.Values != null ? MathF.Exp(work.LogDecay.Values[gate]) : 1;
            reach *= decay;
            gates.Reach[t] = reach;
            gates.Beta[t] = work.Beta.Values[gate];
            var line = gates.Decay + (t * c);
            if (t > 0)
            {
                Blas1.Scale(decay, line - c, line, t);
            }

            line[t] = 1;
            Blas1.Zero(line + t + 1, rows - t - 1);
        }

        Blas1.Copy(gates.Decay + ((rows - 1) * c), gates.Weight, rows);
    }

    /// <summary>-L, K N, Y and U of a chunk; y may be u. Without a state (null) K N is left alone.</summary>
    private static void Correct(
        in Gates gates, float* k, float* v, int stride, float* n, float* l, float* z, float* y, float* u, int rows, int d, int c)
    {
        MatrixProduct.MultiplySmall(false, true, rows, rows, d, k, stride, k, stride, l, c, false);
        for (var t = 0; t < rows; t++)
        {
            var line = l + (t * c);
            MultiplyNegated(line, gates.Decay + (t * c), t);
            Blas1.Zero(line + t, rows - t);
        }

        if (n != null)
        {
            MatrixProduct.MultiplySmall(false, false, rows, d, d, k, stride, n, d, z, d, false);
        }

        for (var t = 0; t < rows; t++)
        {
            Blas1.Copy(v + ((long)t * stride), y + (t * d), d);
            if (n != null)
            {
                Blas1.AddScaled(-gates.Reach[t], z + (t * d), y + (t * d), d);
            }
        }

        Substitute(l, c, gates.Beta, y, u, rows, d);
    }

    /// <summary>
    /// Turns the right sides in y into the solution of y_t = right_t + sum_{j less than t} l_tj u_j, u_t = beta_t y_t; y may be u.
    /// </summary>
    private static void Substitute(float* l, int c, float* beta, float* y, float* u, int rows, int d)
    {
        for (var first = 0; first < rows; first += Block)
        {
            var past = Math.Min(first + Block, rows);
            if (first > 0)
            {
                MatrixProduct.MultiplySmall(false, false, past - first, d, first, l + (first * c), c, u, d, y + (first * d), d, true);
            }

            for (var t = first; t < past; t++)
            {
                var column = 0;
                for (; column <= d - Lanes.Count; column += Lanes.Count)
                {
                    SubstituteAt(
                        l + (t * c) + first, 1, t - first, u + (first * d) + column, d, beta[t], y + (t * d) + column, u + (t * d) + column,
                        Lanes.Count);
                }

                if (column < d)
                {
                    SubstituteAt(
                        l + (t * c) + first, 1, t - first, u + (first * d) + column, d, beta[t], y + (t * d) + column, u + (t * d) + column,
                        d - column);
                }
            }
        }
    }

    /// <summary>The transposed system, from the last row: dr_j = right_j + sum_{t after j} l_tj dx_t, dx_j = beta_j dr_j.</summary>
    private static void SubstituteBack(float* l, int c, float* beta, float* dr, float* dx, int rows, int d)
    {
        for (var first = (rows - 1) / Block * Block; first >= 0; first -= Block)
        {
            var past = Math.Min(first + Block, rows);
            if (past < rows)
            {
                MatrixProduct.MultiplySmall(
                    true, false, past - first, d, rows - past, l + (past * c) + first, c, dx + (past * d), d, dr + (first * d), d, true);
            }

            for (var j = past - 1; j >= first; j--)
            {
                var column = 0;
                float* factors = l + ((j + 1) * c) + j, solved = dx + ((j + 1) * d);
                for (; column <= d - Lanes.Count; column += Lanes.Count)
                {
                    SubstituteAt(
                        factors, c, past - 1 - j, solved + column, d, beta[j], dr + (j * d) + column, dx + (j * d) + column, Lanes.Count);
                }

                if (column < d)
                {
                    SubstituteAt(
                        factors, c, past - 1 - j, solved + column, d, beta[j], dr + (j * d) + column, dx + (j * d) + column, d - column);
                }
            }
        }
    }

    /// <summary>right += sum of factors times solved rows; scaled = beta times that.</summary>
    [MethodImpl(MethodImplOptions.AggressiveInlining)]
    private static void SubstituteAt(
        float* factors, int step, int count, float* solved, int d, float beta, float* right, float* scaled, int left)
    {
        var sum = Lanes.Load(right, left);
        for (var i = 0; i < count; i++)
        {
            sum = Vector.MultiplyAddEstimate(new Vector<float>(factors[i * step]), Lanes.Load(solved + (i * d), left), sum);
        }

        Lanes.Store(sum, right, left);
        Lanes.Store(sum * new Vector<float>(beta), scaled, left);
    }

    /// <summary>Multiplies a [rows, rows] matrix by D.</summary>
    private static void Mask(in Gates gates, float* matrix, int rows, int c)
    {
        for (var t = 0; t < rows; t++)
        {
            float* line = matrix + (t * c), decay = gates.Decay + (t * c);
            var j = 0;
            for (; j <= t + 1 - Lanes.Count; j += Lanes.Count)
            {
                Vector.Store(Vector.Load(line + j) * Vector.Load(decay + j), line + j);
            }

            for (; j <= t; j++)
            {
                line[j] *= decay[j];
            }

            Blas1.Zero(line + t + 1, rows - t - 1);
        }
    }

    /// <summary>x = -x y.</summary>
    private static void MultiplyNegated(float* x, float* y, int count)
    {
        var j = 0;
        for (; j <= count - Lanes.Count; j += Lanes.Count)
        {
            Vector.Store(-(Vector.Load(x + j) * Vector.Load(y + j)), x + j);
        }

        for (; j < count; j++)
        {
            x[j] = -(x[j] * y[j]);
        }
    }

    /// <summary>
    /// Gradient of G behind row t of a matrix with a factor exp(G_t - G_j), from the row and its gradient, left of the diagonal.
    /// </summary>
    private static void DecayGradient(float* line, float* dLine, int t, float* dG)
    {
        var total = 0f;
        var sums = Vector<float>.Zero;
        var j = 0;
        for (; j <= t - Lanes.Count; j += Lanes.Count)
        {
            var x = Vector.Load(line + j) * Vector.Load(dLine + j);
            Vector.Store(Vector.Load(dG + j) - x, dG + j);
            sums += x;
        }

        for (; j < t; j++)
        {
            var x = line[j] * dLine[j];
            dG[j] -= x;
            total += x;
        }

        dG[t] += total + Vector.Sum(sums);
    }
}
