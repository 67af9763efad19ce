using System.Numerics;
using Loci.Memory.Segments;
using Loci.Numerics;
using Loci.Numerics.Kernels;

namespace Loci.Memory.Rules.ScalarGated;

/// <summary>
/// The chunked form of a matrix memory with scalar gates. Inside a chunk whose first row is 1, with L_t = log a_2 + ... + log a_t and the
/// state N~ = a_1 N + b_1 k_0 v_0^T (N before the chunk, row 0 the row before it), row t reads
///   o_t = exp(L_t) q_t N~ + sum_{j at most t} D_tj (q_t . k_j) v_j,  D_tj = exp(L_t - L_j) l_j + [j less than t] exp(L_t - L_{j+1})
///   b_{j+1},
/// and the state after the chunk is exp(L_c) N~ + sum_j w_j k_j v_j^T with w_j = D_cj. Only differences that are at most 0 are
/// exponentiated.
/// </summary>
internal readonly unsafe struct ScalarGatedScanKernel : IMatrixScan
{
    internal struct Work(in ScanArguments arguments)
    {
        public readonly ScanWork Scan = new(arguments);
        public readonly GateWork LogDecay = new(arguments.Gates[0]);
        public readonly GateWork PreviousGate = new(arguments.Gates[1]);
        public readonly GateWork WriteGate = new(arguments.Gates[2]);

        public readonly bool IsGated => LogDecay.Values != null || PreviousGate.Values != null || WriteGate.Values != null;
    }

    /// <summary>Gate arrays of one chunk and head; index 0 is the chunk's first row.</summary>
    private ref struct Gates
    {
        public float* L;            // cumulated log decay, L[0] = 0
        public float* B;            // b
        public float* Write;        // l
        public float* Reach;        // exp(L)
        public float* Weight;       // w, to the end of the chunk
        public float* Exponentials; // one row of exp(L_t - L_j), one spare element at the end
        public float FirstDecay;    // a_1
        public bool HasPrevious;    // whether any b is given
    }

    public static bool RewritesSegments => false;

    public static void Forward(CpuDevice device, in ScanArguments arguments)
    {
        var work = new Work(arguments);
        device.Workers.For(arguments.Plan.ItemCount * arguments.Heads, &WriteItem, &work);
        device.Workers.For(arguments.MergeCount, &ScalarGatedMerge.Forward, &work);
    }

    public static void Backward(CpuDevice device, in ScanArguments arguments)
    {
        var work = new Work(arguments);
        var merges = arguments.States.Gradient.IsEmpty ? 0 : arguments.MergeCount;
        device.Workers.For(merges, &ScalarGatedMerge.PropagateBackward, &work);
        device.Workers.For(arguments.Plan.ItemCount * arguments.Heads, &ItemBackward, &work);
        if (work.IsGated)
        {
            device.Workers.For(merges, &ScalarGatedMerge.InputBackward, &work);
        }
    }

    private static void WriteItem(void* state, int index, int worker)
    {
        ref var work = ref *(Work*)state;
        ref readonly var scan = ref work.Scan;
        int d = scan.Width, c = scan.ChunkLength, stride = scan.Stride, heads = scan.Heads;
        int item = index / heads, head = index % heads;
        var memory = KernelScratch.Get((nuint)((d * d) + (c * c) + (c * d) + (6 * (c + 16))));
        var n = memory;                    // [d, d]
        var p = n + (d * d);               // [c, c]
        var w = p + (c * c);               // [c, d]
        var gates = GateScratch(w + (c * d), c);
        var stateSize = (long)d * d;
        var isZero = true;
        int first = scan.Plan.Items[2 * item], past = scan.Plan.Items[(2 * item) + 1];
        for (var i = first; i < past; i++)
        {
            var chunk = scan.Plan.Chunks + (i * MemoryPlan.ChunkFields);
            int row = chunk[0], rows = chunk[1], slot = chunk[2];
            var offset = ((long)row * stride) + (head * d);
            float* q = scan.Q + offset, k = scan.K + offset, v = scan.V + offset, o = scan.Output + offset;
            if (scan.ChunkStates != null && !isZero)
            {
                Blas1.Copy(n, scan.ChunkStates + ((((long)i * heads) + head) * stateSize), d * d);
            }

            var gated = work.IsGated;
            if (gated)
            {
                LoadGates(work, row, rows, head, ref gates);
                if (!isZero)
                {
                    EnterChunk(gates, n, k - stride, v - stride, d);
                }
            }

            // P [c, c] = (Q K^T) o D
            MatrixProduct.MultiplySmall(false, true, rows, rows, d, q, stride, k, stride, p, c, false);
            for (var t = 0; t < rows; t++)
            {
                var line = p + (t * c);
                if (gated)
                {
                    MaskRow(gates, line, t);
                }

                Blas1.Zero(line + t + 1, rows - t - 1);
            }

            if (!isZero)
            {
                // O [c, d] = exp(L) o (Q N~)
                MatrixProduct.MultiplySmall(false, false, rows, d, d, q, stride, n, d, o, stride, false);
                if (work.LogDecay.Values != null)
                {
                    for (var t = 1; t < rows; t++)
                    {
                        Blas1.Scale(gates.Reach[t], o + ((long)t * stride), o + ((long)t * stride), d);
                    }
                }
            }

            // O += P V
            MatrixProduct.MultiplySmall(false, false, rows, d, rows, p, c, v, stride, o, stride, !isZero);
            if (i == past - 1 && slot < 0)
            {
                break;
            }

            if (!gated)
            {
                // N += K^T V
                MatrixProduct.MultiplySmall(true, false, d, d, rows, k, stride, v, stride, n, d, !isZero);
            }
            else
            {
                Blas1.ScaleRows(gates.Weight, v, stride, w, d, rows, d);
                if (!isZero)
                {
                    Blas1.Scale(gates.Reach[rows - 1], n, n, d * d);
                }

                // N = exp(L_c) N~ + K^T (w o V)
                MatrixProduct.MultiplySmall(true, false, d, d, rows, k, stride, w, d, n, d, !isZero);
            }

            isZero = false;
            if (slot >= 0)
            {
                Blas1.Copy(n, scan.States + ((((long)slot * heads) + head) * stateSize), d * d);
            }
        }
    }

    private static void ItemBackward(void* state, int index, int worker)
    {
        ref var work = ref *(Work*)state;
        ref readonly var scan = ref work.Scan;
        int d = scan.Width, c = scan.ChunkLength, stride = scan.Stride, heads = scan.Heads;
        int item = index / heads, head = index % heads;
        var square = d * d;
        var memory = KernelScratch.Get((nuint)((2 * square) + (2 * c * c) + (3 * c * d) + (6 * (c + 16)) + (4 * (c + 16)) + (2 * d)));
        var n = memory;                    // N~, [d, d]
        var g = n + square;                // gradient of the state after the chunk, [d, d]
        var p = g + square;                // S, then P, [c, c]
        var dp = p + (c * c);              // dP, then dS, [c, c]
        var z = dp + (c * c);              // [c, d]
        var w = z + (c * d);               // w o V, [c, d]
        var scaled = w + (c * d);          // exp(L) o dO, [c, d]
        var dkPrevious = scaled + (c * d); // [d]
        var dvPrevious = dkPrevious + d;   // [d]
        var dL = dvPrevious + d;
        var dB = dL + c + 16;
        var dWrite = dB + c + 16;
        var dWeight = dWrite + c + 16;
        var gates = GateScratch(dWeight + c + 16, c);
        var gradientIsZero = true;
        var hasPending = false;
        int first = scan.Plan.Items[2 * item], past = scan.Plan.Items[(2 * item) + 1];
        for (var i = past - 1; i >= first; i--)
        {
            var chunk = scan.Plan.Chunks + (i * MemoryPlan.ChunkFields);
            int row = chunk[0], rows = chunk[1], slot = chunk[2];
            var startsFromZero = i == first;
            var offset = ((long)row * stride) + (head * d);
            float* q = scan.Q + offset, k = scan.K + offset, v = scan.V + offset, dO = scan.DOutput + offset;
            float* dq = scan.DQ + offset, dk = scan.DK + offset, dv = scan.DV + offset;
            var gated = work.IsGated;
            if (gated)
            {
                LoadGates(work, row, rows, head, ref gates);
                new Span<float>(dL, rows + 1).Clear();
                new Span<float>(dB, rows + 1).Clear();
                new Span<float>(dWrite, rows + 1).Clear();
                new Span<float>(dWeight, rows + 1).Clear();
            }

            if (slot >= 0 && scan.DStates != null)
            {
                var dState = scan.DStates + ((((long)slot * heads) + head) * square);
                Lanes.AddScaled(dState, 1, g, square, !gradientIsZero);
                gradientIsZero = false;
            }

            if (!startsFromZero)
            {
                Blas1.Copy(scan.ChunkStates + ((((long)i * heads) + head) * square), n, square);
                if (gated)
                {
                    EnterChunk(gates, n, k - stride, v - stride, d);
                }
            }

            // S = Q K^T; dP = dO V^T
            MatrixProduct.MultiplySmall(false, true, rows, rows, d, q, stride, k, stride, p, c, false);
            MatrixProduct.MultiplySmall(false, true, rows, rows, d, dO, stride, v, stride, dp, c, false);
            for (var t = 0; t < rows; t++)
            {
                float* line = p + (t * c), dLine = dp + (t * c);
                if (gated)
                {
                    MaskRowBackward(gates, line, dLine, t, dL, dB, dWrite);
                }

                Blas1.Zero(line + t + 1, rows - t - 1);
                Blas1.Zero(dLine + t + 1, rows - t - 1);
            }

            // dV = P^T dO; dQ = dS K; dK = dS^T Q
            MatrixProduct.MultiplySmall(true, false, rows, d, rows, p, c, dO, stride, dv, stride, scan.AddV);
            MatrixProduct.MultiplySmall(false, false, rows, d, rows, dp, c, k, stride, dq, stride, scan.AddQ);
            MatrixProduct.MultiplySmall(true, false, rows, d, rows, dp, c, q, stride, dk, stride, scan.AddK);
            if (hasPending)
            {
                Blas1.AddScaled(1, dkPrevious, dk + ((long)(rows - 1) * stride), d);
                Blas1.AddScaled(1, dvPrevious, dv + ((long)(rows - 1) * stride), d);
                hasPending = false;
            }

            if (!gradientIsZero)
            {
                if (gated)
                {
                    Blas1.ScaleRows(gates.Weight, v, stride, w, d, rows, d);

                    // dK += (w o V) G^T; dW = K G, dV += w o dW, dw = dW . V
                    MatrixProduct.MultiplySmall(false, true, rows, d, d, w, d, g, d, dk, stride, true);
                    MatrixProduct.MultiplySmall(false, false, rows, d, d, k, stride, g, d, z, d, false);
                    for (var t = 0; t < rows; t++)
                    {
                        dWeight[t] = Blas1.Dot(z + (t * d), v + ((long)t * stride), d);
                        Blas1.AddScaled(gates.Weight[t], z + (t * d), dv + ((long)t * stride), d);
                    }

                    if (!startsFromZero)
                    {
                        // d exp(L_c) = G . N~
                        dL[rows - 1] += gates.Reach[rows - 1] * Blas1.Dot(g, n, square);
                        Blas1.Scale(gates.Reach[rows - 1], g, g, square);
                    }

                    WeightBackward(gates, rows, dWeight, dL, dB, dWrite);
                }
                else
                {
                    // dK += V G^T; dV += K G
                    MatrixProduct.MultiplySmall(false, true, rows, d, d, v, stride, g, d, dk, stride, true);
                    MatrixProduct.MultiplySmall(false, false, rows, d, d, k, stride, g, d, dv, stride, true);
                }
            }

            if (!startsFromZero)
            {
                // Z = dO N~^T; dQ += exp(L) o Z; dN~ += Q^T (exp(L) o dO)
                var readGradient = dO;
                var readStride = stride;
                if (work.LogDecay.Values != null)
                {
                    MatrixProduct.MultiplySmall(false, true, rows, d, d, dO, stride, n, d, z, d, false);
                    for (var t = 0; t < rows; t++)
                    {
                        var reach = gates.Reach[t];
                        dL[t] += reach * Blas1.Dot(z + (t * d), q + ((long)t * stride), d);
                        Blas1.AddScaled(reach, z + (t * d), dq + ((long)t * stride), d);
                        Blas1.Scale(reach, dO + ((long)t * stride), scaled + (t * d), d);
                    }

                    readGradient = scaled;
                    readStride = d;
                }
                else
                {
                    MatrixProduct.MultiplySmall(false, true, rows, d, d, dO, stride, n, d, dq, stride, true);
                }

                MatrixProduct.MultiplySmall(true, false, d, d, rows, q, stride, readGradient, readStride, g, d, !gradientIsZero);
                gradientIsZero = false;
            }

            if (gated)
            {
                // L is a running sum from the second row on, so its gradient is summed from the end.
                var suffix = 0f;
                var firstDecayGradient = 0f;
                if (!startsFromZero)
                {
                    var before = scan.ChunkStates + ((((long)i * heads) + head) * square);
                    firstDecayGradient = gates.FirstDecay * Blas1.Dot(g, before, square);
                    if (gates.HasPrevious)
                    {
                        // dk_0 = b_1 dN~ v_0, dv_0 = b_1 dN~^T k_0, db_1 = k_0^T dN~ v_0
                        float* k0 = k - stride, v0 = v - stride;
                        Blas1.Zero(dvPrevious, d);
                        for (var x = 0; x < d; x++)
                        {
                            var value = Blas1.Dot(g + (x * d), v0, d);
                            dB[0] += k0[x] * value;
                            dkPrevious[x] = gates.B[0] * value;
                            Blas1.AddScaled(gates.B[0] * k0[x], g + (x * d), dvPrevious, d);
                        }

                        hasPending = true;
                    }

                    if (work.LogDecay.Values != null)
                    {
                        Blas1.Scale(gates.FirstDecay, g, g, square);
                    }
                }

                for (var t = rows - 1; t >= 0; t--)
                {
                    suffix += t > 0 ? dL[t] : 0;
                    var gate = ((long)(row + t) * heads) + head;
                    work.LogDecay.Store(gate, t > 0 ? suffix : firstDecayGradient);
                    work.PreviousGate.Store(gate, t > 0 || !startsFromZero ? dB[t] : 0);
                    work.WriteGate.Store(gate, dWrite[t]);
                }
            }
        }
    }

    private static Gates GateScratch(float* memory, int c)
    {
        var line = c + 16;
        return new Gates
        {
            L = memory,
            B = memory + line,
            Write = memory + (2 * line),
            Reach = memory + (3 * line),
            Weight = memory + (4 * line),
            Exponentials = memory + (5 * line),
        };
    }

    private static void LoadGates(in Work work, int row, int rows, int head, ref Gates gates)
    {
        var heads = work.Scan.Heads;
        gates.HasPrevious = work.PreviousGate.Values != null;
        gates.FirstDecay = work.LogDecay.Values != null ? MathF.Exp(work.LogDecay.Values[((long)row * heads) + head]) : 1;
        var sum = 0f;
        for (var t = 0; t < rows; t++)
        {
            var index = ((long)(row + t) * heads) + head;
            if (t > 0 && work.LogDecay.Values != null)
            {
                sum += work.LogDecay.Values[index];
            }

            gates.L[t] = sum;
            gates.B[t] = work.PreviousGate.Values != null ? work.PreviousGate.Values[index] : 0;
            gates.Write[t] = work.WriteGate.Values != null ? work.WriteGate.Values[index] : 1;
        }

        gates.L[rows] = sum;
        gates.B[rows] = 0;
        Exponentials(gates.L, 0, gates.Reach, rows);

        // w_j = exp(L_c - L_j) l_j + exp(L_c - L_{j+1}) b_{j+1}
        FillExponentials(gates, rows - 1);
        for (var j = 0; j < rows; j++)
        {
            gates.Weight[j] = (gates.Exponentials[j] * gates.Write[j]) + (gates.Exponentials[j + 1] * gates.B[j + 1]);
        }
    }

    /// <summary>exp(L_t - L_j) for j = 0..t, then a zero for the element after the last.</summary>
    private static void FillExponentials(in Gates gates, int t)
    {
        var last = new Vector<float>(gates.L[t]);
        for (var j = 0; j <= t; j += Vector<float>.Count)
        {
            // Elements past t may be stale: their exponent is clamped so that they stay finite, and they are overwritten or never read.
            var exponent = Vector.Min(last - Vector.Load(gates.L + j), Vector<float>.Zero);
            Vector.Store(VectorMath.Exp(exponent), gates.Exponentials + j);
        }

        gates.Exponentials[t + 1] = 0;
    }

    private static void Exponentials(float* source, float shift, float* destination, int count)
    {
        for (var j = 0; j < count; j += Vector<float>.Count)
        {
            Vector.Store(
                VectorMath.Exp(Vector.Min(Vector.Load(source + j) - new Vector<float>(shift), Vector<float>.Zero)), destination + j);
        }
    }

    /// <summary>N~ = a_1 N + b_1 k_0 v_0^T in place.</summary>
    private static void EnterChunk(in Gates gates, float* n, float* k0, float* v0, int d)
    {
        if (gates.FirstDecay != 1)
        {
            Blas1.Scale(gates.FirstDecay, n, n, d * d);
        }

        if (gates.HasPrevious)
        {
            for (var x = 0; x < d; x++)
            {
                Blas1.AddScaled(gates.B[0] * k0[x], v0, n + (x * d), d);
            }
        }
    }

    /// <summary>Multiplies row t of Q K^T by the mask D.</summary>
    private static void MaskRow(in Gates gates, float* line, int t)
    {
        FillExponentials(gates, t);
        float* e = gates.Exponentials, write = gates.Write, b = gates.B;
        var j = 0;
        for (; j <= t + 1 - Vector<float>.Count; j += Vector<float>.Count)
        {
            var mask = (Vector.Load(e + j) * Vector.Load(write + j)) + (Vector.Load(e + j + 1) * Vector.Load(b + j + 1));
            Vector.Store(Vector.Load(line + j) * mask, line + j);
        }

        for (; j <= t; j++)
        {
            line[j] *= (e[j] * write[j]) + (e[j + 1] * b[j + 1]);
        }
    }

    /// <summary>Turns row t of S into P and of dP into dS, and adds the gradients of the gates behind the mask.</summary>
    private static void MaskRowBackward(in Gates gates, float* line, float* dLine, int t, float* dL, float* dB, float* dWrite)
    {
        FillExponentials(gates, t);
        float* e = gates.Exponentials, write = gates.Write, b = gates.B;
        var total = 0f;
        for (var j = 0; j <= t; j++)
        {
            // Through exp(L_t - L_j) l_j and through exp(L_t - L_{j+1}) b_{j+1}; the latter is zero at j = t.
            var viaWrite = e[j] * write[j];
            var viaPrevious = e[j + 1] * b[j + 1];
            var mask = viaWrite + viaPrevious;
            var x = line[j] * dLine[j];
            total += x * mask;
            dWrite[j] += x * e[j];
            dB[j + 1] += x * e[j + 1];
            dL[j] -= x * viaWrite;
            dL[j + 1] -= x * viaPrevious;
            line[j] *= mask;
            dLine[j] *= mask;
        }

        dL[t] += total;
    }

    /// <summary>Gradients of the gates behind the weights w.</summary>
    private static void WeightBackward(in Gates gates, int rows, float* dWeight, float* dL, float* dB, float* dWrite)
    {
        var last = rows - 1;
        FillExponentials(gates, last);
        float* e = gates.Exponentials, write = gates.Write, b = gates.B;
        for (var j = 0; j < rows; j++)
        {
            var x = dWeight[j];
            var viaWrite = x * e[j] * write[j];
            var viaPrevious = x * e[j + 1] * b[j + 1];
            dWrite[j] += x * e[j];
            dB[j + 1] += x * e[j + 1];
            dL[j] -= viaWrite;
            dL[j + 1] -= viaPrevious;
            dL[last] += viaWrite + viaPrevious;
        }
    }
}
