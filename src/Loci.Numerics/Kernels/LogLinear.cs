using System.Numerics;

namespace Loci.Numerics.Kernels;

/// <summary>
/// Log-linear attention: o_t = sum_{j at most t} lambda_t[level(t, j)] exp(log a_{j+1} + ... + log a_t) l_j (q_t . k_j) v_j, where the level of two positions is the length in bits of their exclusive or. Inside a
/// block that is a masked product; all of a segment before it has one level, so that a segment is read as a state.
/// </summary>
internal static unsafe class LogLinear
{
    internal struct Work
    {
        public MemoryRead.Work Read;   // tables, queries, keys, states, output and their gradients
        public int Levels;
        public float* V;
        public float* Lambda;          // [rows, H * levels]
        public float* LogDecay;        // [rows, H] or null
        public float* WriteGate;       // [rows, H] or null
        public float* SlotDecay;       // streams: sum of log a between each slot's end and the block's start, [slots, H]
        public int FirstRow;           // streams: rows before it are read only as keys

        public float* DV;
        public float* DLambda;
        public float* DLogDecay;
        public float* DWriteGate;
        public bool AddV;
        public bool AddLambda;
        public bool AddLogDecay;
        public bool AddWriteGate;

        public readonly int LevelOf(int size) => Math.Min(BitOperations.Log2((uint)size) + 1, Levels - 1);

        public readonly int LevelOf(int t, int j) => t == j ? 0 : LevelOf(t ^ j);
    }

    /// <summary>Sizes of a piece of work.</summary>
    private readonly record struct Extent(int Rows, int SequenceRows, int Width);

    private struct Scratch : IScratch<Extent, Scratch>
    {
        public float* L;               // log a_2 + ... + log a_t, [rows]
        public float* Write;           // l, [rows]
        public float* P;               // [rows, rows]
        public float* DP;              // [rows, rows]
        public float* Z;               // [rows, d]
        public float* Weighted;        // [rows, d]
        public float* DL;              // [rows]
        public float* DWrite;          // [rows]
        public float* Before;          // what the rows before a block add to their log a's gradient, [rows of the sequence + 1]

        public static Scratch Carve(in Extent extent, ref Carver carver)
        {
            long rows = extent.Rows, panel = rows * extent.Width;
            return new()
            {
                L = carver.Take(rows),
                Write = carver.Take(rows),
                P = carver.Take(rows * rows),
                DP = carver.Take(rows * rows),
                Z = carver.Take(panel),
                Weighted = carver.Take(panel),
                DL = carver.Take(rows),
                DWrite = carver.Take(rows),
                Before = carver.Take(extent.SequenceRows + 1L),
            };
        }
    }

    public static void Forward(void* state, int index, int worker)
    {
        ref var work = ref *(Work*)state;
        ref var read = ref work.Read;
        int head = index % read.Heads, d = read.Width, stride = read.Stride;
        var group = new MemoryRead.Group(read, index / read.Heads);
        int rows = group.Rows, first = work.FirstRow;
        var scratch = KernelScratch.Get<Extent, Scratch>(new(rows, 0, d));
        LoadGates(work, scratch, group, head);
        var offset = ((long)group.Row * stride) + (head * d);
        float* q = read.Q + offset, k = read.K + offset, v = work.V + offset, y = read.Output + offset;

        // P [rows, rows] = (Q K^T) o weights
        MatrixProduct.MultiplySmall(false, true, rows - first, rows, d, q + ((long)first * stride), stride, k, stride, scratch.P, rows, false);
        for (var t = first; t < rows; t++)
        {
            float* line = scratch.P + ((long)(t - first) * rows), lambda = LambdaOf(work, work.Lambda, group.Row + t, head);
            for (var j = 0; j <= t; j++)
            {
                line[j] *= MathF.Exp(scratch.L[t] - scratch.L[j]) * scratch.Write[j] * lambda[work.LevelOf(t, j)];
            }

            MemoryVector.Zero(line + t + 1, rows - t - 1);
        }

        MatrixProduct.MultiplySmall(false, false, rows - first, d, rows, scratch.P, rows, v, stride, y + ((long)first * stride), stride, false);
        for (var i = 0; i < group.Count; i++)
        {
            var slot = group.Visible[i];
            var n = read.StateOf(slot, head, null);
            var level = work.LevelOf(read.Slots[(slot * MemoryPlan.SlotFields) + 1]);
            var before = DecayBefore(work, group, slot, head);
            MatrixProduct.MultiplySmall(false, false, rows - first, d, d, q + ((long)first * stride), stride, n, d, scratch.Z, d, false);
            for (var t = first; t < rows; t++)
            {
                var weight = LambdaOf(work, work.Lambda, group.Row + t, head)[level] * MathF.Exp(before + scratch.L[t]);
                MemoryVector.AddScaled(weight, scratch.Z + ((t - first) * d), y + ((long)t * stride), d);
            }
        }
    }

