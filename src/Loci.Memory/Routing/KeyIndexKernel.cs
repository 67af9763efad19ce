using System.Numerics;
using System.Runtime.Intrinsics;
using System.Runtime.Intrinsics.X86;
using Loci.Memory.Segments;
using Loci.Numerics;
using Loci.Numerics.Kernels;
using static Loci.Memory.Routing.KeyIndexLayout;
using static Loci.Numerics.CpuDevice;

namespace Loci.Memory.Routing;

/// <summary>
/// Router keys in eight bits, to find the few of many segments that a token reads without looking at all keys: a score computed from them
/// is off by at most half a step in every dimension, so that all segments that could be among the best k are known, and only their scores
/// are computed as they are. The outcome is that of the full scores, bit for bit.
/// </summary>
internal static unsafe class KeyIndexKernel
{
    // Bytes between what is read and what is asked for; behind the end it is asked for in vain.
    private const int Ahead = 4096;

    /// <summary>Puts one slot's key, [H, d], into its blocks.</summary>
    internal readonly struct Insertion : IKernel<IndexKeyArguments>
    {
        public static void Run(CpuDevice device, in IndexKeyArguments arguments) => Set(
            Pointer(arguments.Index), arguments.Capacity, arguments.Slot, Pointer(arguments.Key), arguments.Heads,
            (int)(arguments.Key.Length / arguments.Heads));
    }

    private static void Set(float* index, int capacity, int slot, float* key, int heads, int width)
    {
        var block = slot / BlockSlots;
        slot %= BlockSlots;
        for (var head = 0; head < heads; head++)
        {
            var scales = index + ((((long)head * capacity) + block) * BlockLength(width));
            var values = (sbyte*)(scales + BlockSlots) + slot;
            var k = key + (head * width);
            var largest = 0f;
            for (var i = 0; i < width; i++)
            {
                largest = MathF.Max(largest, MathF.Abs(k[i]));
            }

            scales[slot] = largest / 127;
            var inverse = largest > 1e-30f ? 127 / largest : 0;
            for (var i = 0; i < width; i++)
            {
                values[i * BlockSlots] = (sbyte)MathF.Round(k[i] * inverse);
            }
        }
    }

    /// <summary>Whether a read can use the index: one row that reads few of many segments, each head for itself.</summary>
    public static bool Applies(in RouterWork work, int rows, int count) =>
        work.Index != null && rows == 1 && work.Options.TopK is > 0 and <= BlockSlots && !work.Options.SharesGates
        && count >= 4 * BlockSlots;

    /// <summary>
    /// Scores and gates of one head and row, as <see cref="RouterKernel"/> would leave them; scores of segments that are not read are not
    /// computed.
    /// </summary>
    public static void Choose(void* state, int head, int worker)
    {
        ref var work = ref *(RouterWork*)state;
        var group = new PlanGroup(work.Plan, work.Heads, 0);
        int d = work.Width, count = group.Count, topK = work.Options.TopK;
        var estimates = KernelScratch.Get((nuint)(count + BlockSlots + d));
        var running = estimates + ((count + BlockSlots - 1) / BlockSlots * BlockSlots);
        float* scores = work.Scores + group.GatesOf(head), gates = work.Gates + group.GatesOf(head);
        var offset = ((long)group.Row * work.Stride) + (head * d);
        var u = work.U + offset;
        var temperature = work.Temperature[head];
        var norm = 0f;
        for (var i = 0; i < d; i++)
        {
            norm += MathF.Abs(u[i]);
        }

        // tau r of every segment, and in place of it the most it can be: |tau| times half a step of every dimension, and a little for
        // rounding.
        var margin = MathF.Abs(temperature) * norm * 0.5005f;
        var lower = stackalloc float[topK];
        var found = 0;
        for (var first = 0; first < count; first += BlockSlots)
        {
            var scales = work.Index + ((((long)head * work.IndexCapacity) + (first / BlockSlots)) * BlockLength(d));
            var slots = Math.Min(BlockSlots, count - first);
            Estimate(u, (sbyte*)(scales + BlockSlots), d, estimates + first);
            // Rounding of the sums, here and in the full score, is far below what is added for it: half per mille of the margin and 1e-5 of
            // the score.
            var i = 0;
            for (; i <= slots - Vector<float>.Count; i += Vector<float>.Count)
            {
                var scale = Vector.Load(scales + i);
                var estimate = Vector.Load(estimates + first + i) * scale * temperature;
                var error = (scale * margin) + (Vector.Abs(estimate) * 1e-5f);
                (estimate + error).Store(estimates + first + i);
                var least = estimate - error;
                if (found < topK || Vector.GreaterThanAny(least, new Vector<float>(lower[topK - 1])))
                {
                    for (var lane = 0; lane < Vector<float>.Count; lane++)
                    {
                        Raise(lower, ref found, topK, least[lane]);
                    }
                }
            }

            for (; i < slots; i++)
            {
                var estimate = temperature * estimates[first + i] * scales[i];
                var error = (margin * scales[i]) + (1e-5f * MathF.Abs(estimate));
                estimates[first + i] = estimate + error;
                Raise(lower, ref found, topK, estimate - error);
            }
        }

        // A segment whose most is below the k-th best least is not among the k.
        var threshold = new Vector<float>(lower[topK - 1]);
        new Span<float>(gates, count).Fill(float.NegativeInfinity);
        for (var i = 0; i < count; i++)
        {
            if (i <= count - Vector<float>.Count && Vector.LessThanAll(Vector.Load(estimates + i), threshold))
            {
                i += Vector<float>.Count - 1;
                continue;
            }

            if (!(estimates[i] < lower[topK - 1]))
            {
                MatrixProduct.MultiplySmall(
                    false, true, 1, 1, d, u, work.Stride, work.KeyPages.At(i) + (head * d), work.Stride, scores + i, 1, false);
                gates[i] = temperature * scores[i];
            }
        }

        RouterKernel.StartRunning(work, head, running);
        Blas1.AddScaled(1, work.K + offset, running, d);
        scores[count] = Blas1.Dot(u, running, d) * work.Options.KeyScale(work.InitialCount + 1);
        gates[count] = (temperature * scores[count]) + (work.OnlineBias == null ? 0 : work.OnlineBias[head]);
        RouterKernel.Softmax(gates, count, topK);
    }

