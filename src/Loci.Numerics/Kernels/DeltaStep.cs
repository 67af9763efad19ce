using System.Numerics;
using System.Runtime.CompilerServices;

namespace Loci.Numerics.Kernels;

/// <summary>The step form of the delta rule, one head at a time: u = beta (v - a k N), N = a N + k^T u, o = q N.</summary>
internal static unsafe class DeltaStep
{
    public static void Forward(void* state, int head, int worker)
    {
        ref var work = ref *(MemoryStep.Work*)state;
        int d = work.Width, heads = work.Heads, stride = heads * d;
        var n = work.State + ((long)head * d * d);
        for (var t = 0; t < work.Rows; t++)
        {
            var gate = ((long)t * heads) + head;
            var offset = ((long)t * stride) + (head * d);
            var decay = work.LogDecay != null ? MathF.Exp(work.LogDecay[gate]) : 1;
            var column = 0;
            for (; column <= d - Lanes.Count; column += Lanes.Count)
            {
                Columns(work, n, offset, column, decay, work.WriteGate[gate], Lanes.Count);
            }

            if (column < d)
            {
                Columns(work, n, offset, column, decay, work.WriteGate[gate], d - column);
            }
        }
    }

    /// <summary>One row's update of a vector of the state's columns, which do not depend on each other.</summary>
    [MethodImpl(MethodImplOptions.AggressiveInlining)]
    private static void Columns(in MemoryStep.Work work, float* n, long offset, int column, float decay, float beta, int left)
    {
        float* q = work.Q + offset, k = work.K + offset;
        var d = work.Width;
        var state = n + column;
        var stored = Vector<float>.Zero;
        for (var x = 0; x < d; x++)
        {
            stored = Vector.FusedMultiplyAdd(new Vector<float>(k[x]), Lanes.Load(state + (x * d), left), stored);
        }

        var decays = new Vector<float>(decay);
        var write = new Vector<float>(beta) * (Lanes.Load(work.V + offset + column, left) - (decays * stored));
        var output = Vector<float>.Zero;
        for (var x = 0; x < d; x++)
        {
            var value = Vector.FusedMultiplyAdd(new Vector<float>(k[x]), write, decays * Lanes.Load(state + (x * d), left));
            Lanes.Store(value, state + (x * d), left);
            output = work.Output != null ? Vector.FusedMultiplyAdd(new Vector<float>(q[x]), value, output) : output;
        }

        if (work.Output != null)
        {
            Lanes.Store(output, work.Output + offset + column, left);
        }
    }
}
