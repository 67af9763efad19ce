using System.Numerics;
using Loci.Numerics.Operations;

namespace Loci.Numerics.Kernels;

/// <summary>
/// Reads of cached states by groups of rows that see the same ones. For every state the rows that read it are one matrix product: all rows of the group, or,
/// where each token reads only its top k, the rows gathered by state and scattered back, so that the work is k reads a token and not one a segment.
/// </summary>
internal static unsafe class MemoryRead
{
    // Rows per product: enough to amortise packing a state, few enough to stay in the first-level cache.
    internal const int Tile = 64;

    internal struct Work
    {
        public int Heads;
        public int Width;
        public int Stride;
        public CachedReadOptions Options;
        public int GroupCount;
        public int* Groups;
        public int* Visible;
        public int* Slots;
        public int* SeenBy;
        public int* Cover;
        public int* GroupRanges;
        public float* Online;
        public float* Q;
        public float* U;
        public float* K;
        public float* States;
        public RowPages StatePages;
        public StateFormat StateFormat;
        public RowPages KeyPages;
        public float* Index;         // router keys in few bits, or null
        public int IndexCapacity;    // blocks of a head
        public float* Temperature;
        public float* OnlineBias;
        public float* Output;
        public float* PooledKeys;
        public float* Scores;
        public float* Gates;
        public float* Sums;
        public float* InitialKeys;
        public int InitialCount;
        public DeepNetwork Network;  // of deep memories; depth 0 of matrix ones
        public float* Gain;          // [H*d]
        public bool IsGated;

        public float* DOutput;
        public float* DOnline;
        public float* DQ;
        public float* DU;
        public float* DK;
        public float* DStates;
        public float* DLogits;
        public float* DPooledKeys;
        public float* Partials;
        public float* DGain;         // [sequences, H, d]
        public bool AddOnline;
        public bool AddQ;
        public bool AddU;
        public bool AddK;

        public readonly bool IsDeep => Network.Depth > 0;

        /// <summary>Values of one head's state.</summary>
        public readonly int StateCount => IsDeep ? Network.WeightCount : Width * Width;

        /// <summary>Scratch that <see cref="StateOf(int, int, int, int, float*)"/> needs for a whole state.</summary>
        public readonly int DecodedCount => StateFormat == StateFormat.Float32 ? 0 : StateCount;

        /// <summary>Where one head's cached state can be read: in its place, or decoded to scratch.</summary>
        public readonly float* StateOf(int slot, int head, float* scratch) => StateOf(slot, head, 0, StateCount, scratch);

        /// <summary>The same for some of its values.</summary>
        public readonly float* StateOf(int slot, int head, int first, int count, float* scratch)
        {
            var start = (long)head * StateCount;
            if (StatePages.IsEmpty)
            {
                return States + ((long)slot * Heads * StateCount) + start + first;
            }

            var stored = StatePages.At(slot);
            if (StateFormat == StateFormat.Float32)
            {
                return stored + start + first;
            }

            StateCodec.Decode(StateFormat, stored, (long)Heads * StateCount, Width, start + first, count, scratch);
            return scratch;
        }
    }

    /// <summary>One group as the tables have it.</summary>
    internal readonly ref struct Group
    {
        public readonly int Row;
        public readonly int Rows;
        public readonly int* Visible;
        public readonly int Count;
        public readonly long GateOffset;
        public readonly int* Cover;
        public readonly int CoverCount;
        public readonly bool Extends;

        public Group(in Work work, int index)
        {
            var group = work.Groups + (index * MemoryPlan.GroupFields);
            Row = group[0];
            Rows = group[1];
            Visible = work.Visible + group[2];
            Count = group[3];
            GateOffset = (long)group[4] * work.Heads;
            Cover = work.Cover + group[5];
            CoverCount = group[6];
            Extends = group[7] != 0;
        }

        public int Line => Count + 1;

        public long GatesOf(int head) => GateOffset + ((long)head * Rows * Line);
    }

