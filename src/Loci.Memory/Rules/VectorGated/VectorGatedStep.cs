using System.Numerics;
using System.Runtime.CompilerServices;
using Loci.Numerics;
using Loci.Numerics.Kernels;
using static Loci.Numerics.CpuDevice;

namespace Loci.Memory.Rules.VectorGated;

/// <summary>The next rows of one sequence, written and read one after another from a state that is updated in place.</summary>
internal struct VectorGatedStepArguments
{
    public int Rows;
    public int Heads;
    public int Width;                            // d
    public DeviceSpan<float> Queries;            // [rows, H*d]
    public DeviceSpan<float> Keys;               // [rows, H*d]
    public DeviceSpan<float> Values;             // [rows, H*d]
    public DeviceSpan<float> LogDecay;           // [rows, H*d]
    public bool IsFirstOfSegment;                // the tail starts anew
    public DeviceSpan<float> State;              // [H, d, d]
    public DeviceSpan<float> Tail;               // sums of log alpha since the segment's start, [H*d]
    public DeviceSpan<float> Output;             // S_t q_t, [rows, H*d]
}

/// <summary>The step form, one head at a time: N = diag(alpha) N + k^T v, o = q N, in one pass over the state.</summary>
internal readonly unsafe struct VectorGatedStep : IKernel<VectorGatedStepArguments>
{
    public static void Run(CpuDevice device, in VectorGatedStepArguments arguments)
    {
        fixed (VectorGatedStepArguments* state = &arguments)
        {
            device.Workers.For(arguments.Heads, &StepHead, state);
        }
    }

    private static void StepHead(void* state, int head, int worker)
    {
        ref readonly var work = ref *(VectorGatedStepArguments*)state;
        int d = work.Width, stride = work.Heads * d;
        float* n = Pointer(work.State) + ((long)head * d * d), tail = Pointer(work.Tail) + (head * d);
        var alpha = KernelScratch.Get((nuint)d);
        for (var t = 0; t < work.Rows; t++)
        {
            var offset = ((long)t * stride) + (head * d);
            var logDecay = Pointer(work.LogDecay) + offset;
            Lanes.AddScaled(logDecay, 1, tail, d, t > 0 || !work.IsFirstOfSegment);
            Blas1.Exp(logDecay, alpha, d);
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
    private static void Columns(in VectorGatedStepArguments work, float* n, float* alpha, long offset, int column, int left)
    {
        float* q = Pointer(work.Queries) + offset, k = Pointer(work.Keys) + offset;
        var d = work.Width;
        var state = n + column;
        var v = Lanes.Load(Pointer(work.Values) + offset + column, left);
        var output = Vector<float>.Zero;
        for (var x = 0; x < d; x++)
        {
            var value = Vector.FusedMultiplyAdd(
                new Vector<float>(k[x]), v, new Vector<float>(alpha[x]) * Lanes.Load(state + (x * d), left));
            Lanes.Store(value, state + (x * d), left);
            output = Vector.FusedMultiplyAdd(new Vector<float>(q[x]), value, output);
        }

        Lanes.Store(output, Pointer(work.Output) + offset + column, left);
    }
}
