using Loci.Memory.Segments;
using Loci.Numerics;
using Loci.Numerics.Kernels;

namespace Loci.Memory.Rules.ScalarGated;

/// <summary>
/// Merges of neighbouring states of an additive memory, for logarithmic segments written independently: with E the end of the destination's
/// segment and f the first row after the source's, destination += exp(log a_f + ... + log a_E) source + exp(log a_{f+1} + ... + log a_E)
/// b_f k_{f-1} v_{f-1}^T.
/// </summary>
internal static unsafe class ScalarGatedMerge
{
    public static void Forward(void* state, int index, int worker)
    {
        ref var work = ref *(ScalarGatedScanKernel.Work*)state;
        ref readonly var scan = ref work.Scan;
        int sequence = index / scan.Heads, head = index % scan.Heads, d = scan.Width, square = d * d;
        for (var i = scan.Plan.MergeRanges[2 * sequence]; i < scan.Plan.MergeRanges[(2 * sequence) + 1]; i++)
        {
            var merge = scan.Plan.Merges + (i * MemoryPlan.MergeFields);
            var destination = scan.States + ((((long)merge[0] * scan.Heads) + head) * square);
            var source = scan.States + ((((long)merge[1] * scan.Heads) + head) * square);
            var after = DecaySum(work, merge[2] + 1, merge[3], head);
            var decay = MathF.Exp(after + DecaySum(work, merge[2], merge[2] + 1, head));
            Blas1.AddScaled(decay, source, destination, square);
            if (work.PreviousGate.Values != null)
            {
                var coefficient = work.PreviousGate.Values[((long)merge[2] * scan.Heads) + head] * MathF.Exp(after);
                var offset = ((long)(merge[2] - 1) * scan.Stride) + (head * d);
                for (var x = 0; x < d; x++)
                {
                    Blas1.AddScaled(coefficient * scan.K[offset + x], scan.V + offset, destination + (x * d), d);
                }
            }
        }
    }

    /// <summary>Passes the gradients of merged states on to the states merged, before the scan's backward.</summary>
    public static void PropagateBackward(void* state, int index, int worker)
    {
        ref var work = ref *(ScalarGatedScanKernel.Work*)state;
        ref readonly var scan = ref work.Scan;
        int sequence = index / scan.Heads, head = index % scan.Heads, square = scan.Width * scan.Width;
        for (var i = scan.Plan.MergeRanges[(2 * sequence) + 1] - 1; i >= scan.Plan.MergeRanges[2 * sequence]; i--)
        {
            var merge = scan.Plan.Merges + (i * MemoryPlan.MergeFields);
            var destination = scan.DStates + ((((long)merge[0] * scan.Heads) + head) * square);
            var source = scan.DStates + ((((long)merge[1] * scan.Heads) + head) * square);
            Blas1.AddScaled(MathF.Exp(DecaySum(work, merge[2], merge[3], head)), destination, source, square);
        }
    }

    /// <summary>Adds the merges' gradients of gates, keys and values, after the scan's backward.</summary>
    public static void InputBackward(void* state, int index, int worker)
    {
        ref var work = ref *(ScalarGatedScanKernel.Work*)state;
        ref readonly var scan = ref work.Scan;
        int sequence = index / scan.Heads, head = index % scan.Heads, d = scan.Width, square = d * d, heads = scan.Heads;
        for (var i = scan.Plan.MergeRanges[2 * sequence]; i < scan.Plan.MergeRanges[(2 * sequence) + 1]; i++)
        {
            var merge = scan.Plan.Merges + (i * MemoryPlan.MergeFields);
            int first = merge[2], end = merge[3];
            var gradient = scan.DStates + ((((long)merge[0] * heads) + head) * square);
            var source = scan.States + ((((long)merge[1] * heads) + head) * square);
            var after = DecaySum(work, first + 1, end, head);
            var decay = MathF.Exp(after + DecaySum(work, first, first + 1, head));
            var dLog = work.LogDecay.Gradient != null ? decay * Blas1.Dot(gradient, source, square) : 0;
            var dLogAfter = 0f;
            if (work.PreviousGate.Values != null)
            {
                var reach = MathF.Exp(after);
                var coefficient = work.PreviousGate.Values[((long)first * heads) + head] * reach;
                var offset = ((long)(first - 1) * scan.Stride) + (head * d);
                var total = 0f;
                for (var x = 0; x < d; x++)
                {
                    var value = Blas1.Dot(gradient + (x * d), scan.V + offset, d);
                    total += value * scan.K[offset + x];
                    if (scan.DK != null)
                    {
                        scan.DK[offset + x] += coefficient * value;
                    }

                    if (scan.DV != null)
                    {
                        Blas1.AddScaled(coefficient * scan.K[offset + x], gradient + (x * d), scan.DV + offset, d);
                    }
                }

                if (work.PreviousGate.Gradient != null)
                {
                    work.PreviousGate.Gradient[((long)first * heads) + head] += reach * total;
                }

                dLogAfter = coefficient * total;
            }

            if (work.LogDecay.Gradient != null)
            {
                for (var row = first; row < end; row++)
                {
                    work.LogDecay.Gradient[((long)row * heads) + head] += dLog + (row > first ? dLogAfter : 0);
                }
            }
        }
    }

    private static float DecaySum(in ScalarGatedScanKernel.Work work, int first, int end, int head)
    {
        var sum = 0f;
        if (work.LogDecay.Values != null)
        {
            for (var row = first; row < end; row++)
            {
                sum += work.LogDecay.Values[((long)row * work.Scan.Heads) + head];
            }
        }

        return sum;
    }
}
