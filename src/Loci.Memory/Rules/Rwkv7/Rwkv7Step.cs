using System.Numerics;
using System.Runtime.CompilerServices;
using Loci.Numerics;
using Loci.Numerics.Kernels;
using static Loci.Numerics.CpuDevice;

namespace Loci.Memory.Rules.Rwkv7;

/// <summary>The next rows of one sequence, written and read one after another from a state that is updated in place.</summary>
internal struct Rwkv7StepArguments
{
    public int Rows;
    public int Heads;
    public int Width;                            // d
    public DeviceSpan<float> Queries;            // [rows, H*d]
    public DeviceSpan<float> Keys;               // [rows, H*d]
    public DeviceSpan<float> Values;             // [rows, H*d]
    public DeviceSpan<float> LogDecay;           // [rows, H*d]
    public DeviceSpan<float> RemovalKeys;        // c, [rows, H*d]
    public DeviceSpan<float> RemovalRates;       // e, [rows, H*d]
    public DeviceSpan<float> State;              // [H, d, d]
    public DeviceSpan<float> Output;             // [rows, H*d], or empty
}

/// <summary>
/// The step form of RWKV-7's memory, one head at a time: N = diag(alpha) N - (e o c)^T (c N) + k^T v with removal key c and rate e, o = q
/// N.
/// </summary>
internal readonly unsafe struct Rwkv7Step : IKernel<Rwkv7StepArguments>
{
    public static void Run(CpuDevice device, in Rwkv7StepArguments arguments)
    {
        fixed (Rwkv7StepArguments* state = &arguments)
        {
            device.Workers.For(arguments.Heads, &StepHead, state);
        }
    }

    private static void StepHead(void* state, int head, int worker)
    {
        ref readonly var work = ref *(Rwkv7StepArguments*)state;
        int d = work.Width, stride = work.Heads * d;
        var n = Pointer(work.State) + ((long)head * d * d);
        float* alpha = KernelScratch.Get(2 * (nuint)d), removal = alpha + d;
        for (var t = 0; t < work.Rows; t++)
        {
            var offset = ((long)t * stride) + (head * d);
            Blas1.Exp(Pointer(work.LogDecay) + offset, alpha, d);
            Blas1.Multiply(Pointer(work.RemovalKeys) + offset, Pointer(work.RemovalRates) + offset, removal, d);
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
    private static void Columns(in Rwkv7StepArguments work, float* n, float* alpha, float* removal, long offset, int column, int left)
    {
        float* q = Pointer(work.Queries) + offset, k = Pointer(work.Keys) + offset, c = Pointer(work.RemovalKeys) + offset;
        var d = work.Width;
        var isRead = !work.Output.IsEmpty;
        var state = n + column;
        var stored = Vector<float>.Zero;
        for (var x = 0; x < d; x++)
        {
            stored = Vector.FusedMultiplyAdd(new Vector<float>(c[x]), Lanes.Load(state + (x * d), left), stored);
        }

        var v = Lanes.Load(Pointer(work.Values) + offset + column, left);
        var output = Vector<float>.Zero;
        for (var x = 0; x < d; x++)
        {
            var value = new Vector<float>(alpha[x]) * Lanes.Load(state + (x * d), left);
            value = Vector.FusedMultiplyAdd(new Vector<float>(-removal[x]), stored, value);
            value = Vector.FusedMultiplyAdd(new Vector<float>(k[x]), v, value);
            Lanes.Store(value, state + (x * d), left);
            output = isRead ? Vector.FusedMultiplyAdd(new Vector<float>(q[x]), value, output) : output;
        }

        if (isRead)
        {
            Lanes.Store(output, Pointer(work.Output) + offset + column, left);
        }
    }
}
