using System.Numerics;
using Loci.Memory.Segments;
using Loci.Numerics;
using Loci.Numerics.Kernels;
using static Loci.Numerics.CpuDevice;

namespace Loci.Memory.Rules.Deep;

/// <summary>
/// The chunked form of a deep memory. All gradients of a chunk are taken at the weights that it starts with, so that the weights at its row
/// t are those weights, the momentum before the chunk and a weighted sum of the rows' rank-1 directions (see <see cref="DeepGates"/>), and
/// a layer's product with an input x is
///   x W_t = A_t x W + B_t x S + sum_{j at most t} c_tj (x . h_j) D_j:
/// masked matrix products; no row's weights are ever formed. The backward pass runs the chunks in reverse and computes what it needs anew
/// from the states kept every <see cref="DeepArguments.KeptEvery"/> chunks.
/// </summary>
internal static unsafe partial class DeepScanKernel
{
    internal struct Work(in DeepArguments arguments)
    {
        public DeepNetwork Network = new(arguments.Options);
        public int Heads = arguments.Options.Heads;
        public int Stride = arguments.Options.Heads * arguments.Options.Width;
        public PlanTables Plan = new(arguments.Plan);
        public int ChunkLength = arguments.Plan.ChunkLength;
        public int FirstItem;        // of the level
        public int KeptEvery = arguments.KeptEvery;
        public float* Q = Pointer(arguments.Queries.Values);
        public float* K = Pointer(arguments.Keys.Values);
        public float* V = Pointer(arguments.Values.Values);
        public float* Rate = Pointer(arguments.LearningRate.Values);
        public float* LogDecay = Pointer(arguments.LogDecay.Values);
        public float* Momentum = Pointer(arguments.Momentum.Values);
        public float* Weights = Pointer(arguments.Weights.Values);
        public float* Gain = Pointer(arguments.Gain.Values);
        public float* Output = Pointer(arguments.Output.Values);  // null where nothing is read
        public float* States = Pointer(arguments.States.Values);
        public float* Kept = Pointer(arguments.Kept);
        public float* Records = Pointer(arguments.Records);
        public float* Preactivations = Pointer(arguments.Preactivations);

        // Gradients; null where not wanted.
        public float* DOutput = Pointer(arguments.Output.Gradient);
        public float* DStates = Pointer(arguments.States.Gradient);
        public float* DQ = Pointer(arguments.Queries.Gradient);
        public float* DK = Pointer(arguments.Keys.Gradient);
        public float* DV = Pointer(arguments.Values.Gradient);
        public float* DRate = Pointer(arguments.LearningRate.Gradient);
        public float* DLogDecay = Pointer(arguments.LogDecay.Gradient);
        public float* DMomentum = Pointer(arguments.Momentum.Gradient);
        public float* DGain = Pointer(arguments.GainPartials);
        public float* DReads = Pointer(arguments.ReadGradients);
        public bool AddQ = arguments.Queries.Accumulates;
        public bool AddK = arguments.Keys.Accumulates;
        public bool AddV = arguments.Values.Accumulates;
        public bool AddRate = arguments.LearningRate.Accumulates;
        public bool AddLogDecay = arguments.LogDecay.Accumulates;
        public bool AddMomentum = arguments.Momentum.Accumulates;

        public readonly bool HasMomentum => Momentum != null;

        public readonly int StateLength => HasMomentum ? 2 * Network.WeightCount : Network.WeightCount;

        public readonly int RecordLength => Network.OutputCount + Network.HiddenCount;

        /// <summary>
        /// Where the state before a chunk is kept. Distinct chunks that keep one have distinct places, the first one of an item among them.
        /// </summary>
        public readonly float* KeptAt(int item, int first, int chunk, int head) =>
            Kept + (((((long)(first / KeptEvery) + item + ((chunk - first) / KeptEvery)) * Heads) + head) * StateLength);
    }

    /// <summary>Weights and momentum of one head; no momentum yet where S is null.</summary>
    internal struct State
    {
        public float* W;
        public float* S;
    }

    /// <summary>Panels of one chunk: rows of keys and of queries on their way through the layers.</summary>
    internal struct Panels
    {
        public DeepNetwork Network;
        public int Rows;             // most rows
        public float* Hidden;        // h: inputs of the layers 1.. for the keys, [layers][rows, hidden]
        public float* Slope;         // gelu' behind them
        public float* Delta;         // gradient of the inner loss at every layer's end, [layers][rows, out]
        public float* Direction;     // D: minus the clipped delta
        public float* Scale;         // of the clip, [layers][rows]
        public float* Normalized;    // LN(o) of the keys, [rows, d]
        public float* Inverse;       // 1 / deviation, [rows]