    /// <summary>p of one slot, for all heads.</summary>
    public static void PoolKeys(void* state, int index, int worker)
    {
        ref var work = ref *(Work*)state;
        var slot = work.Slots + (index * MemoryPlan.SlotFields);
        var pooled = work.PooledKeys + ((long)index * work.Stride);
        MemoryVector.Zero(pooled, work.Stride);
        for (var row = slot[0]; row < slot[0] + slot[1]; row++)
        {
            MemoryVector.AddScaled(1, work.K + ((long)row * work.Stride), pooled, work.Stride);
        }

        MemoryVector.Scale(work.Options.KeyScale(slot[1]), pooled, pooled, work.Stride);
    }

    /// <summary>Scores and logits of one group and head: r = &lt;u, p&gt;, tau r and the online bias.</summary>
    public static void Score(void* state, int index, int worker)
    {
        ref var work = ref *(Work*)state;
        int head = index % work.Heads, d = work.Width, stride = work.Stride;
        var group = new Group(work, index / work.Heads);
        var inPlace = !work.KeyPages.IsEmpty;
        var running = KernelScratch.Get((nuint)(((inPlace ? 0 : group.Count) + 1) * d));
        var pooled = running + d;
        float* scores = work.Scores + group.GatesOf(head), gates = work.Gates + group.GatesOf(head);
        var offset = ((long)group.Row * stride) + (head * d);
        float* u = work.U + offset, k = work.K + offset;
        for (int i = 0, run; inPlace && i < group.Count; i += run)
        {
            // A stream's slots are its rows, in their order.
            run = work.KeyPages.Run(i, group.Count - i);
            MatrixProduct.MultiplySmall(false, true, group.Rows, run, d, u, stride, work.KeyPages.At(i) + (head * d), stride, scores + i, group.Line, false);
        }

        if (group.Count > 0 && !inPlace)
        {
            // r [rows, n] = U P^T
            GatherPooled(work, group, head, pooled);
            MatrixProduct.MultiplySmall(false, true, group.Rows, group.Count, d, u, stride, pooled, d, scores, group.Line, false);
        }

        StartRunning(work, head, running);
        for (var t = 0; t < group.Rows; t++)
        {
            MemoryVector.AddScaled(1, k + ((long)t * stride), running, d);
            scores[(t * group.Line) + group.Count] =
                MemoryVector.Dot(u + ((long)t * stride), running, d) * work.Options.KeyScale(work.InitialCount + t + 1);
        }

        MemoryVector.Scale(work.Temperature[head], scores, gates, group.Rows * group.Line);
        if (work.OnlineBias != null)
        {
            for (var t = 0; t < group.Rows; t++)
            {
                gates[(t * group.Line) + group.Count] += work.OnlineBias[head];
            }
        }
    }

    /// <summary>Turns the logits of one group into gates.</summary>
    public static void Normalize(void* state, int index, int worker)
    {
        ref var work = ref *(Work*)state;
        var group = new Group(work, index);
        var total = work.Gates + group.GatesOf(0);
        if (work.Options.SharesGates)
        {
            for (var head = 1; head < work.Heads; head++)
            {
                MemoryVector.AddScaled(1, work.Gates + group.GatesOf(head), total, group.Rows * group.Line);
            }
        }

        for (var head = 0; head < (work.Options.SharesGates ? 1 : work.Heads); head++)
        {
            var gates = work.Gates + group.GatesOf(head);
            for (var t = 0; t < group.Rows; t++)
            {
                Softmax(gates + (t * group.Line), group.Count, work.Options.TopK);
            }
        }

        for (var head = 1; head < work.Heads && work.Options.SharesGates; head++)
        {
            MemoryVector.Copy(total, work.Gates + group.GatesOf(head), group.Rows * group.Line);
        }
    }

