using System.Numerics;
using System.Runtime.CompilerServices;

namespace Loci.Numerics.Kernels;

/// <summary>
/// The step form of RWKV-5.2's memory, one head at a time: o = q (N + diag(u) k^T v), N = diag(alpha) N + k^T v, in one pass over the state. The row itself is read through
/// u, not through what it leaves in the state.
/// </summary>
internal static unsafe class Rwkv5Step
{
    public static void Forward(void* state, int head, int worker)
    {
        ref var work = ref *(MemoryStep.Work*)state;
        int d = work.Width, stride = work.Heads * d;
        var n = work.State + ((long)head * d * d);
        var alpha = KernelScratch.Get((nuint)d);
        MemoryVector.Exp(work.LogDecay + (head * d), alpha, d);
        for (var t = 0; t < work.Rows; t++)
        {
            var offset = ((long)t * stride) + (head * d);
            var column = 0;
            for (; column <= d - Lanes.Count; column += Lanes.Count)
            {
                Columns(work, n, alpha, work.OwnGain + (head * d), offset, column, Lanes.Count);
            }

            if (column < d)
            {
                Columns(work, n, alpha, work.OwnGain + (head * d), offset, column, d - column);
            }
        }
    }

    /// <summary>One row's update of a vector of the state's columns, which do not depend on each other.</summary>
    [MethodImpl(MethodImplOptions.AggressiveInlining)]
    private static void Columns(in MemoryStep.Work work, float* n, float* alpha, float* gain, long offset, int column, int left)
    {
        float* q = work.Q + offset, k = work.K + offset;
        var d = work.Width;
        var state = n + column;
        var v = Lanes.Load(work.V + offset + column, left);
        var output = Vector<float>.Zero;
        for (var x = 0; x < d; x++)
        {
            var before = Lanes.Load(state + (x * d), left);
            var written = new Vector<float>(k[x]) * v;
            Lanes.Store(Vector.FusedMultiplyAdd(new Vector<float>(alpha[x]), before, written), state + (x * d), left);
            output = work.Output != null ? Vector.FusedMultiplyAdd(new Vector<float>(q[x]), Vector.FusedMultiplyAdd(new Vector<float>(gain[x]), written, before), output) : output;
        }

        if (work.Output != null)
        {
            Lanes.Store(output, work.Output + offset + column, left);
        }
    }
}