        public readonly float* HiddenOf(int layer) => Hidden + ((long)(layer - 1) * Rows * Network.Hidden);

        public readonly float* SlopeOf(int layer) => Slope + ((long)(layer - 1) * Rows * Network.Hidden);

        public readonly float* DeltaOf(int layer) => Delta + ((long)layer * Rows * Network.Wide);

        public readonly float* DirectionOf(int layer) => Direction + ((long)layer * Rows * Network.Wide);

        public readonly float* ScaleOf(int layer) => Scale + ((long)layer * Rows);

        public static Panels Carve(in DeepNetwork network, int rows, ref Carver carver)
        {
            long hidden = (long)network.HiddenCount * rows, wide = (long)network.Depth * rows * network.Wide;
            return new()
            {
                Network = network,
                Rows = rows,
                Hidden = carver.Take(hidden),
                Slope = carver.Take(hidden),
                Delta = carver.Take(wide),
                Direction = carver.Take(wide),
                Scale = carver.Take((long)network.Depth * rows),
                Normalized = carver.Take((long)rows * network.Width),
                Inverse = carver.Take(rows),
            };
        }
    }

    /// <summary>Rows at equal distances.</summary>
    internal readonly struct RowBlock(float* data, int stride)
    {
        public void Deconstruct(out float* start, out int distance)
        {
            start = data;
            distance = stride;
        }
    }

    internal readonly struct Forward : IKernel<DeepArguments>
    {
        public static void Run(CpuDevice device, in DeepArguments arguments)
        {
            // Items write different states, whatever their level.
            var work = new Work(arguments);
            device.Workers.For(arguments.Plan.ItemCount * work.Heads, &WriteItem, &work);
        }
    }

    private static void WriteItem(void* state, int index, int worker)
    {
        ref var work = ref *(Work*)state;
        int item = work.FirstItem + (index / work.Heads), head = index % work.Heads;
        var scratch = KernelScratch.Get<Work, ForwardScratch>(work);
        int first = work.Plan.Items[2 * item], past = work.Plan.Items[(2 * item) + 1];
        var current = Initial(work, head);
        for (var i = first; i < past; i++)
        {
            var chunk = work.Plan.Chunks + (i * MemoryPlan.ChunkFields);
            int row = chunk[0], rows = chunk[1], slot = chunk[2];
            var offset = ((long)row * work.Stride) + (head * work.Network.Width);
            LoadGates(work, scratch.Gates, row, rows, head);
            WriteKeys(work, scratch.Panels, current, work.K + offset, work.V + offset, head, rows, scratch.X);
            if (work.Records != null && chunk[4] != 0)
            {
                Record(work, scratch.Panels, row, rows, head);
            }
            else if (work.Output != null && chunk[4] != 0)
            {
                Read(work, scratch, current, work.Q + offset, work.K + offset, work.Output + offset, head, rows);
            }

            if (i == past - 1 && slot < 0)
            {
                break;
            }

            // The next state is written where it is kept, so that it needs no copy.
            var isKept = work.Kept != null && i + 1 < past && (i + 1 - first) % work.KeptEvery == 0;
            var next = isKept ? Split(work, work.KeptAt(item, first, i + 1, head)) : Split(work, scratch.State);
            Advance(work, scratch.Panels, scratch.Gates, current, next, work.K + offset, rows, scratch.X);
            current = next;
            if (slot >= 0)
            {
                Blas1.Copy(
                    current.W, work.States + ((((long)slot * work.Heads) + head) * work.Network.WeightCount), work.Network.WeightCount);
            }
        }
    }

    private struct ForwardScratch : IScratch<Work, ForwardScratch>
    {
        public Panels Panels;
        public DeepGates Gates;
        public float* State;         // [P or 2P]
        public float* X;             // [rows, wide]
        public float* Y;             // [rows, wide]
        public float* Z;             // [rows, wide]
        public float* P;             // [rows, rows]

        public static ForwardScratch Carve(in Work work, ref Carver carver)
        {
            var network = work.Network;
            long rows = work.ChunkLength, panel = rows * network.Wide;
            return new()
            {
                Panels = Panels.Carve(network, work.ChunkLength, ref carver),
                Gates = DeepGates.Carve(work, ref carver),
                State = carver.Take(work.StateLength),
                X = carver.Take(panel),
                Y = carver.Take(panel),
                Z = carver.Take(panel),
                P = carver.Take(rows * rows),
            };
        }
    }

    internal static State Initial(in Work work, int head) => new() { W = work.Weights + ((long)head * work.Network.WeightCount) };

    internal static State Split(in Work work, float* memory) =>
        new() { W = memory, S = work.HasMomentum ? memory + work.Network.WeightCount : null };