    /// <summary>All gradients of one sequence and head. The states' gradients start from zero.</summary>
    public static void Backward(void* state, int index, int worker)
    {
        ref var work = ref *(Work*)state;
        ref var read = ref work.Read;
        int sequence = index / read.Heads, head = index % read.Heads;
        int firstGroup = read.GroupRanges[2 * sequence], pastGroup = read.GroupRanges[(2 * sequence) + 1];
        var start = new MemoryRead.Group(read, firstGroup).Row;
        var last = new MemoryRead.Group(read, pastGroup - 1);
        var end = last.Row + last.Rows;
        var longest = new MemoryRead.Group(read, firstGroup).Rows;
        var scratch = KernelScratch.Get<Extent, Scratch>(new(longest, end - start, read.Width));
        MemoryVector.Zero(scratch.Before, end - start + 1);
        for (var i = firstGroup; i < pastGroup; i++)
        {
            GroupBackward(work, scratch, new MemoryRead.Group(read, i), head, start);
        }

        // A segment is read through every log a between its end and the block: what was noted at its end counts for all rows from there to the block's first.
        var running = 0f;
        for (var row = start; row < end && work.DLogDecay != null; row++)
        {
            running += scratch.Before[row - start];
            work.DLogDecay[((long)row * read.Heads) + head] += running;
        }
    }