    /// <summary>The gated read of one group and head.</summary>
    public static void GatedForward(void* state, int index, int worker)
    {
        ref var work = ref *(Work*)state;
        int head = index % work.Heads, d = work.Width, stride = work.Stride;
        var group = new Group(work, index / work.Heads);
        var scratch = KernelScratch.Get((nuint)((2 * Tile * d) + Tile + work.DecodedCount));
        var tile = scratch;                // [Tile, d]
        var gathered = tile + (Tile * d);  // [Tile, d]
        var rowList = (int*)(gathered + (Tile * d));
        var decoded = gathered + (Tile * d) + Tile;
        var gates = work.Gates + group.GatesOf(head);
        var offset = ((long)group.Row * stride) + (head * d);
        float* q = work.Q + offset, y = work.Output + offset, o = work.Online + offset;
        for (var t = 0; t < group.Rows; t++)
        {
            MemoryVector.Scale(gates[(t * group.Line) + group.Count], o + ((long)t * stride), y + ((long)t * stride), d);
        }

        for (var i = NextRead(work, group, gates, 0); i < group.Count; i = NextRead(work, group, gates, i + 1))
        {
            float* n = null;
            for (var next = 0; next < group.Rows;)
            {
                var count = NextRows(work, group, gates, i, ref next, rowList, q, gathered, out var rows, out var rowStride);
                if (count == 0)
                {
                    break;
                }

                // [count, d] = Q N
                n = n == null ? work.StateOf(group.Visible[i], head, decoded) : n;
                MatrixProduct.MultiplySmall(false, false, count, d, d, rows, rowStride, n, d, tile, d, false);
                for (var t = 0; t < count; t++)
                {
                    MemoryVector.AddScaled(gates[(rowList[t] * group.Line) + i], tile + (t * d), y + ((long)rowList[t] * stride), d);
                }
            }
        }
    }

    /// <summary>Gradients of the read with respect to one group's online reads, queries and gates, for one head.</summary>
    public static void GatedBackwardRead(void* state, int index, int worker)
    {
        ref var work = ref *(Work*)state;
        int head = index % work.Heads, d = work.Width, stride = work.Stride;
        var group = new Group(work, index / work.Heads);
        var scratch = KernelScratch.Get((nuint)((2 * Tile * d) + Tile));
        var tile = scratch;
        var gathered = tile + (Tile * d);
        var rowList = (int*)(gathered + (Tile * d));
        float* gates = work.Gates + group.GatesOf(head), dGates = work.DLogits + group.GatesOf(head);
        var offset = ((long)group.Row * stride) + (head * d);
        float* q = work.Q + offset, o = work.Online + offset, dy = work.DOutput + offset, dOnline = work.DOnline + offset, dq = work.DQ + offset;
        MemoryVector.Zero(dGates, group.Rows * group.Line);
        for (var t = 0; t < group.Rows; t++)
        {
            var row = (long)t * stride;
            var gate = gates[(t * group.Line) + group.Count];
            dGates[(t * group.Line) + group.Count] = MemoryVector.Dot(dy + row, o + row, d);
            if (work.DOnline != null)
            {
                if (work.AddOnline)
                {
                    MemoryVector.AddScaled(gate, dy + row, dOnline + row, d);
                }
                else
                {
                    MemoryVector.Scale(gate, dy + row, dOnline + row, d);
                }
            }

            if (work.DQ != null && !work.AddQ)
            {
                MemoryVector.Zero(dq + row, d);
            }
        }

        for (var i = 0; i < group.Count; i++)
        {
            var n = work.States + ((((long)group.Visible[i] * work.Heads) + head) * d * d);
            for (var next = 0; next < group.Rows;)
            {
                var count = NextRows(work, group, gates, i, ref next, rowList, dy, gathered, out var rows, out var rowStride);
                if (count == 0)
                {
                    break;
                }

                // Z [count, d] = dY N^T; dg = Z . q; dq += g Z
                MatrixProduct.MultiplySmall(false, true, count, d, d, rows, rowStride, n, d, tile, d, false);
                for (var t = 0; t < count; t++)
                {
                    var row = (long)rowList[t] * stride;
                    var gate = (rowList[t] * group.Line) + i;
                    dGates[gate] = MemoryVector.Dot(tile + (t * d), q + row, d);
                    if (work.DQ != null)
                    {
                        MemoryVector.AddScaled(gates[gate], tile + (t * d), dq + row, d);
                    }
                }
            }
        }
    }

