using Loci.Memory.Segments;
using Loci.Numerics;
using Loci.Numerics.Kernels;

namespace Loci.Memory.Rules.VectorGated;

/// <summary>
/// Merges of neighbouring states of a memory with a decay for every key dimension: with f the first row after the source's segment and E
/// the end of the destination's, destination += diag(exp(log alpha_f + ... + log alpha_E)) source.
/// </summary>
internal static unsafe class VectorGatedMerge
{
    public static void Forward(void* state, int index, int worker)
    {
        ref var work = ref *(VectorGatedScanKernel.Work*)state;
        ref readonly var scan = ref work.Scan;
        int sequence = index / scan.Heads, head = index % scan.Heads, d = scan.Width, square = d * d;
        var decay = KernelScratch.Get((nuint)d);
        for (var i = scan.Plan.MergeRanges[2 * sequence]; i < scan.Plan.MergeRanges[(2 * sequence) + 1]; i++)
        {
            var merge = scan.Plan.Merges + (i * MemoryPlan.MergeFields);
            var destination = scan.States + ((((long)merge[0] * scan.Heads) + head) * square);
            var source = scan.States + ((((long)merge[1] * scan.Heads) + head) * square);
            Decay(work, merge[2], merge[3], head, decay);
            for (var x = 0; x < d; x++)
            {
                Blas1.AddScaled(decay[x], source + (x * d), destination + (x * d), d);
            }
        }
    }

    /// <summary>Passes the gradients of merged states on to the states merged, before the scan's backward.</summary>
    public static void PropagateBackward(void* state, int index, int worker)
    {
        ref var work = ref *(VectorGatedScanKernel.Work*)state;
        ref readonly var scan = ref work.Scan;
        int sequence = index / scan.Heads, head = index % scan.Heads, d = scan.Width, square = d * d;
        var decay = KernelScratch.Get((nuint)d);
        for (var i = scan.Plan.MergeRanges[(2 * sequence) + 1] - 1; i >= scan.Plan.MergeRanges[2 * sequence]; i--)
        {
            var merge = scan.Plan.Merges + (i * MemoryPlan.MergeFields);
            var destination = scan.DStates + ((((long)merge[0] * scan.Heads) + head) * square);
            var source = scan.DStates + ((((long)merge[1] * scan.Heads) + head) * square);
            Decay(work, merge[2], merge[3], head, decay);
            for (var x = 0; x < d; x++)
            {
                Blas1.AddScaled(decay[x], destination + (x * d), source + (x * d), d);
            }
        }
    }

    /// <summary>Adds the merges' gradients of log alpha, after the scan's backward.</summary>
    public static void InputBackward(void* state, int index, int worker)
    {
        ref var work = ref *(VectorGatedScanKernel.Work*)state;
        ref readonly var scan = ref work.Scan;
        int sequence = index / scan.Heads, head = index % scan.Heads, d = scan.Width, square = d * d;
        if (work.LogDecay.Gradient == null)
        {
            return;
        }

        var gradient = KernelScratch.Get((nuint)d);
        for (var i = scan.Plan.MergeRanges[2 * sequence]; i < scan.Plan.MergeRanges[(2 * sequence) + 1]; i++)
        {
            var merge = scan.Plan.Merges + (i * MemoryPlan.MergeFields);
            var destination = scan.DStates + ((((long)merge[0] * scan.Heads) + head) * square);
            var source = scan.States + ((((long)merge[1] * scan.Heads) + head) * square);
            Decay(work, merge[2], merge[3], head, gradient);
            for (var x = 0; x < d; x++)
            {
                gradient[x] *= Blas1.Dot(destination + (x * d), source + (x * d), d);
            }

            for (var row = merge[2]; row < merge[3]; row++)
            {
                Blas1.AddScaled(1, gradient, work.LogDecay.Gradient + ((long)row * scan.Stride) + (head * d), d);
            }
        }
    }

    private static void Decay(in VectorGatedScanKernel.Work work, int first, int end, int head, float* decay)
    {
        var d = work.Scan.Width;
        Blas1.Zero(decay, d);
        for (var row = first; row < end; row++)
        {
            Blas1.AddScaled(1, work.LogDecay.Values + ((long)row * work.Scan.Stride) + (head * d), decay, d);
        }

        Blas1.Exp(decay, decay, d);
    }
}
