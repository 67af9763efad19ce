using Loci.Memory.Routing;
using Loci.Memory.Rules.Deep;
using Loci.Memory.Segments;
using Loci.Memory.Store;
using Loci.Numerics;
using Loci.Numerics.Kernels;
using static Loci.Numerics.CpuDevice;

namespace Loci.Memory.Aggregations;

/// <summary><see cref="ReadArguments"/> as kernels follow them. Gradients are null where they are not wanted.</summary>
internal unsafe struct ReadWork(in ReadArguments arguments)
{
    public readonly int Heads = arguments.Options.Heads;
    public readonly int Width = arguments.Width;
    public readonly int Stride = arguments.Options.Heads * arguments.Width;
    public readonly int TopK = arguments.Options.TopK;
    public readonly PlanTables Plan = new(arguments.Plan);
    public readonly RouterWork Router = arguments.IsGated ? new(arguments.Router) : default;
    public readonly float* Online = Pointer(arguments.Online.Values);
    public readonly float* Q = Pointer(arguments.Queries.Values);
    public readonly float* States = Pointer(arguments.States.Values);
    public readonly RowPages StatePages = new(arguments.StatePages);
    public readonly StateFormat StateFormat = arguments.StateFormat;
    public readonly float* Output = Pointer(arguments.Output.Values);
    public readonly float* Sums = Pointer(arguments.Sums);
    public readonly DeepNetwork Network = arguments.Network is null ? default : new(arguments.Network);  // depth 0 of matrix memories
    public readonly float* Gain = Pointer(arguments.Gain.Values);
    public readonly float* DOutput = Pointer(arguments.Output.Gradient);
    public readonly float* DOnline = Pointer(arguments.Online.Gradient);
    public readonly bool AddOnline = arguments.Online.Accumulates;
    public readonly float* DQ = Pointer(arguments.Queries.Gradient);
    public readonly bool AddQ = arguments.Queries.Accumulates;
    public readonly float* DStates = Pointer(arguments.States.Gradient);
    public readonly float* DGain = Pointer(arguments.GainPartials);

    public readonly bool IsGated => Router.Heads > 0;

    public readonly float* Gates => Router.Gates;

    /// <summary>First of the gates, then of the logits and of the scores.</summary>
    public readonly float* DLogits => Router.DLogits;

    /// <summary>Values of one head's state.</summary>
    public readonly int StateCount => Network.Depth > 0 ? Network.WeightCount : Width * Width;

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

/// <summary>
/// Reads of cached states by groups of rows that see the same ones. For every state the rows that read it are one matrix product: all rows
/// of the group, or, where each token reads only its top k, the rows gathered by state and scattered back, so that the work is k reads a
/// token and not one a segment.
/// </summary>
internal static unsafe class CachedReadKernel
{
    // Rows per product: enough to amortise packing a state, few enough to stay in the first-level cache.
    internal const int Tile = 64;

    internal readonly struct Forward : IKernel<ReadArguments>
    {
        public static void Run(CpuDevice device, in ReadArguments arguments)
        {
            if (arguments.IsGated)
            {
                RouterKernel.Forward(device, arguments.Router);
            }

            var work = new ReadWork(arguments);
            var items = arguments.Plan.GroupCount * work.Heads;
            if (arguments.Network is not null)
            {
                device.Workers.For(items, &DeepReadKernel.ReadGroup, &work);
            }
            else if (arguments.IsGated)
            {
                device.Workers.For(items, &GatedForward, &work);
            }
            else
            {
                device.Workers.For(arguments.Plan.SequenceCount * work.Heads, &SumStates, &work);
                device.Workers.For(items, &SumForward, &work);
            }
        }
    }

    internal readonly struct Backward : IKernel<ReadArguments>
    {
        public static void Run(CpuDevice device, in ReadArguments arguments)
        {
            if (arguments.Network is not null)
            {
                DeepReadKernel.Backward(device, arguments);
            }
            else if (arguments.IsGated)
            {
                BackwardGated(device, arguments);
            }
            else
            {
                BackwardSum(device, arguments);
            }
        }

        private static void BackwardGated(CpuDevice device, in ReadArguments arguments)
        {
            var work = new ReadWork(arguments);
            device.Workers.For(arguments.Plan.GroupCount * work.Heads, &GatedBackwardRead, &work);
            RouterKernel.ScoresBackward(device, arguments.Router);
            device.Workers.For(arguments.Plan.SlotCount * work.Heads, &GatedBackwardSlot, &work);
            RouterKernel.KeysBackward(device, arguments.Router);
        }

        private static void BackwardSum(CpuDevice device, in ReadArguments arguments)
        {
            var work = new ReadWork(arguments);
            device.Workers.For(arguments.Plan.GroupCount * work.Heads, &SumBackwardGroup, &work);
            device.Fill(arguments.States.Gradient, 0);
            device.Workers.For(arguments.Plan.SequenceCount * work.Heads, &SumBackwardStates, &work);
        }
    }

