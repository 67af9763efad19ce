using System.Numerics;

namespace Loci.Numerics.Kernels;

/// <summary>The step form of a matrix memory, one head at a time: N = a N + b k_0 v_0^T + l k v^T, o = q N, in one pass over the state.</summary>
internal static unsafe class MemoryStep
{
    internal struct Work
    {
        public int Rows;
        public int Heads;
        public int Width;
        public float* Q;
        public float* K;
        public float* V;
        public float* LogDecay;
        public float* PreviousGate;
        public float* WriteGate;
        public float* OwnGain;
        public float* RemovalKeys;
        public float* RemovalRates;
        public float* Previous;
        public bool IsFirstOfSegment;
        public bool WindowReachesBack;
        public float* State;
        public float* Tail;
        public float* Output;
    }

    public static void Forward(void* state, int head, int worker)
    {
        ref var work = ref *(Work*)state;
        int d = work.Width, heads = work.Heads, stride = heads * d;
        var n = work.State + ((long)head * d * d);
        float* k0 = work.Previous + (head * d), v0 = work.Previous + stride + (head * d);
        for (var t = 0; t < work.Rows; t++)
        {
            var gate = ((long)t * heads) + head;
            var logDecay = work.LogDecay != null ? work.LogDecay[gate] : 0;
            var decay = work.LogDecay != null ? MathF.Exp(logDecay) : 1;
            var previous = work.PreviousGate != null ? work.PreviousGate[gate] : 0;
            var write = work.WriteGate != null ? work.WriteGate[gate] : 1;
            if (t == 0 && work.IsFirstOfSegment)
            {
                work.Tail[head] = logDecay;
                work.Tail[heads + head] = previous;
            }
            else
            {
                work.Tail[head] += logDecay;
                work.Tail[heads + head] *= decay;
            }

            if (t == 0 && !work.WindowReachesBack)
            {
                previous = 0;
            }

            var offset = ((long)t * stride) + (head * d);
            Row(n, work.Q + offset, work.K + offset, work.V + offset, k0, v0, work.Output + offset, d, decay, previous, write);
            k0 = work.K + offset;
            v0 = work.V + offset;
        }
    }

    private static void Row(float* n, float* q, float* k, float* v, float* k0, float* v0, float* o, int d, float decay, float previous, float write)
    {
        MemoryVector.Zero(o, d);
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
