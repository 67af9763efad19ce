using System.Numerics;
using Loci.Memory.Segments;
using Loci.Numerics;
using Loci.Numerics.Kernels;
using static Loci.Numerics.CpuDevice;

namespace Loci.Memory.Aggregations;

/// <summary>
/// Log-linear attention: o_t = sum_{j at most t} lambda_t[level(t, j)] exp(log a_{j+1} + ... + log a_t) l_j (q_t . k_j) v_j, where the
/// level of two positions is the length in bits of their exclusive or. Inside a block that is a masked product; all of a segment before it
/// has one level, so that a segment is read as a state.
/// </summary>
internal static unsafe class LogLinearReadKernel
{
    internal struct Work(in LogLinearArguments arguments)
    {
        public readonly PlanTables Plan = new(arguments.Plan);
        public readonly int Heads = arguments.Heads;
        public readonly int Width = arguments.Width;
        public readonly int Stride = arguments.Heads * arguments.Width;
        public readonly int Levels = arguments.Levels;
        public readonly float* Q = Pointer(arguments.Queries.Values);
        public readonly float* K = Pointer(arguments.Keys.Values);
        public readonly float* V = Pointer(arguments.Values.Values);
        public readonly float* Lambda = Pointer(arguments.Lambda.Values);
        public readonly float* LogDecay = Pointer(arguments.LogDecay.Values);
        public readonly float* WriteGate = Pointer(arguments.WriteGate.Values);
        public readonly float* States = Pointer(arguments.States.Values);
        public readonly RowPages StatePages = new(arguments.StatePages);
        public readonly float* Output = Pointer(arguments.Output.Values);
        public readonly float* SlotDecay = Pointer(arguments.SlotDecay);
        public readonly int FirstRow = arguments.FirstRow;
        public readonly float* DOutput = Pointer(arguments.Output.Gradient);
        public readonly float* DStates = Pointer(arguments.States.Gradient);
        public readonly float* DQ = Pointer(arguments.Queries.Gradient);
        public readonly bool AddQ = arguments.Queries.Accumulates;
        public readonly float* DK = Pointer(arguments.Keys.Gradient);
        public readonly bool AddK = arguments.Keys.Accumulates;
        public readonly float* DV = Pointer(arguments.Values.Gradient);
        public readonly bool AddV = arguments.Values.Accumulates;
        public readonly float* DLambda = Pointer(arguments.Lambda.Gradient);
        public readonly bool AddLambda = arguments.Lambda.Accumulates;
        public readonly float* DLogDecay = Pointer(arguments.LogDecay.Gradient);
        public readonly bool AddLogDecay = arguments.LogDecay.Accumulates;
        public readonly float* DWriteGate = Pointer(arguments.WriteGate.Gradient);
        public readonly bool AddWriteGate = arguments.WriteGate.Accumulates;

        public readonly int LevelOf(int size) => Math.Min(BitOperations.Log2((uint)size) + 1, Levels - 1);

        public readonly int LevelOf(int t, int j) => t == j ? 0 : LevelOf(t ^ j);

        /// <summary>One head's cached state, in its place.</summary>
        public readonly float* StateOf(int slot, int head) =>
            (StatePages.IsEmpty ? States + ((long)slot * Heads * Width * Width) : StatePages.At(slot)) + ((long)head * Width * Width);
    }

    internal readonly struct Forward : IKernel<LogLinearArguments>
    {
        public static void Run(CpuDevice device, in LogLinearArguments arguments)
        {
            var work = new Work(arguments);
            device.Workers.For(arguments.Plan.GroupCount * arguments.Heads, &ReadGroup, &work);
        }
    }

