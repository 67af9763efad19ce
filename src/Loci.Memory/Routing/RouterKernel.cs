using System.Numerics;
using Loci.Memory.Segments;
using Loci.Numerics;
using Loci.Numerics.Kernels;
using static Loci.Numerics.CpuDevice;

namespace Loci.Memory.Routing;

/// <summary><see cref="RouterArguments"/> as kernels follow them. Gradients are null where they are not wanted.</summary>
internal unsafe struct RouterWork(in RouterArguments arguments)
{
    public readonly int Heads = arguments.Heads;
    public readonly int Width = arguments.Width;
    public readonly int Stride = arguments.Heads * arguments.Width;
    public readonly CachedReadOptions Options = arguments.Options;
    public readonly PlanTables Plan = new(arguments.Plan);
    public readonly float* U = Pointer(arguments.Queries.Values);
    public readonly float* K = Pointer(arguments.Keys.Values);
    public readonly float* Temperature = Pointer(arguments.Temperature.Values);
    public readonly float* OnlineBias = Pointer(arguments.OnlineBias.Values);
    public readonly float* PooledKeys = Pointer(arguments.PooledKeys);
    public readonly RowPages KeyPages = new(arguments.KeyPages);
    public readonly float* Index = Pointer(arguments.Index);
    public readonly int IndexCapacity = arguments.IndexCapacity;
    public readonly float* InitialKeys = Pointer(arguments.InitialKeys);
    public readonly int InitialCount = arguments.InitialCount;
    public readonly float* Scores = Pointer(arguments.Scores);
    public readonly float* Gates = Pointer(arguments.Gates);
    public readonly float* DU = Pointer(arguments.Queries.Gradient);
    public readonly bool AddU = arguments.Queries.Accumulates;
    public readonly float* DK = Pointer(arguments.Keys.Gradient);
    public readonly bool AddK = arguments.Keys.Accumulates;
    public readonly float* DLogits = Pointer(arguments.LogitGradients);
    public readonly float* DPooledKeys = Pointer(arguments.PooledKeyGradients);
    public readonly float* Partials = Pointer(arguments.Partials);
}

/// <summary>
/// Scores and gates of groups of rows that see the same segments: r = &lt;u, p&gt; with the pooled keys p of past segments and the running
/// one of the online segment, g = softmax(tau r and a bias for the online one) over all of them or the best.
/// </summary>
internal static unsafe class RouterKernel
{
    /// <summary>From routing queries and keys to gates.</summary>
    public static void Forward(CpuDevice device, in RouterArguments arguments)
    {
        var work = new RouterWork(arguments);
        var plan = arguments.Plan;
        if (arguments.PoolsKeys)
        {
            device.Workers.For(plan.SlotCount, &PoolKeys, &work);
        }

        if (plan.GroupCount == 1 && KeyIndexKernel.Applies(work, plan.LongestGroup, plan.MostVisible))
        {
            device.Workers.For(work.Heads, &KeyIndexKernel.Choose, &work);
            return;
        }

        device.Workers.For(plan.GroupCount * work.Heads, &Score, &work);
        device.Workers.For(plan.GroupCount, &Normalize, &work);
    }

    /// <summary>
    /// From the gradients of the gates, which lie in the place of those of the logits, to those of the scores and the routing queries.
    /// </summary>
    public static void ScoresBackward(CpuDevice device, in RouterArguments arguments)
    {
        var work = new RouterWork(arguments);
        device.Workers.For(arguments.Plan.GroupCount, &NormalizeBackward, &work);
        device.Workers.For(arguments.Plan.GroupCount * work.Heads, &ScoreBackward, &work);
    }

    /// <summary>Gradients of the pooled keys, where the read does not find them on its way.</summary>
    public static void PooledKeysBackward(CpuDevice device, in RouterArguments arguments)
    {
        var work = new RouterWork(arguments);
        device.Workers.For(arguments.Plan.SlotCount * work.Heads, &PooledKeyBackward, &work);
    }

    /// <summary>From those of scores and pooled keys to those of keys, temperature and bias.</summary>
    public static void KeysBackward(CpuDevice device, in RouterArguments arguments)
    {
        var work = new RouterWork(arguments);
        var groups = arguments.Plan.GroupCount;
        if (work.DK != null)
        {
            device.Workers.For(groups * work.Heads, &GroupKeysBackward, &work);
        }

        SumPartials(work.Partials, groups, work.Heads, arguments.Temperature);
        SumPartials(work.Partials + 1, groups, work.Heads, arguments.OnlineBias);
    }