    /// <summary>Turns the gradients of one group's gates into those of its logits.</summary>
    public static void NormalizeBackward(void* state, int index, int worker)
    {
        ref var work = ref *(Work*)state;
        var group = new Group(work, index);
        var size = group.Rows * group.Line;
        var total = work.DLogits + group.GatesOf(0);
        if (work.Options.SharesGates)
        {
            // The gates are one: their gradients add up, and every head's score receives the same.
            for (var head = 1; head < work.Heads; head++)
            {
                MemoryVector.AddScaled(1, work.DLogits + group.GatesOf(head), total, size);
            }
        }

        for (var head = 0; head < (work.Options.SharesGates ? 1 : work.Heads); head++)
        {
            SoftmaxBackward(work.Gates + group.GatesOf(head), work.DLogits + group.GatesOf(head), group.Rows, group.Line);
        }

        for (var head = 1; head < work.Heads && work.Options.SharesGates; head++)
        {
            MemoryVector.Copy(total, work.DLogits + group.GatesOf(head), size);
        }
    }

    /// <summary>Gradients of temperature, bias and routing queries of one group and head; the logits' gradients become those of the scores.</summary>
    public static void ScoreBackward(void* state, int index, int worker)
    {
        ref var work = ref *(Work*)state;
        int head = index % work.Heads, d = work.Width, stride = work.Stride;
        var group = new Group(work, index / work.Heads);
        var running = KernelScratch.Get((nuint)((group.Count + 1) * d));
        var pooled = running + d;
        float* dLogits = work.DLogits + group.GatesOf(head), scores = work.Scores + group.GatesOf(head);
        var partial = work.Partials + (2 * (long)index);
        partial[0] = MemoryVector.Dot(dLogits, scores, group.Rows * group.Line);
        partial[1] = 0;
        for (var t = 0; t < group.Rows; t++)
        {
            partial[1] += dLogits[(t * group.Line) + group.Count];
        }

        MemoryVector.Scale(work.Temperature[head], dLogits, dLogits, group.Rows * group.Line);
        if (work.DU == null)
        {
            return;
        }

        var offset = ((long)group.Row * stride) + (head * d);
        float* du = work.DU + offset, k = work.K + offset;
        if (group.Count > 0)
        {
            // dU [rows, d] = dr [rows, n] P [n, d]
            GatherPooled(work, group, head, pooled);
            MatrixProduct.MultiplySmall(false, false, group.Rows, d, group.Count, dLogits, group.Line, pooled, d, du, stride, work.AddU);
        }
        else if (!work.AddU)
        {
            for (var t = 0; t < group.Rows; t++)
            {
                MemoryVector.Zero(du + ((long)t * stride), d);
            }
        }

        MemoryVector.Zero(running, d);
        for (var t = 0; t < group.Rows; t++)
        {
            MemoryVector.AddScaled(1, k + ((long)t * stride), running, d);
            MemoryVector.AddScaled(dLogits[(t * group.Line) + group.Count] * work.Options.KeyScale(t + 1), running, du + ((long)t * stride), d);
        }
    }

    /// <summary>Gradients of one slot's state and router key, over the groups that read it, in their order.</summary>
    public static void GatedBackwardSlot(void* state, int index, int worker)
    {
        ref var work = ref *(Work*)state;
        int slot = index / work.Heads, head = index % work.Heads, d = work.Width, stride = work.Stride;
        var fields = work.Slots + (slot * MemoryPlan.SlotFields);
        var dn = work.DStates + (((long)slot * work.Heads) + head) * d * d;
        var dp = work.DPooledKeys + ((long)slot * stride) + (head * d);
        var scratch = KernelScratch.Get((nuint)((2 * Tile * d) + Tile + 16));
        var gathered = scratch;
        var weighted = gathered + (Tile * d);
        var rowList = (int*)(weighted + (Tile * d));
        var isFirst = true;
        MemoryVector.Zero(dp, d);
        for (var reader = 0; reader < fields[3]; reader++)
        {
            var entry = work.SeenBy + (2 * (fields[2] + reader));
            var group = new Group(work, entry[0]);
            var i = entry[1];
            float* gates = work.Gates + group.GatesOf(head), dScores = work.DLogits + group.GatesOf(head);
            var offset = ((long)group.Row * stride) + (head * d);
            float* q = work.Q + offset, dy = work.DOutput + offset, u = work.U + offset;
            for (var next = 0; next < group.Rows;)
            {
                var count = NextRows(work, group, gates, i, ref next, rowList, q, gathered, out var rows, out var rowStride);
                if (count == 0)
                {
                    break;
                }

                for (var t = 0; t < count; t++)
                {
                    var gate = (rowList[t] * group.Line) + i;
                    MemoryVector.Scale(gates[gate], dy + ((long)rowList[t] * stride), weighted + (t * d), d);
                    MemoryVector.AddScaled(dScores[gate], u + ((long)rowList[t] * stride), dp, d);
                }

                // dN [d, d] += Q^T (g o dY)
                MatrixProduct.MultiplySmall(true, false, d, d, count, rows, rowStride, weighted, d, dn, d, !isFirst);
                isFirst = false;
            }
        }

        if (isFirst)
        {
            MemoryVector.Zero(dn, d * d);
        }
    }