    internal readonly struct Backward : IKernel<LogLinearArguments>
    {
        public static void Run(CpuDevice device, in LogLinearArguments arguments)
        {
            var work = new Work(arguments);
            if (!arguments.States.Gradient.IsEmpty)
            {
                device.Fill(arguments.States.Gradient, 0);
            }

            device.Workers.For(arguments.Plan.SequenceCount * arguments.Heads, &SequenceBackward, &work);
        }
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

    private static void ReadGroup(void* state, int index, int worker)
    {
        ref var work = ref *(Work*)state;
        int head = index % work.Heads, d = work.Width, stride = work.Stride;
        var group = new PlanGroup(work.Plan, work.Heads, index / work.Heads);
        int rows = group.Rows, first = work.FirstRow;
        var scratch = KernelScratch.Get<Extent, Scratch>(new(rows, 0, d));
        LoadGates(work, scratch, group, head);
        var offset = ((long)group.Row * stride) + (head * d);
        float* q = work.Q + offset, k = work.K + offset, v = work.V + offset, y = work.Output + offset;

        // P [rows, rows] = (Q K^T) o weights
        MatrixProduct.MultiplySmall(
            false, true, rows - first, rows, d, q + ((long)first * stride), stride, k, stride, scratch.P, rows, false);
        for (var t = first; t < rows; t++)
        {
            float* line = scratch.P + ((long)(t - first) * rows), lambda = LambdaOf(work, work.Lambda, group.Row + t, head);
            for (var j = 0; j <= t; j++)
            {
                line[j] *= MathF.Exp(scratch.L[t] - scratch.L[j]) * scratch.Write[j] * lambda[work.LevelOf(t, j)];
            }

            Blas1.Zero(line + t + 1, rows - t - 1);
        }

        MatrixProduct.MultiplySmall(
            false, false, rows - first, d, rows, scratch.P, rows, v, stride, y + ((long)first * stride), stride, false);
        for (var i = 0; i < group.Count; i++)
        {
            var slot = group.Visible[i];
            var n = work.StateOf(slot, head);
            var level = work.LevelOf(work.Plan.Slot(slot)[1]);
            var before = DecayBefore(work, group, slot, head);
            MatrixProduct.MultiplySmall(false, false, rows - first, d, d, q + ((long)first * stride), stride, n, d, scratch.Z, d, false);
            for (var t = first; t < rows; t++)
            {
                var weight = LambdaOf(work, work.Lambda, group.Row + t, head)[level] * MathF.Exp(before + scratch.L[t]);
                Blas1.AddScaled(weight, scratch.Z + ((t - first) * d), y + ((long)t * stride), d);
            }
        }
    }

    /// <summary>All gradients of one sequence and head. The states' gradients start from zero.</summary>
    private static void SequenceBackward(void* state, int index, int worker)
    {
        ref var work = ref *(Work*)state;
        int sequence = index / work.Heads, head = index % work.Heads;
        int firstGroup = work.Plan.GroupRanges[2 * sequence], pastGroup = work.Plan.GroupRanges[(2 * sequence) + 1];
        var start = new PlanGroup(work.Plan, work.Heads, firstGroup).Row;
        var last = new PlanGroup(work.Plan, work.Heads, pastGroup - 1);
        var end = last.Row + last.Rows;
        var longest = new PlanGroup(work.Plan, work.Heads, firstGroup).Rows;
        var scratch = KernelScratch.Get<Extent, Scratch>(new(longest, end - start, work.Width));
        Blas1.Zero(scratch.Before, end - start + 1);
        for (var i = firstGroup; i < pastGroup; i++)
        {
            GroupBackward(work, scratch, new PlanGroup(work.Plan, work.Heads, i), head, start);
        }

        // A segment is read through every log a between its end and the block: what was noted at its end counts for all rows from there to
        // the block's first.
        var running = 0f;
        for (var row = start; row < end && work.DLogDecay != null; row++)
        {
            running += scratch.Before[row - start];
            work.DLogDecay[((long)row * work.Heads) + head] += running;
        }
    }

    private static void GroupBackward(in Work work, in Scratch scratch, in PlanGroup group, int head, int start)
    {
        int d = work.Width, stride = work.Stride, rows = group.Rows;
        LoadGates(work, scratch, group, head);
        var offset = ((long)group.Row * stride) + (head * d);
        float* q = work.Q + offset, k = work.K + offset, v = work.V + offset, dy = work.DOutput + offset;
        Blas1.Zero(scratch.DL, rows);
        Blas1.Zero(scratch.DWrite, rows);
        MatrixProduct.MultiplySmall(false, true, rows, rows, d, q, stride, k, stride, scratch.P, rows, false);
        MatrixProduct.MultiplySmall(false, true, rows, rows, d, dy, stride, v, stride, scratch.DP, rows, false);
        for (var t = 0; t < rows; t++)
        {
            float* p = scratch.P + ((long)t * rows), dp = scratch.DP + ((long)t * rows);
            float* lambda = LambdaOf(work, work.Lambda, group.Row + t, head), dLambda = LambdaOf(work, work.DLambda, group.Row + t, head);
            if (work.DLambda != null && !work.AddLambda)
            {
                Blas1.Zero(dLambda, work.Levels);
            }

            for (var j = 0; j <= t; j++)
            {
                var level = work.LevelOf(t, j);
                float reach = MathF.Exp(scratch.L[t] - scratch.L[j]), written = reach * scratch.Write[j], weight = written * lambda[level];
                float x = p[j] * dp[j];
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

            Blas1.Zero(p + t + 1, rows - t - 1);
            Blas1.Zero(dp + t + 1, rows - t - 1);
        }

        // dV = P^T dY; dQ = dS K; dK = dS^T Q
        MultiplyTo(work.DV, work.AddV, true, rows, d, scratch.P, dy, stride, offset);
        MultiplyTo(work.DQ, work.AddQ, false, rows, d, scratch.DP, k, stride, offset);
        MultiplyTo(work.DK, work.AddK, true, rows, d, scratch.DP, q, stride, offset);
        var before = 0f;
        for (var i = 0; i < group.Count; i++)
        {
            var slot = group.Visible[i];
            var at = (((long)slot * work.Heads) + head) * d * d;
            var fields = work.Plan.Slot(slot);
            var level = work.LevelOf(fields[1]);
            var decay = DecayBefore(work, group, slot, head);

            // Z = Q N; weight w_t = lambda exp(.): dw = dY . Z
            MatrixProduct.MultiplySmall(false, false, rows, d, d, q, stride, work.States + at, d, scratch.Z, d, false);
            var total = 0f;
            for (var t = 0; t < rows; t++)
            {
                float reach = MathF.Exp(decay + scratch.L[t]), dWeight = Blas1.Dot(dy + ((long)t * stride), scratch.Z + (t * d), d);
                var weight = reach * LambdaOf(work, work.Lambda, group.Row + t, head)[level];
                if (work.DLambda != null)
                {
                    LambdaOf(work, work.DLambda, group.Row + t, head)[level] += dWeight * reach;
                }

                scratch.DL[t] += dWeight * weight;
                total += dWeight * weight;
                Blas1.Scale(weight, dy + ((long)t * stride), scratch.Weighted + (t * d), d);
            }

            // From the row behind the slot's end to the block's first row.
            scratch.Before[fields[0] + fields[1] - start] += total;
            before += total;
            if (work.DQ != null)
            {
                MatrixProduct.MultiplySmall(
                    false, true, rows, d, d, scratch.Weighted, d, work.States + at, d, work.DQ + offset, stride, true);
            }

            if (work.DStates != null)
            {
                MatrixProduct.MultiplySmall(true, false, d, d, rows, q, stride, scratch.Weighted, d, work.DStates + at, d, true);
            }
        }

        scratch.Before[group.Row + 1 - start] -= before;
        var suffix = 0f;
        for (var t = rows - 1; t >= 0; t--)
        {
            suffix += t > 0 ? scratch.DL[t] : 0;
            var gate = ((long)(group.Row + t) * work.Heads) + head;
            Blas1.Store(work.DLogDecay, gate, t > 0 ? suffix : 0, work.AddLogDecay);
            Blas1.Store(work.DWriteGate, gate, scratch.DWrite[t], work.AddWriteGate);
        }
    }

    private static void MultiplyTo(
        float* destination, bool accumulate, bool transposed, int rows, int d, float* p, float* x, int stride, long offset)
    {
        if (destination != null)
        {
            MatrixProduct.MultiplySmall(transposed, false, rows, d, rows, p, rows, x, stride, destination + offset, stride, accumulate);
        }
    }

    private static void LoadGates(in Work work, in Scratch scratch, in PlanGroup group, int head)
    {
        var sum = 0f;
        for (var t = 0; t < group.Rows; t++)
        {
            var gate = ((long)(group.Row + t) * work.Heads) + head;
            sum += t > 0 && work.LogDecay != null ? work.LogDecay[gate] : 0;
            scratch.L[t] = sum;
            scratch.Write[t] = work.WriteGate != null ? work.WriteGate[gate] : 1;
        }
    }

    /// <summary>Sum of log a from the row behind a slot to the block's first row.</summary>
    private static float DecayBefore(in Work work, in PlanGroup group, int slot, int head)
    {
        if (work.LogDecay == null)
        {
            return 0;
        }

        int heads = work.Heads, row = group.Row;
        var sum = work.LogDecay[((long)row * heads) + head];
        if (work.SlotDecay != null)
        {
            return sum + work.SlotDecay[((long)slot * heads) + head];
        }

        var fields = work.Plan.Slot(slot);
        for (row = fields[0] + fields[1]; row < group.Row; row++)
        {
            sum += work.LogDecay[((long)row * heads) + head];
        }

        return sum;
    }

    private static float* LambdaOf(in Work work, float* lambda, int row, int head) =>
        lambda + ((((long)row * work.Heads) + head) * work.Levels);
}