    internal static void LoadGates(in Work work, in DeepGates gates, int row, int rows, int head)
    {
        var index = ((long)row * work.Heads) + head;
        gates.Load(
            work.Rate + index, work.LogDecay == null ? null : work.LogDecay + index,
            work.Momentum == null ? null : work.Momentum + index, rows, work.Heads);
    }

    /// <summary>
    /// The rows' directions of descent at the weights that the chunk starts with. Where wanted, curvature receives (delta W^T) o gelu'', by
    /// which a direction depends on its layer's input.
    /// </summary>
    internal static void WriteKeys(
        in Work work, in Panels panels, in State state, float* k, float* v, int head, int rows, float* z, float* curvature = null)
    {
        var network = work.Network;
        var gain = work.Gain + (head * network.Width);
        int last = network.Depth - 1, stride = work.Stride;
        for (var layer = 0; layer <= last; layer++)
        {
            int width = network.Out(layer);
            var (x, xStride) = KeyInput(panels, layer, k, stride);
            var end = layer == last ? panels.Normalized : z;
            MatrixProduct.MultiplySmall(
                false, false, rows, width, network.In(layer), x, xStride, state.W + network.Offset(layer), width, end, width, false);
            if (layer < last)
            {
                DeepNetwork.Gelu(
                    z, panels.HiddenOf(layer + 1), panels.SlopeOf(layer + 1),
                    curvature == null ? null : curvature + ((long)layer * panels.Rows * network.Hidden), rows * width);
            }
        }

        var delta = panels.DeltaOf(last);
        for (var t = 0; t < rows; t++)
        {
            panels.Inverse[t] = network.LossGradient(
                panels.Normalized + (t * network.Width), k + ((long)t * stride), v + ((long)t * stride), gain, delta + (t * network.Width));
        }

        for (var layer = last - 1; layer >= 0; layer--)
        {
            // delta [rows, out] = (delta W^T) o gelu'
            int width = network.Out(layer), after = network.Out(layer + 1);
            MatrixProduct.MultiplySmall(
                false, true, rows, width, after, panels.DeltaOf(layer + 1), after, state.W + network.Offset(layer + 1), after,
                panels.DeltaOf(layer), width, false);
            if (curvature != null)
            {
                var bend = curvature + ((long)layer * panels.Rows * network.Hidden);
                Blas1.Multiply(panels.DeltaOf(layer), bend, bend, rows * width);
            }

            Blas1.Multiply(panels.DeltaOf(layer), panels.SlopeOf(layer + 1), panels.DeltaOf(layer), rows * width);
        }

        for (var layer = 0; layer <= last; layer++)
        {
            int width = network.Out(layer);
            var (x, xStride) = KeyInput(panels, layer, k, stride);
            for (var t = 0; t < rows; t++)
            {
                float* d = panels.DeltaOf(layer) + (t * width), h = x + ((long)t * xStride);
                var squares = Blas1.Dot(d, d, width) * Blas1.Dot(h, h, network.In(layer));
                var scale = squares > network.Clip * network.Clip ? network.Clip / MathF.Sqrt(squares) : 1;
                panels.ScaleOf(layer)[t] = scale;
                Blas1.Scale(-scale, d, panels.DirectionOf(layer) + (t * width), width);
            }
        }
    }

    /// <summary>M_t(q_t) of the chunk's rows.</summary>
    private static void Read(in Work work, in ForwardScratch scratch, in State state, float* q, float* k, float* y, int head, int rows)
    {
        var network = work.Network;
        float* x = q, z = scratch.Z;
        var xStride = work.Stride;
        for (var layer = 0; layer < network.Depth; layer++)
        {
            var width = network.Out(layer);
            var (h, hStride) = KeyInput(scratch.Panels, layer, k, work.Stride);
            Product(
                network, layer, state, scratch.Gates, rows, x, xStride, h, hStride, scratch.Panels.DirectionOf(layer), width, z, width,
                scratch.P, scratch.P, scratch.X);
            if (layer < network.Depth - 1)
            {
                DeepNetwork.Gelu(z, scratch.Y, null, null, rows * width);
                x = scratch.Y;
                xStride = width;
            }
        }

        for (var t = 0; t < rows; t++)
        {
            _ = network.Output(
                z + (t * network.Width), q + ((long)t * work.Stride), work.Gain + (head * network.Width), y + ((long)t * work.Stride));
        }
    }