    /// <summary>Gradients of the keys through the router, for one group's rows and one head.</summary>
    public static void GatedBackwardKeys(void* state, int index, int worker)
    {
        ref var work = ref *(Work*)state;
        int head = index % work.Heads, d = work.Width, stride = work.Stride;
        var group = new Group(work, index / work.Heads);
        var sum = KernelScratch.Get((nuint)d);
        MemoryVector.Zero(sum, d);
        for (var i = 0; i < group.CoverCount; i++)
        {
            var slot = group.Cover[i];
            var scale = work.Options.KeyScale(work.Slots[(slot * MemoryPlan.SlotFields) + 1]);
            MemoryVector.AddScaled(scale, work.DPooledKeys + ((long)slot * stride) + (head * d), sum, d);
        }

        // A key is part of the online segment's description for its own row and all later ones of the group.
        var dScores = work.DLogits + group.GatesOf(head);
        for (var t = group.Rows - 1; t >= 0; t--)
        {
            var row = ((long)(group.Row + t) * stride) + (head * d);
            MemoryVector.AddScaled(dScores[(t * group.Line) + group.Count] * work.Options.KeyScale(t + 1), work.U + row, sum, d);
            if (work.AddK)
            {
                MemoryVector.AddScaled(1, sum, work.DK + row, d);
            }
            else
            {
                MemoryVector.Copy(sum, work.DK + row, d);
            }
        }
    }

    /// <summary>Sums of the visible states of every group of one sequence and head. In constant segmentation each is the one before and one state more.</summary>
    public static void SumStates(void* state, int index, int worker)
    {
        ref var work = ref *(Work*)state;
        int sequence = index / work.Heads, head = index % work.Heads, square = work.Width * work.Width;
        for (var i = work.GroupRanges[2 * sequence]; i < work.GroupRanges[(2 * sequence) + 1]; i++)
        {
            var group = new Group(work, i);
            var sum = work.Sums + ((((long)i * work.Heads) + head) * square);
            var first = 0;
            if (group.Extends && group.Count > 1)
            {
                MemoryVector.Copy(work.Sums + ((((long)(i - 1) * work.Heads) + head) * square), sum, square);
                first = group.Count - 1;
            }
            else
            {
                MemoryVector.Zero(sum, square);
            }

            for (var j = first; j < group.Count; j++)
            {
                MemoryVector.AddScaled(1, work.StateOf(group.Visible[j], head, null), sum, square);
            }
        }
    }

    /// <summary>The ungated read of one group and head: y = o + q (sum of the states).</summary>
    public static void SumForward(void* state, int index, int worker)
    {
        ref var work = ref *(Work*)state;
        int head = index % work.Heads, d = work.Width, stride = work.Stride;
        var group = new Group(work, index / work.Heads);
        var offset = ((long)group.Row * stride) + (head * d);
        for (var t = 0; t < group.Rows; t++)
        {
            MemoryVector.Copy(work.Online + offset + ((long)t * stride), work.Output + offset + ((long)t * stride), d);
        }

        if (group.Count > 0)
        {
            var sum = work.Sums + ((long)index * d * d);
            MatrixProduct.MultiplySmall(false, false, group.Rows, d, d, work.Q + offset, stride, sum, d, work.Output + offset, stride, true);
        }
    }

