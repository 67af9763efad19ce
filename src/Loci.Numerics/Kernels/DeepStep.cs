using System.Numerics;

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

    private struct Scratch : IScratch<DeepNetwork, Scratch>
    {
        public DeepScan.Panels Panels;
        public float* X;             // [wide]
        public float* Z;             // [wide]

        public static Scratch Carve(in DeepNetwork network, ref Carver carver) => new()
        {
            Panels = DeepScan.Panels.Carve(network, 1, ref carver),
            X = carver.Take(network.Wide),
            Z = carver.Take(network.Wide),
        };
    }

    public static void Forward(void* state, int head, int worker)
    {
        ref var work = ref *(Work*)state;
        ref var scan = ref work.Scan;
        var network = scan.Network;
        var scratch = KernelScratch.Get<DeepNetwork, Scratch>(network);
        var length = network.WeightCount;
        float* weights = work.Weights + ((long)head * length), start = work.Start + ((long)head * length);
        var steps = work.Steps == null ? null : work.Steps + ((long)head * length);
        for (var t = 0; t < work.Rows; t++)
        {
            var offset = ((long)t * scan.Stride) + (head * network.Width);
            var gate = ((long)t * scan.Heads) + head;
            if ((work.Position + t) % work.ChunkLength == 0)
            {
                MemoryVector.Copy(weights, start, length);
            }

            var k = scan.K + offset;
            DeepScan.WriteKeys(scan, scratch.Panels, new DeepScan.State { W = start }, k, scan.V + offset, head, 1, scratch.X);
            var decay = scan.LogDecay == null ? 1 : MathF.Exp(scan.LogDecay[gate]);
            for (var layer = 0; layer < network.Depth; layer++)
            {
                var (h, _) = DeepScan.KeyInput(scratch.Panels, layer, k, scan.Stride);
                int width = network.Out(layer), at = network.Offset(layer);
                var momentum = steps == null ? 0 : scan.Momentum[gate];
                for (var i = 0; i < network.In(layer); i++)
                {
                    var line = at + ((long)i * width);
                    Row(weights + line, steps == null ? null : steps + line, scratch.Panels.DirectionOf(layer), width, decay, momentum, scan.Rate[gate] * h[i]);
                }
            }

            if (work.Output != null)
            {
                Read(work, scratch, weights, scan.Q + offset, work.Output + offset, head);
            }
        }
    }

    private static void Read(in Work work, in Scratch scratch, float* weights, float* q, float* y, int head)
    {
        var network = work.Scan.Network;
        float* x = q, z = scratch.Z;
        for (var layer = 0; layer < network.Depth; layer++)
        {
            var width = network.Out(layer);
            MatrixProduct.MultiplySmall(false, false, 1, width, network.In(layer), x, network.In(layer), weights + network.Offset(layer), width, z, width, false);
            if (layer < network.Depth - 1)
            {
                DeepNetwork.Gelu(z, scratch.X, null, null, width);
                x = scratch.X;
            }
        }

        _ = network.Output(z, q, work.Scan.Gain + (head * network.Width), y);
    }

    /// <summary>s = h s + step D, w = a w + s; without momentum s is step D alone.</summary>
    private static void Row(float* w, float* s, float* direction, int width, float decay, float momentum, float step)
    {
        Vector<float> decays = new(decay), momenta = new(momentum), steps = new(step);
        for (var i = 0; i < width; i += Lanes.Count)
        {
            long left = width - i;
            var change = steps * Lanes.Load(direction + i, left);
            if (s != null)
            {
                change = Vector.MultiplyAddEstimate(momenta, Lanes.Load(s + i, left), change);
                Lanes.Store(change, s + i, left);
            }

            Lanes.Store(Vector.MultiplyAddEstimate(decays, Lanes.Load(w + i, left), change), w + i, left);
        }
    }
}
