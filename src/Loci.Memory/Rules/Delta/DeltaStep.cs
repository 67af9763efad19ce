using System.Numerics;
using System.Runtime.CompilerServices;
using Loci.Numerics;
using Loci.Numerics.Kernels;
using static Loci.Numerics.CpuDevice;

namespace Loci.Memory.Rules.Delta;

/// <summary>The next rows of one sequence, written and read one after another from a state that is updated in place.</summary>
internal struct DeltaStepArguments
{
    public int Rows;
    public int Heads;
    public int Width;                            // d
    public DeviceSpan<float> Queries;            // [rows, H*d]
    public DeviceSpan<float> Keys;               // [rows, H*d]
    public DeviceSpan<float> Values;             // [rows, H*d]
    public DeviceSpan<float> LogDecay;           // [rows, H] or empty
    public DeviceSpan<float> Beta;               // [rows, H]
    public DeviceSpan<float> State;              // [H, d, d]
    public DeviceSpan<float> Output;             // S_t q_t, [rows, H*d], or empty
}

/// <summary>The step form of the delta rule, one head at a time: u = beta (v - a k N), N = a N + k^T u, o = q N.</summary>
internal readonly unsafe struct DeltaStep : IKernel<DeltaStepArguments>
{
    public static void Run(CpuDevice device, in DeltaStepArguments arguments)
    {
        fixed (DeltaStepArguments* state = &arguments)
        {
            device.Workers.For(arguments.Heads, &StepHead, state);
        }
    }

    private static void StepHead(void* state, int head, int worker)
    {
        ref readonly var work = ref *(DeltaStepArguments*)state;
        int d = work.Width, heads = work.Heads, stride = heads * d;
        float* n = Pointer(work.State) + ((long)head * d * d), logDecays = Pointer(work.LogDecay), betas = Pointer(work.Beta);
        for (var t = 0; t < work.Rows; t++)
        {
            var gate = ((long)t * heads) + head;
            var offset = ((long)t * stride) + (head * d);
            var decay = logDecays != null ? MathF.Exp(logDecays[gate]) : 1;
            var column = 0;
            for (; column <= d - Lanes.Count; column += Lanes.Count)
            {
                Columns(work, n, offset, column, decay, betas[gate], Lanes.Count);
            }

            if (column < d)
            {
                Columns(work, n, offset, column, decay, betas[gate], d - column);
            }
        }
    }

    /// <summary>One row's update of a vector of the state's columns, which do not depend on each other.</summary>
    [MethodImpl(MethodImplOptions.AggressiveInlining)]
    private static void Columns(in DeltaStepArguments work, float* n, long offset, int column, float decay, float beta, int left)
    {
        float* q = Pointer(work.Queries) + offset, k = Pointer(work.Keys) + offset;
        var d = work.Width;
        var isRead = !work.Output.IsEmpty;
        var state = n + column;
        var stored = Vector<float>.Zero;
        for (var x = 0; x < d; x++)
        {
            stored = Vector.FusedMultiplyAdd(new Vector<float>(k[x]), Lanes.Load(state + (x * d), left), stored);
        }

        var decays = new Vector<float>(decay);
        var write = new Vector<float>(beta) * (Lanes.Load(Pointer(work.Values) + offset + column, left) - (decays * stored));
        var output = Vector<float>.Zero;
        for (var x = 0; x < d; x++)
        {
            var value = Vector.FusedMultiplyAdd(new Vector<float>(k[x]), write, decays * Lanes.Load(state + (x * d), left));
            Lanes.Store(value, state + (x * d), left);
            output = isRead ? Vector.FusedMultiplyAdd(new Vector<float>(q[x]), value, output) : output;
        }

        if (isRead)
        {
            Lanes.Store(output, Pointer(work.Output) + offset + column, left);
        }
    }
}