    /// <summary>Gradients of the ungated read of one group and head; the sum is replaced by its gradient.</summary>
    public static void SumBackwardGroup(void* state, int index, int worker)
    {
        ref var work = ref *(Work*)state;
        int head = index % work.Heads, d = work.Width, stride = work.Stride;
        var group = new Group(work, index / work.Heads);
        var offset = ((long)group.Row * stride) + (head * d);
        float* dy = work.DOutput + offset, sum = work.Sums + ((long)index * d * d);
        for (var t = 0; t < group.Rows; t++)
        {
            var row = offset + ((long)t * stride);
            if (work.DOnline != null)
            {
                if (work.AddOnline)
                {
                    MemoryVector.AddScaled(1, work.DOutput + row, work.DOnline + row, d);
                }
                else
                {
                    MemoryVector.Copy(work.DOutput + row, work.DOnline + row, d);
                }
            }

            if (work.DQ != null && !work.AddQ && group.Count == 0)
            {
                MemoryVector.Zero(work.DQ + row, d);
            }
        }

        if (group.Count == 0)
        {
            MemoryVector.Zero(sum, d * d);
            return;
        }

        if (work.DQ != null)
        {
            MatrixProduct.MultiplySmall(false, true, group.Rows, d, d, dy, stride, sum, d, work.DQ + offset, stride, work.AddQ);
        }

        MatrixProduct.MultiplySmall(true, false, d, d, group.Rows, work.Q + offset, stride, dy, stride, sum, d, false);
    }

    /// <summary>Gradients of the states of one sequence and head from the gradients of the sums; the states' gradients start from zero.</summary>
    public static void SumBackwardStates(void* state, int index, int worker)
    {
        ref var work = ref *(Work*)state;
        int sequence = index / work.Heads, head = index % work.Heads, square = work.Width * work.Width;
        for (var i = work.GroupRanges[(2 * sequence) + 1] - 1; i >= work.GroupRanges[2 * sequence]; i--)
        {
            var group = new Group(work, i);
            var gradient = work.Sums + ((((long)i * work.Heads) + head) * square);
            var first = 0;
            if (group.Extends && group.Count > 1)
            {
                // All states but the newest belong to the group before as well.
                MemoryVector.AddScaled(1, gradient, work.Sums + ((((long)(i - 1) * work.Heads) + head) * square), square);
                first = group.Count - 1;
            }

            for (var j = first; j < group.Count; j++)
            {
                MemoryVector.AddScaled(1, gradient, work.DStates + ((((long)group.Visible[j] * work.Heads) + head) * square), square);
            }
        }
    }

    /// <summary>
    /// Chooses past segments and turns logits into gates, in place. The last of <paramref name="count"/> + 1 logits is the online one. With
    /// <paramref name="topK"/> &gt; 0 only that many of the past take part, ties going to the oldest; the others' gates are zero.
    /// </summary>
    internal static void Softmax(float* logits, int count, int topK)
    {
        if (topK > 0 && topK < count)
        {
            SparseSoftmax(logits, count, topK);
            return;
        }

        var maximum = logits[count];
        for (var i = 0; i < count; i++)
        {
            maximum = MathF.Max(maximum, logits[i]);
        }

        var sum = 0f;
        for (var i = 0; i <= count; i++)
        {
            logits[i] = MathF.Exp(logits[i] - maximum);
            sum += logits[i];
        }

        var scale = 1 / sum;
        for (var i = 0; i <= count; i++)
        {
            logits[i] *= scale;
        }
    }