    private static void GroupBackward(in Work work, in Scratch scratch, in MemoryRead.Group group, int head, int start)
    {
        var read = work.Read;
        int d = read.Width, stride = read.Stride, rows = group.Rows;
        LoadGates(work, scratch, group, head);
        var offset = ((long)group.Row * stride) + (head * d);
        float* q = read.Q + offset, k = read.K + offset, v = work.V + offset, dy = read.DOutput + offset;
        MemoryVector.Zero(scratch.DL, rows);
        MemoryVector.Zero(scratch.DWrite, rows);
        MatrixProduct.MultiplySmall(false, true, rows, rows, d, q, stride, k, stride, scratch.P, rows, false);
        MatrixProduct.MultiplySmall(false, true, rows, rows, d, dy, stride, v, stride, scratch.DP, rows, false);
        for (var t = 0; t < rows; t++)
        {
            float* p = scratch.P + ((long)t * rows), dp = scratch.DP + ((long)t * rows);
            float* lambda = LambdaOf(work, work.Lambda, group.Row + t, head), dLambda = LambdaOf(work, work.DLambda, group.Row + t, head);
            if (work.DLambda != null && !work.AddLambda)
            {
                MemoryVector.Zero(dLambda, work.Levels);
            }

            for (var j = 0; j <= t; j++)
            {
                var level = work.LevelOf(t, j);
                float reach = MathF.Exp(scratch.L[t] - scratch.L[j]), written = reach * scratch.Write[j], weight = written * lambda[level], x = p[j] * dp[j];
                if (work.DLambda != null)
                {
                    dLambda[level] += x * written;
                }

                scratch.DWrite[j] += x * reach * lambda[level];
                scratch.DL[t] += x * weight;
                scratch.DL[j] -= x * weight;
                p[j] *= weight;
                dp[j] *= weight;
            }

            MemoryVector.Zero(p + t + 1, rows - t - 1);
            MemoryVector.Zero(dp + t + 1, rows - t - 1);
        }

        // dV = P^T dY; dQ = dS K; dK = dS^T Q
        MultiplyTo(work.DV, work.AddV, true, rows, d, scratch.P, dy, stride, offset);
        MultiplyTo(read.DQ, read.AddQ, false, rows, d, scratch.DP, k, stride, offset);
        MultiplyTo(read.DK, read.AddK, true, rows, d, scratch.DP, q, stride, offset);
        var before = 0f;
        for (var i = 0; i < group.Count; i++)
        {
            var slot = group.Visible[i];
            var at = (((long)slot * read.Heads) + head) * d * d;
            var fields = read.Slots + (slot * MemoryPlan.SlotFields);
            var level = work.LevelOf(fields[1]);
            var decay = DecayBefore(work, group, slot, head);

            // Z = Q N; weight w_t = lambda exp(.): dw = dY . Z
            MatrixProduct.MultiplySmall(false, false, rows, d, d, q, stride, read.States + at, d, scratch.Z, d, false);
            var total = 0f;
            for (var t = 0; t < rows; t++)
            {
                float reach = MathF.Exp(decay + scratch.L[t]), dWeight = MemoryVector.Dot(dy + ((long)t * stride), scratch.Z + (t * d), d);
                var weight = reach * LambdaOf(work, work.Lambda, group.Row + t, head)[level];
                if (work.DLambda != null)
                {
                    LambdaOf(work, work.DLambda, group.Row + t, head)[level] += dWeight * reach;
                }

                scratch.DL[t] += dWeight * weight;
                total += dWeight * weight;
                MemoryVector.Scale(weight, dy + ((long)t * stride), scratch.Weighted + (t * d), d);
            }

            // From the row behind the slot's end to the block's first row.
            scratch.Before[fields[0] + fields[1] - start] += total;
            before += total;
            if (read.DQ != null)
            {
                MatrixProduct.MultiplySmall(false, true, rows, d, d, scratch.Weighted, d, read.States + at, d, read.DQ + offset, stride, true);
            }

            if (read.DStates != null)
            {
                MatrixProduct.MultiplySmall(true, false, d, d, rows, q, stride, scratch.Weighted, d, read.DStates + at, d, true);
            }
        }

        scratch.Before[group.Row + 1 - start] -= before;
        var suffix = 0f;
        for (var t = rows - 1; t >= 0; t--)
        {
            suffix += t > 0 ? scratch.DL[t] : 0;
            var gate = ((long)(group.Row + t) * read.Heads) + head;
            MemoryVector.Store(work.DLogDecay, gate, t > 0 ? suffix : 0, work.AddLogDecay);
            MemoryVector.Store(work.DWriteGate, gate, scratch.DWrite[t], work.AddWriteGate);
        }
    }

    private static void MultiplyTo(float* destination, bool accumulate, bool transposed, int rows, int d, float* p, float* x, int stride, long offset)
    {
        if (destination != null)
        {
            MatrixProduct.MultiplySmall(transposed, false, rows, d, rows, p, rows, x, stride, destination + offset, stride, accumulate);
        }
    }

    private static void LoadGates(in Work work, in Scratch scratch, in MemoryRead.Group group, int head)
    {
        var sum = 0f;
        for (var t = 0; t < group.Rows; t++)
        {
            var gate = ((long)(group.Row + t) * work.Read.Heads) + head;
            sum += t > 0 && work.LogDecay != null ? work.LogDecay[gate] : 0;
            scratch.L[t] = sum;
            scratch.Write[t] = work.WriteGate != null ? work.WriteGate[gate] : 1;
        }
    }

    /// <summary>Sum of log a from the row behind a slot to the block's first row.</summary>
    private static float DecayBefore(in Work work, in MemoryRead.Group group, int slot, int head)
    {
        if (work.LogDecay == null)
        {
            return 0;
        }

        int heads = work.Read.Heads, row = group.Row;
        var sum = work.LogDecay[((long)row * heads) + head];
        if (work.SlotDecay != null)
        {
            return sum + work.SlotDecay[((long)slot * heads) + head];
        }

        var fields = work.Read.Slots + (slot * MemoryPlan.SlotFields);
        for (row = fields[0] + fields[1]; row < group.Row; row++)
        {
            sum += work.LogDecay[((long)row * heads) + head];
        }

        return sum;
    }

    private static float* LambdaOf(in Work work, float* lambda, int row, int head) => lambda + ((((long)row * work.Read.Heads) + head) * work.Levels);
}