    /// <summary>Takes a value up among the best, which are in descending order.</summary>
    private static void Raise(float* best, ref int found, int count, float value)
    {
        if (found == count && !(value > best[count - 1]))
        {
            return;
        }

        var at = found < count ? found++ : count - 1;
        for (; at > 0 && value > best[at - 1]; at--)
        {
            best[at] = best[at - 1];
        }

        best[at] = value;
    }

    /// <summary>sums[slot] = sum over i of u[i] values[i, slot].</summary>
    private static void Estimate(float* u, sbyte* values, int width, float* sums)
    {
        if (Vector512.IsHardwareAccelerated && Sse.IsSupported)
        {
            Vector512<float> s0 = Vector512<float>.Zero, s1 = s0, s2 = s0, s3 = s0;
            for (var i = 0; i < width; i++, values += BlockSlots)
            {
                Sse.Prefetch0(values + Ahead);
                var factor = Vector512.Create(u[i]);
                s0 = Vector512.MultiplyAddEstimate(factor, Sixteen(values), s0);
                s1 = Vector512.MultiplyAddEstimate(factor, Sixteen(values + 16), s1);
                s2 = Vector512.MultiplyAddEstimate(factor, Sixteen(values + 32), s2);
                s3 = Vector512.MultiplyAddEstimate(factor, Sixteen(values + 48), s3);
            }

            s0.Store(sums);
            s1.Store(sums + 16);
            s2.Store(sums + 32);
            s3.Store(sums + 48);
            return;
        }

        new Span<float>(sums, BlockSlots).Clear();
        for (var i = 0; i < width; i++, values += BlockSlots)
        {
            var factor = new Vector<float>(u[i]);
            for (var slot = 0; slot < BlockSlots; slot += Vector<sbyte>.Count)
            {
                Vector.Widen(Vector.Load(values + slot), out Vector<short> low, out var high);
                Vector.Widen(low, out Vector<int> a, out var b);
                Vector.Widen(high, out Vector<int> c, out var e);
                Add(a, sums + slot);
                Add(b, sums + slot + Vector<int>.Count);
                Add(c, sums + slot + (2 * Vector<int>.Count));
                Add(e, sums + slot + (3 * Vector<int>.Count));
            }

            void Add(Vector<int> values, float* to) =>
                Vector.MultiplyAddEstimate(factor, Vector.ConvertToSingle(values), Vector.Load(to)).Store(to);
        }
    }

    private static Vector512<float> Sixteen(sbyte* values) =>
        Vector512.ConvertToSingle(Avx512F.IsSupported
            ? Avx512F.ConvertToVector512Int32(Vector128.Load(values))
            : Vector512.WidenLower(Vector512.WidenLower(Vector128.Load(values).ToVector256Unsafe().ToVector512Unsafe())));
}
