using System.Numerics;
using System.Runtime.CompilerServices;
using Loci.Numerics;
using Loci.Numerics.Kernels;
using static Loci.Numerics.CpuDevice;

namespace Loci.Memory.Rules.Deep;

/// <summary>The next rows of one sequence, written and read one after another from a state that is updated in place.</summary>
internal struct DeepStepArguments
{
    public DeepMemoryOptions Options;
    public int Rows;
    public int ChunkLength;
    public int Position;                         // of the first row in its segment
    public DeviceSpan<float> Queries;            // [rows, H*d]
    public DeviceSpan<float> Keys;               // [rows, H*d]
    public DeviceSpan<float> Values;             // [rows, H*d]
    public DeviceSpan<float> LearningRate;       // [rows, H]
    public DeviceSpan<float> LogDecay;           // [rows, H] or empty
    public DeviceSpan<float> Momentum;           // [rows, H] or empty
    public DeviceSpan<float> Gain;               // [H*d]
    public DeviceSpan<float> Weights;            // [H, P]
    public DeviceSpan<float> Start;              // weights that the chunk started with, [H, P]
    public DeviceSpan<float> Steps;              // momentum, [H, P] or empty
    public DeviceSpan<float> Output;             // M_t(q_t), [rows, H*d], or empty
}

/// <summary>
/// The step form of a deep memory, one head at a time: S = h S + e D, W = a W + S, o = M(q), where D is the direction at the weights that
/// the chunk started with.
/// </summary>
internal readonly unsafe struct DeepStep : IKernel<DeepStepArguments>
{
    private struct Work(in DeepStepArguments arguments)
    {
        public DeepScanKernel.Work Scan = new()
        {
            Network = new(arguments.Options),
            Heads = arguments.Options.Heads,
            Stride = arguments.Options.Heads * arguments.Options.Width,
            Q = Pointer(arguments.Queries),
            K = Pointer(arguments.Keys),
            V = Pointer(arguments.Values),
            Rate = Pointer(arguments.LearningRate),
            LogDecay = Pointer(arguments.LogDecay),
            Momentum = Pointer(arguments.Momentum),
            Gain = Pointer(arguments.Gain),
        };

        public int Rows = arguments.Rows;
        public int ChunkLength = arguments.ChunkLength;
        public int Position = arguments.Position;
        public float* Weights = Pointer(arguments.Weights);
        public float* Start = Pointer(arguments.Start);
        public float* Steps = Pointer(arguments.Steps);
        public float* Output = Pointer(arguments.Output);
    }

    // Keys of a chunk whose directions, all at the weights that it started with, are found together.
    private const int MostRows = 64;

    private struct Scratch : IScratch<Extent, Scratch>
    {
        public DeepScanKernel.Panels Panels;
        public float* X;             // [rows, wide]
        public float* Y;             // [wide]
        public float* Z;             // [wide]

        public static Scratch Carve(in Extent extent, ref Carver carver) => new()
        {
            Panels = DeepScanKernel.Panels.Carve(extent.Network, extent.Rows, ref carver),
            X = carver.Take((long)extent.Rows * extent.Network.Wide),
            Y = carver.Take(extent.Network.Wide),
            Z = carver.Take(extent.Network.Wide),
        };
    }

    private readonly record struct Extent(DeepNetwork Network, int Rows);

    public static void Run(CpuDevice device, in DeepStepArguments arguments)
    {
        var work = new Work(arguments);
        device.Workers.For(work.Scan.Heads, &StepHead, &work);
    }

    private static void StepHead(void* state, int head, int worker)
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
                Blas1.Copy(weights, start, length);
            }

            var offset = ((long)first * scan.Stride) + (head * network.Width);
            DeepScanKernel.WriteKeys(
                scan, scratch.Panels, new DeepScanKernel.State { W = start }, scan.K + offset, scan.V + offset, head, rows, scratch.X);
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
            var (h, hStride) = DeepScanKernel.KeyInput(scratch.Panels, layer, firstKey, scan.Stride);
            h += (long)t * hStride;
            int width = network.Out(layer), at = network.Offset(layer);
            var direction = scratch.Panels.DirectionOf(layer) + ((long)t * width);
            if (isRead)
            {
                Blas1.Zero(z, width);
            }

            for (var i = 0; i < network.In(layer); i++)
            {
                var line = at + ((long)i * width);
                Row(
                    weights + line, steps == null ? null : steps + line, direction, width, decay, momentum, scan.Rate[gate] * h[i],
                    isRead ? x[i] : 0, isRead ? z : null);
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
        float* w, float* s, float* direction, Vector<float> decays, Vector<float> momenta, Vector<float> steps, Vector<float> factors,
        float* z, long left)
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
