using System.Numerics;
using System.Runtime.CompilerServices;

namespace Loci.Numerics.Kernels;

/// <summary>The step form of a deep memory, one head at a time: S = h S + e D, W = a W + S, o = M(q), where D is the direction at the weights that the chunk started with.</summary>
internal static unsafe class DeepStep
{
    internal struct Work
    {
        public DeepScan.Work Scan;   // network, rows' inputs and gates, gain
        public int Rows;
        public int ChunkLength;
        public int Position;
        public float* Weights;
        public float* Start;
        public float* Steps;
        public float* Output;
    }

    // Keys of a chunk whose directions, all at the weights that it started with, are found together.
    private const int MostRows = 64;

    private struct Scratch : IScratch<Extent, Scratch>
    {
        public DeepScan.Panels Panels;
        public float* X;             // [rows, wide]
        public float* Y;             // [wide]
        public float* Z;             // [wide]

        public static Scratch Carve(in Extent extent, ref Carver carver) => new()
        {
            Panels = DeepScan.Panels.Carve(extent.Network, extent.Rows, ref carver),
            X = carver.Take((long)extent.Rows * extent.Network.Wide),
            Y = carver.Take(extent.Network.Wide),
            Z = carver.Take(extent.Network.Wide),
        };
    }

    private readonly record struct Extent(DeepNetwork Network, int Rows);

    public static void Forward(void* state, int head, int worker)
    {
        ref var work = ref *(Work*)state;
        ref var scan = ref work.Scan;
        var network = scan.Network;
        var scratch = KernelScratch.Get<Extent, Scratch>(new(network, Math.Min(MostRows, Math.Min(work.Rows, work.ChunkLength))));
        var length = network.WeightCount;
        float* weights = work.Weights + ((long)head * length), start = work.Start + ((long)head * length);
        var steps = work.Steps == null ? null : work.Steps + ((long)head * length);
        for (int first = 0, rows; first < work.Rows; first += rows)
        {
            var inChunk = (work.Position + first) % work.ChunkLength;
            rows = Math.Min(scratch.Panels.Rows, Math.Min(work.Rows - first, work.ChunkLength - inChunk));
            if (inChunk == 0)
            {
                MemoryVector.Copy(weights, start, length);
            }

            var offset = ((long)first * scan.Stride) + (head * network.Width);
            DeepScan.WriteKeys(scan, scratch.Panels, new DeepScan.State { W = start }, scan.K + offset, scan.V + offset, head, rows, scratch.X);
            for (var t = 0; t < rows; t++)
            {
                WriteAndRead(work, scratch, weights, steps, first, t, head);
            }
        }
    }

    /// <summary>Moves the weights past one row and reads them; each line of a matrix is read while it is at hand.</summary>
    private static void WriteAndRead(in Work work, in Scratch scratch, float* weights, float* steps, int first, int t, int head)
    {
        ref readonly var scan = ref work.Scan;
        var network = scan.Network;
        var row = first + t;
        var offset = ((long)row * scan.Stride) + (head * network.Width);
        var gate = ((long)row * scan.Heads) + head;
        var decay = scan.LogDecay == null ? 1 : MathF.Exp(scan.LogDecay[gate]);
        var momentum = steps == null ? 0 : scan.Momentum[gate];
        var firstKey = scan.K + offset - ((long)t * scan.Stride);
        float* q = scan.Q + offset, x = q, z = scratch.Z;
        var isRead = work.Output != null;
        for (var layer = 0; layer < network.Depth; layer++)
        {
            var (h, hStride) = DeepScan.KeyInput(scratch.Panels, layer, firstKey, scan.Stride);
            h += (long)t * hStride;
            int width = network.Out(layer), at = network.Offset(layer);
            var direction = scratch.Panels.DirectionOf(layer) + ((long)t * width);
            if (isRead)
            {
                MemoryVector.Zero(z, width);
            }

            for (var i = 0; i < network.In(layer); i++)
            {
                var line = at + ((long)i * width);
                Row(weights + line, steps == null ? null : steps + line, direction, width, decay, momentum, scan.Rate[gate] * h[i], isRead ? x[i] : 0, isRead ? z : null);
            }

            if (isRead && layer < network.Depth - 1)
            {
                DeepNetwork.Gelu(z, scratch.Y, null, null, width);
                x = scratch.Y;
            }
        }

        if (isRead)
        {
            _ = network.Output(z, q, scan.Gain + (head * network.Width), work.Output + offset);
        }
    }

    /// <summary>s = h s + step D, w = a w + s; without momentum s is step D alone. Then z += x w, unless z is null.</summary>
    private static void Row(float* w, float* s, float* direction, int width, float decay, float momentum, float step, float x, float* z)
    {
        Vector<float> decays = new(decay), momenta = new(momentum), steps = new(step), factors = new(x);
        var i = 0;
        for (; i <= width - Lanes.Count; i += Lanes.Count)
        {
            Move(w + i, s == null ? null : s + i, direction + i, decays, momenta, steps, factors, z == null ? null : z + i, Lanes.Count);
        }

        if (i < width)
        {
            Move(w + i, s == null ? null : s + i, direction + i, decays, momenta, steps, factors, z == null ? null : z + i, width - i);
        }
    }

    [MethodImpl(MethodImplOptions.AggressiveInlining)]
    private static void Move(
        float* w, float* s, float* direction, Vector<float> decays, Vector<float> momenta, Vector<float> steps, Vector<float> factors, float* z, long left)
    {
        var change = steps * Lanes.Load(direction, left);
        if (s != null)
        {
            change = Vector.MultiplyAddEstimate(momenta, Lanes.Load(s, left), change);
            Lanes.Store(change, s, left);
        }

        var weight = Vector.MultiplyAddEstimate(decays, Lanes.Load(w, left), change);
        Lanes.Store(weight, w, left);
        if (z != null)
        {
            Lanes.Store(Vector.MultiplyAddEstimate(factors, weight, Lanes.Load(z, left)), z, left);
        }
    }
}