    /// <summary>The gated read of one group and head.</summary>
    private static void GatedForward(void* state, int index, int worker)
    {
        ref var work = ref *(ReadWork*)state;
        int head = index % work.Heads, d = work.Width, stride = work.Stride;
        var group = new PlanGroup(work.Plan, work.Heads, index / work.Heads);
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
            Blas1.Scale(gates[(t * group.Line) + group.Count], o + ((long)t * stride), y + ((long)t * stride), d);
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
                    Blas1.AddScaled(gates[(rowList[t] * group.Line) + i], tile + (t * d), y + ((long)rowList[t] * stride), d);
                }
            }
        }
    }

    /// <summary>Gradients of the read with respect to one group's online reads, queries and gates, for one head.</summary>
    private static void GatedBackwardRead(void* state, int index, int worker)
    {
        ref var work = ref *(ReadWork*)state;
        int head = index % work.Heads, d = work.Width, stride = work.Stride;
        var group = new PlanGroup(work.Plan, work.Heads, index / work.Heads);
        var scratch = KernelScratch.Get((nuint)((2 * Tile * d) + Tile));
        var tile = scratch;
        var gathered = tile + (Tile * d);
        var rowList = (int*)(gathered + (Tile * d));
        float* gates = work.Gates + group.GatesOf(head), dGates = work.DLogits + group.GatesOf(head);
        var offset = ((long)group.Row * stride) + (head * d);
        float* q = work.Q + offset, o = work.Online + offset, dy = work.DOutput + offset, dOnline = work.DOnline + offset;
        float* dq = work.DQ + offset;
        Blas1.Zero(dGates, group.Rows * group.Line);
        for (var t = 0; t < group.Rows; t++)
        {
            var row = (long)t * stride;
            var gate = gates[(t * group.Line) + group.Count];
            dGates[(t * group.Line) + group.Count] = Blas1.Dot(dy + row, o + row, d);
            if (work.DOnline != null)
            {
                if (work.AddOnline)
                {
                    Blas1.AddScaled(gate, dy + row, dOnline + row, d);
                }
                else
                {
                    Blas1.Scale(gate, dy + row, dOnline + row, d);
                }
            }

            if (work.DQ != null && !work.AddQ)
            {
                Blas1.Zero(dq + row, d);
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
                    dGates[gate] = Blas1.Dot(tile + (t * d), q + row, d);
                    if (work.DQ != null)
                    {
                        Blas1.AddScaled(gates[gate], tile + (t * d), dq + row, d);
                    }
                }
            }
        }
    }

    /// <summary>Gradients of one slot's state and router key, over the groups that read it, in their order.</summary>
    private static void GatedBackwardSlot(void* state, int index, int worker)
    {
        ref var work = ref *(ReadWork*)state;
        int slot = index / work.Heads, head = index % work.Heads, d = work.Width, stride = work.Stride;
        var fields = work.Plan.Slot(slot);
        var dn = work.DStates + (((long)slot * work.Heads) + head) * d * d;
        var dp = work.Router.DPooledKeys + ((long)slot * stride) + (head * d);
        var scratch = KernelScratch.Get((nuint)((2 * Tile * d) + Tile + 16));
        var gathered = scratch;
        var weighted = gathered + (Tile * d);
        var rowList = (int*)(weighted + (Tile * d));
        var isFirst = true;
        Blas1.Zero(dp, d);
        for (var reader = 0; reader < fields[3]; reader++)
        {
            var entry = work.Plan.SeenBy + (2 * (fields[2] + reader));
            var group = new PlanGroup(work.Plan, work.Heads, entry[0]);
            var i = entry[1];
            float* gates = work.Gates + group.GatesOf(head), dScores = work.DLogits + group.GatesOf(head);
            var offset = ((long)group.Row * stride) + (head * d);
            float* q = work.Q + offset, dy = work.DOutput + offset, u = work.Router.U + offset;
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
                    Blas1.Scale(gates[gate], dy + ((long)rowList[t] * stride), weighted + (t * d), d);
                    Blas1.AddScaled(dScores[gate], u + ((long)rowList[t] * stride), dp, d);
                }

                // dN [d, d] += Q^T (g o dY)
                MatrixProduct.MultiplySmall(true, false, d, d, count, rows, rowStride, weighted, d, dn, d, !isFirst);
                isFirst = false;
            }
        }

        if (isFirst)
        {
            Blas1.Zero(dn, d * d);
        }
    }

    /// <summary>
    /// Sums of the visible states of every group of one sequence and head. In constant segmentation each is the one before and one state
    /// more.
    /// </summary>
    private static void SumStates(void* state, int index, int worker)
    {
        ref var work = ref *(ReadWork*)state;
        int sequence = index / work.Heads, head = index % work.Heads, square = work.Width * work.Width;
        for (var i = work.Plan.GroupRanges[2 * sequence]; i < work.Plan.GroupRanges[(2 * sequence) + 1]; i++)
        {
            var group = new PlanGroup(work.Plan, work.Heads, i);
            var sum = work.Sums + ((((long)i * work.Heads) + head) * square);
            var first = 0;
            if (group.Extends && group.Count > 1)
            {
                Blas1.Copy(work.Sums + ((((long)(i - 1) * work.Heads) + head) * square), sum, square);
                first = group.Count - 1;
            }
            else
            {
                Blas1.Zero(sum, square);
            }

            for (var j = first; j < group.Count; j++)
            {
                Blas1.AddScaled(1, work.StateOf(group.Visible[j], head, null), sum, square);
            }
        }
    }

    /// <summary>The ungated read of one group and head: y = o + q (sum of the states).</summary>
    private static void SumForward(void* state, int index, int worker)
    {
        ref var work = ref *(ReadWork*)state;
        int head = index % work.Heads, d = work.Width, stride = work.Stride;
        var group = new PlanGroup(work.Plan, work.Heads, index / work.Heads);
        var offset = ((long)group.Row * stride) + (head * d);
        for (var t = 0; t < group.Rows; t++)
        {
            Blas1.Copy(work.Online + offset + ((long)t * stride), work.Output + offset + ((long)t * stride), d);
        }

        if (group.Count > 0)
        {
            var sum = work.Sums + ((long)index * d * d);
            MatrixProduct.MultiplySmall(
                false, false, group.Rows, d, d, work.Q + offset, stride, sum, d, work.Output + offset, stride, true);
        }
    }

    /// <summary>Gradients of the ungated read of one group and head; the sum is replaced by its gradient.</summary>
    private static void SumBackwardGroup(void* state, int index, int worker)
    {
        ref var work = ref *(ReadWork*)state;
        int head = index % work.Heads, d = work.Width, stride = work.Stride;
        var group = new PlanGroup(work.Plan, work.Heads, index / work.Heads);
        var offset = ((long)group.Row * stride) + (head * d);
        float* dy = work.DOutput + offset, sum = work.Sums + ((long)index * d * d);
        for (var t = 0; t < group.Rows; t++)
        {
            var row = offset + ((long)t * stride);
            if (work.DOnline != null)
            {
                if (work.AddOnline)
                {
                    Blas1.AddScaled(1, work.DOutput + row, work.DOnline + row, d);
                }
                else
                {
                    Blas1.Copy(work.DOutput + row, work.DOnline + row, d);
                }
            }

            if (work.DQ != null && !work.AddQ && group.Count == 0)
            {
                Blas1.Zero(work.DQ + row, d);
            }
        }

        if (group.Count == 0)
        {
            Blas1.Zero(sum, d * d);
            return;
        }

        if (work.DQ != null)
        {
            MatrixProduct.MultiplySmall(false, true, group.Rows, d, d, dy, stride, sum, d, work.DQ + offset, stride, work.AddQ);
        }

        MatrixProduct.MultiplySmall(true, false, d, d, group.Rows, work.Q + offset, stride, dy, stride, sum, d, false);
    }

    /// <summary>
    /// Gradients of the states of one sequence and head from the gradients of the sums; the states' gradients start from zero.
    /// </summary>
    private static void SumBackwardStates(void* state, int index, int worker)
    {
        ref var work = ref *(ReadWork*)state;
        int sequence = index / work.Heads, head = index % work.Heads, square = work.Width * work.Width;
        for (var i = work.Plan.GroupRanges[(2 * sequence) + 1] - 1; i >= work.Plan.GroupRanges[2 * sequence]; i--)
        {
            var group = new PlanGroup(work.Plan, work.Heads, i);
            var gradient = work.Sums + ((((long)i * work.Heads) + head) * square);
            var first = 0;
            if (group.Extends && group.Count > 1)
            {
                // All states but the newest belong to the group before as well.
                Blas1.AddScaled(1, gradient, work.Sums + ((((long)(i - 1) * work.Heads) + head) * square), square);
                first = group.Count - 1;
            }

            for (var j = first; j < group.Count; j++)
            {
                Blas1.AddScaled(1, gradient, work.DStates + ((((long)group.Visible[j] * work.Heads) + head) * square), square);
            }
        }
    }

    /// <summary>
    /// The first of a group's states from <paramref name="first"/> on that some row may read: only where a single row reads few of many are
    /// there any to leave out.
    /// </summary>
    internal static int NextRead(in ReadWork work, in PlanGroup group, float* gates, int first)
    {
        if (first >= group.Count || group.Rows > 1 || work.TopK == 0 || work.TopK >= group.Count)
        {
            return first;
        }

        var next = new ReadOnlySpan<float>(gates + first, group.Count - first).IndexOfAnyExcept(0f);
        return next < 0 ? group.Count : first + next;
    }

    /// <summary>
    /// The next rows of a group that read its i-th state, at most a tile of them: their numbers, and the values of
    /// <paramref name="source"/> in them, in place where they are consecutive and gathered where they are not.
    /// </summary>
    internal static int NextRows(
        in ReadWork work, in PlanGroup group, float* gates, int i, ref int next, int* rowList, float* source, float* gathered,
        out float* rows, out int rowStride)
    {
        var count = 0;
        if (work.TopK == 0 || work.TopK >= group.Count)
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
                Blas1.Copy(source + ((long)next * work.Stride), gathered + (count * work.Width), work.Width);
                rowList[count++] = next;
            }
        }

        return count;
    }

}
