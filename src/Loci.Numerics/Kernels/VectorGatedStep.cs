using System.Numerics;
using System.Runtime.CompilerServices;

namespace Loci.Numerics.Kernels;

/// <summary>The step form of a memory with a decay for every key dimension, one head at a time: N = diag(alpha) N + k^T v, o = q N, in one pass over the state.</summary>
internal static unsafe class VectorGatedStep
{
    public static void Forward(void* state, int head, int worker)
    {
        ref var work = ref *(MemoryStep.Work*)state;
        int d = work.Width, stride = work.Heads * d;
        var n = work.State + ((long)head * d * d);
        var tail = work.Tail + (head * d);
        var alpha = KernelScratch.Get((nuint)d);
        for (var t = 0; t < work.Rows; t++)
        {
            var offset = ((long)t * stride) + (head * d);
            var logDecay = work.LogDecay + offset;
            Lanes.AddScaled(logDecay, 1, tail, d, t > 0 || !work.IsFirstOfSegment);
            MemoryVector.Exp(logDecay, alpha, d);

            var column = 0;
            for (; column <= d - Lanes.Count; column += Lanes.Count)
            {
                Columns(work, n, alpha, offset, column, Lanes.Count);
            }

            if (column < d)
            {
                Columns(work, n, alpha, offset, column, d - column);
            }
        }
    }

    /// <summary>One row's update of a vector of the state's columns, which do not depend on each other.</summary>
    [MethodImpl(MethodImplOptions.AggressiveInlining)]
    private static void Columns(in MemoryStep.Work work, float* n, float* alpha, long offset, int column, int left)
    {
        float* q = work.Q + offset, k = work.K + offset;
        var d = work.Width;
        var state = n + column;
        var v = Lanes.Load(work.V + offset + column, left);
        var output = Vector<float>.Zero;
        for (var x = 0; x < d; x++)
        {
            var value = Vector.FusedMultiplyAdd(new Vector<float>(k[x]), v, new Vector<float>(alpha[x]) * Lanes.Load(state + (x * d), left));
            Lanes.Store(value, state + (x * d), left);
            output = Vector.FusedMultiplyAdd(new Vector<float>(q[x]), value, output);
        }

        Lanes.Store(output, work.Output + offset + column, left);
    }
}
