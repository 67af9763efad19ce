using System.Numerics;
using System.Runtime.CompilerServices;

namespace Loci.Numerics.Kernels;

/// <summary>The step form of RWKV-7's memory, one head at a time: N = diag(alpha) N - (e o c)^T (c N) + k^T v with removal key c and rate e, o = q N.</summary>
internal static unsafe class Rwkv7Step
{
    public static void Forward(void* state, int head, int worker)
    {
        ref var work = ref *(MemoryStep.Work*)state;
        int d = work.Width, stride = work.Heads * d;
        var n = work.State + ((long)head * d * d);
        float* alpha = KernelScratch.Get(2 * (nuint)d), removal = alpha + d;
        for (var t = 0; t < work.Rows; t++)
        {
            var offset = ((long)t * stride) + (head * d);
            MemoryVector.Exp(work.LogDecay + offset, alpha, d);
            MemoryVector.Multiply(work.RemovalKeys + offset, work.RemovalRates + offset, removal, d);
            var column = 0;
            for (; column <= d - Lanes.Count; column += Lanes.Count)
            {
                Columns(work, n, alpha, removal, offset, column, Lanes.Count);
            }

            if (column < d)
            {
                Columns(work, n, alpha, removal, offset, column, d - column);
            }
        }
    }

    /// <summary>One row's update of a vector of the state's columns, which do not depend on each other.</summary>
    [MethodImpl(MethodImplOptions.AggressiveInlining)]
    private static void Columns(in MemoryStep.Work work, float* n, float* alpha, float* removal, long offset, int column, int left)
    {
        float* q = work.Q + offset, k = work.K + offset, c = work.RemovalKeys + offset;
        var d = work.Width;
        var state = n + column;
        var stored = Vector<float>.Zero;
        for (var x = 0; x < d; x++)
        {
            stored = Vector.FusedMultiplyAdd(new Vector<float>(c[x]), Lanes.Load(state + (x * d), left), stored);
        }

        var v = Lanes.Load(work.V + offset + column, left);
        var output = Vector<float>.Zero;
        for (var x = 0; x < d; x++)
        {
            var value = new Vector<float>(alpha[x]) * Lanes.Load(state + (x * d), left);
            value = Vector.FusedMultiplyAdd(new Vector<float>(-removal[x]), stored, value);
            value = Vector.FusedMultiplyAdd(new Vector<float>(k[x]), v, value);
            Lanes.Store(value, state + (x * d), left);
            output = work.Output != null ? Vector.FusedMultiplyAdd(new Vector<float>(q[x]), value, output) : output;
        }

        if (work.Output != null)
        {
            Lanes.Store(output, work.Output + offset + column, left);
        }
    }
}