    /// <summary>
    /// One layer's product at the weights of every row: z = A o (x W) + B o (x S) + ((x H^T) o C) D. Overlap keeps x H^T; it may be P.
    /// </summary>
    internal static void Product(
        in DeepNetwork network, int layer, in State state, in DeepGates gates, int rows, float* x, int xStride, float* h, int hStride,
        float* direction, int directionStride,
        float* z, int zStride, float* overlap, float* p, float* scaled)
    {
        int input = network.In(layer), width = network.Out(layer), offset = network.Offset(layer);
        float* left = x;
        var leftStride = xStride;
        if (gates.HasDecay)
        {
            Blas1.ScaleRows(gates.A, x, xStride, scaled, input, rows, input);
            left = scaled;
            leftStride = input;
        }

        MatrixProduct.MultiplySmall(false, false, rows, width, input, left, leftStride, state.W + offset, width, z, zStride, false);
        if (state.S != null)
        {
            Blas1.ScaleRows(gates.B, x, xStride, scaled, input, rows, input);
            MatrixProduct.MultiplySmall(false, false, rows, width, input, scaled, input, state.S + offset, width, z, zStride, true);
        }

        // P [rows, rows] = (X H^T) o C
        CausalProduct.Outer(rows, input, x, xStride, h, hStride, overlap);
        CausalProduct.Mask(gates.C, overlap, p, rows);
        CausalProduct.Add(rows, width, p, direction, directionStride, z, zStride);
    }

    /// <summary>The state after a chunk; it may take the place of the one before.</summary>
    internal static void Advance(
        in Work work, in Panels panels, in DeepGates gates, in State before, in State after, float* k, int rows, float* scaled)
    {
        var network = work.Network;
        var last = rows - 1;
        Combine(before, after, network.WeightCount, gates.A[last], gates.B[last], gates.H[last]);
        for (var layer = 0; layer < network.Depth; layer++)
        {
            int input = network.In(layer), width = network.Out(layer), offset = network.Offset(layer);
            var (h, hStride) = KeyInput(panels, layer, k, work.Stride);

            // W += H^T (c o D), S += H^T (s o D); the narrower side is scaled.
            WeightedOuter(gates.LastWeight(rows), h, hStride, input, panels.DirectionOf(layer), width, after.W + offset, rows, scaled);
            if (after.S != null)
            {
                WeightedOuter(
                    gates.LastMomentum(rows), h, hStride, input, panels.DirectionOf(layer), width, after.S + offset, rows, scaled);
            }
        }
    }

    internal static RowBlock KeyInput(in Panels panels, int layer, float* k, int stride) =>
        layer == 0 ? new(k, stride) : new(panels.HiddenOf(layer), panels.Network.Hidden);

    /// <summary>matrix += X^T (weights o Y), with the weights on the narrower side.</summary>
    private static void WeightedOuter(
        float* weights, float* x, int xStride, int input, float* y, int width, float* matrix, int rows, float* scaled)
    {
        if (input <= width)
        {
            Blas1.ScaleRows(weights, x, xStride, scaled, input, rows, input);
            MatrixProduct.MultiplySmall(true, false, input, width, rows, scaled, input, y, width, matrix, width, true);
        }
        else
        {
            Blas1.ScaleRows(weights, y, width, scaled, width, rows, width);
            MatrixProduct.MultiplySmall(true, false, input, width, rows, x, xStride, scaled, width, matrix, width, true);
        }
    }

    /// <summary>W' = a W + b S, S' = h S.</summary>
    private static void Combine(in State before, in State after, int count, float a, float b, float h)
    {
        if (before.S == null)
        {
            Blas1.Scale(a, before.W, after.W, count);
            if (after.S != null)
            {
                Blas1.Zero(after.S, count);
            }

            return;
        }

        Vector<float> decays = new(a), carries = new(b), momenta = new(h);
        for (var i = 0; i < count; i += Lanes.Count)
        {
            long left = count - i;
            var step = Lanes.Load(before.S + i, left);
            Lanes.Store((decays * Lanes.Load(before.W + i, left)) + (carries * step), after.W + i, left);
            Lanes.Store(momenta * step, after.S + i, left);
        }
    }

    private static void Record(in Work work, in Panels panels, int row, int rows, int head)
    {
        var network = work.Network;
        long length = work.RecordLength, stride = length * work.Heads;
        for (var t = 0; t < rows; t++)
        {
            var record = work.Records + ((row + t) * stride) + (head * length);
            for (var layer = 0; layer < network.Depth; layer++)
            {
                Blas1.Copy(
                    panels.DirectionOf(layer) + (t * network.Out(layer)), record + ((long)layer * network.Hidden), network.Out(layer));
            }

            for (var layer = 1; layer < network.Depth; layer++)
            {
                Blas1.Copy(
                    panels.HiddenOf(layer) + (t * network.Hidden), record + network.OutputCount + ((long)(layer - 1) * network.Hidden),
                    network.Hidden);
            }
        }
    }
}