    /// <summary>p of one slot, for all heads.</summary>
    private static void PoolKeys(void* state, int index, int worker)
    {
        ref var work = ref *(RouterWork*)state;
        var slot = work.Plan.Slot(index);
        var pooled = work.PooledKeys + ((long)index * work.Stride);
        Blas1.Zero(pooled, work.Stride);
        for (var row = slot[0]; row < slot[0] + slot[1]; row++)
        {
            Blas1.AddScaled(1, work.K + ((long)row * work.Stride), pooled, work.Stride);
        }

        Blas1.Scale(work.Options.KeyScale(slot[1]), pooled, pooled, work.Stride);
    }

    /// <summary>Scores and logits of one group and head: r = &lt;u, p&gt;, tau r and the online bias.</summary>
    private static void Score(void* state, int index, int worker)
    {
        ref var work = ref *(RouterWork*)state;
        int head = index % work.Heads, d = work.Width, stride = work.Stride;
        var group = new PlanGroup(work.Plan, work.Heads, index / work.Heads);
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
            MatrixProduct.MultiplySmall(
                false, true, group.Rows, run, d, u, stride, work.KeyPages.At(i) + (head * d), stride, scores + i, group.Line, false);
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
            Blas1.AddScaled(1, k + ((long)t * stride), running, d);
            scores[(t * group.Line) + group.Count] =
                Blas1.Dot(u + ((long)t * stride), running, d) * work.Options.KeyScale(work.InitialCount + t + 1);
        }