    private static void SparseSoftmax(float* logits, int count, int topK)
    {
        // The chosen are kept from best to worst; a later one must be larger to come before an earlier one.
        var chosen = stackalloc int[topK];
        var values = stackalloc float[topK];
        var found = 0;
        for (var i = 0; i < count;)
        {
            if (found == topK)
            {
                i = NextAbove(logits, i, count, values[topK - 1]);
                if (i == count)
                {
                    break;
                }
            }
            else if (float.IsNaN(logits[i]))
            {
                i++; // is not larger than anything
                continue;
            }

            var at = found < topK ? found++ : topK - 1;
            for (; at > 0 && logits[i] > values[at - 1]; at--)
            {
                values[at] = values[at - 1];
                chosen[at] = chosen[at - 1];
            }

            values[at] = logits[i];
            chosen[at] = i++;
        }

        var online = logits[count];
        var maximum = found > 0 ? MathF.Max(online, values[0]) : online;
        new Span<int>(chosen, found).Sort(new Span<float>(values, found));
        var sum = 0f;
        for (var i = 0; i < found; i++)
        {
            values[i] = MathF.Exp(values[i] - maximum);
            sum += values[i];
        }

        online = MathF.Exp(online - maximum);
        sum += online;
        var scale = 1 / sum;
        MemoryVector.Zero(logits, count);
        for (var i = 0; i < found; i++)
        {
            logits[chosen[i]] = values[i] * scale;
        }

        logits[count] = online * scale;
    }

    /// <summary>The first of the values from <paramref name="first"/> on that is larger than a threshold, or <paramref name="count"/>.</summary>
    private static int NextAbove(float* values, int first, int count, float threshold)
    {
        var i = first;
        var limit = new Vector<float>(threshold);
        while (i <= count - Vector<float>.Count && !Vector.GreaterThanAny(Vector.Load(values + i), limit))
        {
            i += Vector<float>.Count;
        }

        while (i < count && !(values[i] > threshold))
        {
            i++;
        }

        return i;
    }

    /// <summary>The first of a group's states from <paramref name="first"/> on that some row may read: only where a single row reads few of many are there any to leave out.</summary>
    internal static int NextRead(in Work work, in Group group, float* gates, int first)
    {
        if (first >= group.Count || group.Rows > 1 || work.Options.TopK == 0 || work.Options.TopK >= group.Count)
        {
            return first;
        }

        var next = new ReadOnlySpan<float>(gates + first, group.Count - first).IndexOfAnyExcept(0f);
        return next < 0 ? group.Count : first + next;
    }

    /// <summary>The sum of the online segment's keys before the group's first row.</summary>
    internal static void StartRunning(in Work work, int head, float* running)
    {
        if (work.InitialKeys != null)
        {
            MemoryVector.Copy(work.InitialKeys + (head * work.Width), running, work.Width);
        }
        else
        {
            MemoryVector.Zero(running, work.Width);
        }
    }

    private static void GatherPooled(in Work work, in Group group, int head, float* pooled)
    {
        for (var i = 0; i < group.Count; i++)
        {
            MemoryVector.Copy(work.PooledKeys + ((long)group.Visible[i] * work.Stride) + (head * work.Width), pooled + (i * work.Width), work.Width);
        }
    }

    /// <summary>
    /// The next rows of a group that read its i-th state, at most a tile of them: their numbers, and the values of <paramref name="source"/> in them,
    /// in place where they are consecutive and gathered where they are not.
    /// </summary>
    internal static int NextRows(
        in Work work, in Group group, float* gates, int i, ref int next, int* rowList, float* source, float* gathered, out float* rows, out int rowStride)
    {
        var count = 0;
        if (work.Options.TopK == 0 || work.Options.TopK >= group.Count)
        {
            rows = source + ((long)next * work.Stride);
            rowStride = work.Stride;
            for (; count < Tile && next < group.Rows; next++)
            {
                rowList[count++] = next;
            }

            return count;
        }

        rows = gathered;
        rowStride = work.Width;
        for (; count < Tile && next < group.Rows; next++)
        {
            if (gates[(next * group.Line) + i] != 0)
            {
                MemoryVector.Copy(source + ((long)next * work.Stride), gathered + (count * work.Width), work.Width);
                rowList[count++] = next;
            }
        }

        return count;
    }

    /// <summary>dlogit = g (dg - sum g dg), in place of dg.</summary>
    private static void SoftmaxBackward(float* gates, float* dGates, int rows, int line)
    {
        for (var t = 0; t < rows; t++)
        {
            float* g = gates + (t * line), dg = dGates + (t * line);
            var mean = 0f;
            for (var i = 0; i < line; i++)
            {
                mean += g[i] * dg[i];
            }

            for (var i = 0; i < line; i++)
            {
                dg[i] = g[i] * (dg[i] - mean);
            }
        }
    }
}
