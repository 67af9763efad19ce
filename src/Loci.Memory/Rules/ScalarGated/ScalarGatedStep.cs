using System.Numerics;
using Loci.Numerics;
using Loci.Numerics.Kernels;
using static Loci.Numerics.CpuDevice;

namespace Loci.Memory.Rules.ScalarGated;

/// <summary>The next rows of one sequence, written and read one after another from a state that is updated in place.</summary>
internal struct ScalarGatedStepArguments
{
    public int Rows;
    public int Heads;
    public int Width;                            // d
    public DeviceSpan<float> Queries;            // [rows, H*d]
    public DeviceSpan<float> Keys;               // [rows, H*d]
    public DeviceSpan<float> Values;             // [rows, H*d]
    public DeviceSpan<float> LogDecay;           // [rows, H] or empty
    public DeviceSpan<float> PreviousGate;       // [rows, H] or empty
    public DeviceSpan<float> WriteGate;          // [rows, H] or empty
    public DeviceSpan<float> Previous;           // k, then v, of the row before the first, [2, H*d]; zeros at the start of a sequence
    public bool IsFirstOfSegment;                // the tail starts anew
    public bool WindowReachesBack;               // whether the first row's b applies to the row before it
    public DeviceSpan<float> State;              // [H, d, d]
    public DeviceSpan<float> Tail;               // sums of log a since the segment's start, [H]; b of its first row, decayed since, [H]
    public DeviceSpan<float> Output;             // M_t q_t, [rows, H*d]
}

/// <summary>The step form, one head at a time: N = a N + b k_0 v_0^T + l k v^T, o = q N, in one pass over the state.</summary>
internal readonly unsafe struct ScalarGatedStep : IKernel<ScalarGatedStepArguments>
{
    public static void Run(CpuDevice device, in ScalarGatedStepArguments arguments)
    {
        fixed (ScalarGatedStepArguments* state = &arguments)
        {
            device.Workers.For(arguments.Heads, &StepHead, state);
        }
    }

    private static void StepHead(void* state, int head, int worker)
    {
        ref readonly var work = ref *(ScalarGatedStepArguments*)state;
        int d = work.Width, heads = work.Heads, stride = heads * d;
        float* q = Pointer(work.Queries), k = Pointer(work.Keys), v = Pointer(work.Values), o = Pointer(work.Output);
        float* logDecays = Pointer(work.LogDecay), previousGates = Pointer(work.PreviousGate), writeGates = Pointer(work.WriteGate);
        float* n = Pointer(work.State) + ((long)head * d * d), tail = Pointer(work.Tail);
        float* k0 = Pointer(work.Previous) + (head * d), v0 = k0 + stride;
        for (var t = 0; t < work.Rows; t++)
        {
            var gate = ((long)t * heads) + head;
            var logDecay = logDecays != null ? logDecays[gate] : 0;
            var decay = logDecays != null ? MathF.Exp(logDecay) : 1;
            var previous = previousGates != null ? previousGates[gate] : 0;
            var write = writeGates != null ? writeGates[gate] : 1;
            if (t == 0 && work.IsFirstOfSegment)
            {
                tail[head] = logDecay;
                tail[heads + head] = previous;
            }
            else
            {
                tail[head] += logDecay;
                tail[heads + head] *= decay;
            }

            if (t == 0 && !work.WindowReachesBack)
            {
                previous = 0;
            }

            var offset = ((long)t * stride) + (head * d);
            Row(n, q + offset, k + offset, v + offset, k0, v0, o + offset, d, decay, previous, write);
            k0 = k + offset;
            v0 = v + offset;
        }
    }

    private static void Row(
        float* n, float* q, float* k, float* v, float* k0, float* v0, float* o, int d, float decay, float previous, float write)
    {
        Blas1.Zero(o, d);
        for (var x = 0; x < d; x++)
        {
            var line = n + (x * d);
            float now = write * k[x], before = previous * k0[x], read = q[x];
            var y = 0;
            Vector<float> decays = new(decay), nows = new(now), befores = new(before), reads = new(read);
            for (; y <= d - Vector<float>.Count; y += Vector<float>.Count)
            {
                var value = decays * Vector.Load(line + y);
                if (previous != 0)
                {
                    value = Vector.FusedMultiplyAdd(befores, Vector.Load(v0 + y), value);
                }

                value = Vector.FusedMultiplyAdd(nows, Vector.Load(v + y), value);
                Vector.Store(value, line + y);
                Vector.Store(Vector.FusedMultiplyAdd(reads, value, Vector.Load(o + y)), o + y);
            }

            for (; y < d; y++)
            {
                line[y] = MathF.FusedMultiplyAdd(now, v[y], MathF.FusedMultiplyAdd(before, v0[y], decay * line[y]));
                o[y] = MathF.FusedMultiplyAdd(read, line[y], o[y]);
            }
        }
    }
}