        Blas1.Scale(work.Temperature[head], scores, gates, group.Rows * group.Line);
        if (work.OnlineBias != null)
        {
            for (var t = 0; t < group.Rows; t++)
            {
                gates[(t * group.Line) + group.Count] += work.OnlineBias[head];
            }
        }
    }

    /// <summary>Turns the logits of one group into gates.</summary>
    private static void Normalize(void* state, int index, int worker)
    {
        ref var work = ref *(RouterWork*)state;
        var group = new PlanGroup(work.Plan, work.Heads, index);
        var total = work.Gates + group.GatesOf(0);
        if (work.Options.SharesGates)
        {
            for (var head = 1; head < work.Heads; head++)
            {
                Blas1.AddScaled(1, work.Gates + group.GatesOf(head), total, group.Rows * group.Line);
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
            Blas1.Copy(total, work.Gates + group.GatesOf(head), group.Rows * group.Line);
        }
    }

    /// <summary>Turns the gradients of one group's gates into those of its logits.</summary>
    private static void NormalizeBackward(void* state, int index, int worker)
    {
        ref var work = ref *(RouterWork*)state;
        var group = new PlanGroup(work.Plan, work.Heads, index);
        var size = group.Rows * group.Line;
        var total = work.DLogits + group.GatesOf(0);
        if (work.Options.SharesGates)
        {
            // The gates are one: their gradients add up, and every head's score receives the same.
            for (var head = 1; head < work.Heads; head++)
            {
                Blas1.AddScaled(1, work.DLogits + group.GatesOf(head), total, size);
            }
        }

        for (var head = 0; head < (work.Options.SharesGates ? 1 : work.Heads); head++)
        {
            SoftmaxBackward(work.Gates + group.GatesOf(head), work.DLogits + group.GatesOf(head), group.Rows, group.Line);
        }

        for (var head = 1; head < work.Heads && work.Options.SharesGates; head++)
        {
            Blas1.Copy(total, work.DLogits + group.GatesOf(head), size);
        }
    }

    /// <summary>
    /// Gradients of temperature, bias and routing queries of one group and head; the logits' gradients become those of the scores.
    /// </summary>
    private static void ScoreBackward(void* state, int index, int worker)
    {
        ref var work = ref *(RouterWork*)state;
        int head = index % work.Heads, d = work.Width, stride = work.Stride;
        var group = new PlanGroup(work.Plan, work.Heads, index / work.Heads);
        var running = KernelScratch.Get((nuint)((group.Count + 1) * d));
        var pooled = running + d;
        float* dLogits = work.DLogits + group.GatesOf(head), scores = work.Scores + group.GatesOf(head);
        var partial = work.Partials + (2 * (long)index);
        partial[0] = Blas1.Dot(dLogits, scores, group.Rows * group.Line);
        partial[1] = 0;
        for (var t = 0; t < group.Rows; t++)
        {
            partial[1] += dLogits[(t * group.Line) + group.Count];
        }

        Blas1.Scale(work.Temperature[head], dLogits, dLogits, group.Rows * group.Line);
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
                Blas1.Zero(du + ((long)t * stride), d);
            }
        }

        Blas1.Zero(running, d);
        for (var t = 0; t < group.Rows; t++)
        {
            Blas1.AddScaled(1, k + ((long)t * stride), running, d);
            Blas1.AddScaled(dLogits[(t * group.Line) + group.Count] * work.Options.KeyScale(t + 1), running, du + ((long)t * stride), d);
        }
    }

    /// <summary>Gradient of one slot's router key, over the groups that read it, in their order.</summary>
    public static void PooledKeyBackward(void* state, int index, int worker)
    {
        ref var work = ref *(RouterWork*)state;
        int slot = index / work.Heads, head = index % work.Heads, d = work.Width, stride = work.Stride;
        var fields = work.Plan.Slot(slot);
        var dp = work.DPooledKeys + ((long)slot * stride) + (head * d);
        Blas1.Zero(dp, d);
        for (var reader = 0; reader < fields[3]; reader++)
        {
            var entry = work.Plan.SeenBy + (2 * (fields[2] + reader));
            var group = new PlanGroup(work.Plan, work.Heads, entry[0]);
            float* gates = work.Gates + group.GatesOf(head), dScores = work.DLogits + group.GatesOf(head);
            var u = work.U + ((long)group.Row * stride) + (head * d);
            for (var t = 0; t < group.Rows; t++)
            {
                var gate = (t * group.Line) + entry[1];
                if (gates[gate] != 0)
                {
                    Blas1.AddScaled(dScores[gate], u + ((long)t * stride), dp, d);
                }
            }
        }
    }

    /// <summary>Gradients of the keys through the router, for one group's rows and one head.</summary>
    private static void GroupKeysBackward(void* state, int index, int worker)
    {
        ref var work = ref *(RouterWork*)state;
        int head = index % work.Heads, d = work.Width, stride = work.Stride;
        var group = new PlanGroup(work.Plan, work.Heads, index / work.Heads);
        var sum = KernelScratch.Get((nuint)d);
        Blas1.Zero(sum, d);
        for (var i = 0; i < group.CoverCount; i++)
        {
            var slot = group.Cover[i];
            var scale = work.Options.KeyScale(work.Plan.Slot(slot)[1]);
            Blas1.AddScaled(scale, work.DPooledKeys + ((long)slot * stride) + (head * d), sum, d);
        }

        // A key is part of the online segment's description for its own row and all later ones of the group.
        var dScores = work.DLogits + group.GatesOf(head);
        for (var t = group.Rows - 1; t >= 0; t--)
        {
            var row = ((long)(group.Row + t) * stride) + (head * d);
            Blas1.AddScaled(dScores[(t * group.Line) + group.Count] * work.Options.KeyScale(t + 1), work.U + row, sum, d);
            if (work.AddK)
            {
                Blas1.AddScaled(1, sum, work.DK + row, d);
            }
            else
            {
                Blas1.Copy(sum, work.DK + row, d);
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
        Blas1.Zero(logits, count);
        for (var i = 0; i < found; i++)
        {
            logits[chosen[i]] = values[i] * scale;
        }

        logits[count] = online * scale;
    }

    /// <summary>
    /// The first of the values from <paramref name="first"/> on that is larger than a threshold, or <paramref name="count"/>.
    /// </summary>
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

    /// <summary>The sum of the online segment's keys before the group's first row.</summary>
    internal static void StartRunning(in RouterWork work, int head, float* running)
    {
        if (work.InitialKeys != null)
        {
            Blas1.Copy(work.InitialKeys + (head * work.Width), running, work.Width);
        }
        else
        {
            Blas1.Zero(running, work.Width);
        }
    }

    private static void GatherPooled(in RouterWork work, in PlanGroup group, int head, float* pooled)
    {
        for (var i = 0; i < group.Count; i++)
        {
            Blas1.Copy(
                work.PooledKeys + ((long)group.Visible[i] * work.Stride) + (head * work.Width), pooled + (i * work.Width), work.Width);
        }
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

    private static void SumPartials(float* partials, int groups, int heads, in Operand operand)
    {
        var destination = Pointer(operand.Gradient);
        for (var head = 0; head < heads && destination != null; head++)
        {
            double sum = operand.Accumulates ? destination[head] : 0;
            for (var group = 0; group < groups; group++)
            {
                sum += partials[2 * (((long)group * heads) + head)];
            }

            destination[head] = (float)sum;
        }
    }
}
