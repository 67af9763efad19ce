using System.Numerics;
using System.Runtime.CompilerServices;
using Loci.Numerics;
using Loci.Numerics.Kernels;
using static Loci.Numerics.CpuDevice;

namespace Loci.Memory.Rules.Rwkv5;

/// <summary>The next rows of one sequence, written and read one after another from a state that is updated in place.</summary>
internal struct Rwkv5StepArguments
{
    public int Rows;
    public int Heads;
    public int Width;                            // d
    public DeviceSpan<float> Queries;            // [rows, H*d]
    public DeviceSpan<float> Keys;               // [rows, H*d]
    public DeviceSpan<float> Values;             // [rows, H*d]
    public DeviceSpan<float> LogDecay;           // the same for all rows, [H*d]
    public DeviceSpan<float> OwnGain;            // u, [H*d]
    public DeviceSpan<float> State;              // [H, d, d]
    public DeviceSpan<float> Output;             // [rows, H*d], or empty
}

/// <summary>
/// The step form of RWKV-5.2's memory, one head at a time: o = q (N + diag(u) k^T v), N = diag(alpha) N + k^T v, in one pass over the
/// state. The row itself is read through u, not through what it leaves in the state.
/// </summary>
internal readonly unsafe struct Rwkv5Step : IKernel<Rwkv5StepArguments>
{
    public static void Run(CpuDevice device, in Rwkv5StepArguments arguments)
    {
        fixed (Rwkv5StepArguments* state = &arguments)
        {
            device.Workers.For(arguments.Heads, &StepHead, state);
        }
    }

    private static void StepHead(void* state, int head, int worker)
    {
        ref readonly var work = ref *(Rwkv5StepArguments*)state;
        int d = work.Width, stride = work.Heads * d;
        float* n = Pointer(work.State) + ((long)head * d * d), gain = Pointer(work.OwnGain) + (head * d);
        var alpha = KernelScratch.Get((nuint)d);
        Blas1.Exp(Pointer(work.LogDecay) + (head * d), alpha, d);
        for (var t = 0; t < work.Rows; t++)
        {
            var offset = ((long)t * stride) + (head * d);
            var column = 0;
            for (; column <= d - Lanes.Count; column += Lanes.Count)
            {
                Columns(work, n, alpha, gain, offset, column, Lanes.Count);
            }

            if (column < d)
            {
                Columns(work, n, alpha, gain, offset, column, d - column);
            }
        }
    }

    /// <summary>One row's update of a vector of the state's columns, which do not depend on each other.</summary>
    [MethodImpl(MethodImplOptions.AggressiveInlining)]
    private static void Columns(in Rwkv5StepArguments work, float* n, float* alpha, float* gain, long offset, int column, int left)
    {
        float* q = Pointer(work.Queries) + offset, k = Pointer(work.Keys) + offset;
        var d = work.Width;
        var isRead = !work.Output.IsEmpty;
        var state = n + column;
        var v = Lanes.Load(Pointer(work.Values) + offset + column, left);
        var output = Vector<float>.Zero;
        for (var x = 0; x < d; x++)
        {
            var before = Lanes.Load(state + (x * d), left);
            var written = new Vector<float>(k[x]) * v;
            Lanes.Store(Vector.FusedMultiplyAdd(new Vector<float>(alpha[x]), before, written), state + (x * d), left);
            var seen = Vector.FusedMultiplyAdd(new Vector<float>(gain[x]), written, before);
            output = isRead ? Vector.FusedMultiplyAdd(new Vector<float>(q[x]), seen, output) : output;
        }

        if (isRead)
        {
            Lanes.Store(output, Pointer(work.Output) + offset + column, left);
        }
    }
}
