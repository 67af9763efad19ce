using Loci.Memory.Routing;
using Loci.Memory.Rules.Deep;
using Loci.Memory.Segments;
using Loci.Numerics;
using Loci.Numerics.Kernels;
using static Loci.Numerics.CpuDevice;

namespace Loci.Memory.Aggregations;

/// <summary>
/// Memory soup of deep memories (equation 15), layer by layer: z = sum_i g^(i) x W^(i) over the online and the cached weights, x = gelu(z),
/// and so on; y = q + gain o LN of the last z. No mixed weights are ever formed. One chunk and head at a time; what each chunk's rows wrote
/// comes from the scan's records.
/// </summary>
internal static unsafe class DeepSoupKernel
{
    internal struct Work(in DeepSoupArguments arguments)
    {
        public readonly ReadWork Read = new(arguments.Read);
        public readonly DeepScanKernel.Work Scan = new(arguments.Scan);
        public readonly float* Preactivations = Pointer(arguments.Scan.Preactivations);  // null in a stream
        public readonly float* OnlineWeights = Pointer(arguments.OnlineWeights);         // null outside streams

        // Of the mixed ends, then of their online parts.
        public readonly float* DReads = Pointer(arguments.Scan.ReadGradients);
    }

    internal readonly struct Forward : IKernel<DeepSoupArguments>
    {
        public static void Run(CpuDevice device, in DeepSoupArguments arguments)
        {
            RouterKernel.Forward(device, arguments.Read.Router);
            var work = new Work(arguments);
            var chunks = arguments.OnlineWeights.IsEmpty ? arguments.Read.Plan.ReadChunkCount : 1;
            device.Workers.For(chunks * work.Read.Heads, &ReadChunk, &work);
        }
    }

    /// <summary>Gradients of the soup and of its scan.</summary>
    internal readonly struct Backward : IKernel<DeepSoupArguments>
    {
        public static void Run(CpuDevice device, in DeepSoupArguments arguments)
        {
            var work = new Work(arguments);
            var plan = arguments.Read.Plan;
            int heads = work.Read.Heads, chunks = plan.ReadChunkCount;
            device.Workers.For(chunks * heads, &ChunkBackward, &work);
            if (work.Read.DStates != null)
            {
                device.Workers.For(plan.SlotCount * heads, &SlotBackward, &work);
            }

            device.Workers.For(chunks * heads, &OnlineBackward, &work);
            DeepScanKernel.SumRows(work.Read.DGain, chunks, work.Read.Stride, arguments.Read.Gain);
            RouterKernel.ScoresBackward(device, arguments.Read.Router);
            RouterKernel.PooledKeysBackward(device, arguments.Read.Router);
            RouterKernel.KeysBackward(device, arguments.Read.Router);
            DeepScanKernel.Backward.Run(device, arguments.Scan);
        }
    }

    private struct Scratch : IScratch<Work, Scratch>
    {
        public DeepGates Gates;
        public float* Inputs;          // of the layers 1.., [layers][rows, hidden]
        public float* Slopes;
        public float* Normalized;      // [rows, d]
        public float* Z;               // [rows, wide]
        public float* DX;              // [rows, wide]
        public float* U;               // [rows, wide]
        public float* Scaled;          // [rows, wide]
        public float* P;               // [rows, rows]
        public float* Vector;          // [d]
        public float* Decoded;         // weights of a layer
        public int Rows;
        public int Hidden;

        public readonly float* InputsOf(int layer) => Inputs + ((long)(layer - 1) * Rows * Hidden);

        public readonly float* SlopesOf(int layer) => Slopes + ((long)(layer - 1) * Rows * Hidden);

        public static Scratch Carve(in Work work, ref Carver carver)
        {
            var network = work.Read.Network;
            var rows = work.OnlineWeights != null ? 1 : work.Scan.ChunkLength;
            long panel = (long)rows * network.Wide, hidden = (long)rows * network.HiddenCount;
            return new()
            {
                Rows = rows,
                Hidden = network.Hidden,
                Gates = DeepGates.Carve(work.Scan, ref carver),
                Inputs = carver.Take(hidden),
                Slopes = carver.Take(hidden),
                Normalized = carver.Take((long)rows * network.Width),
                Z = carver.Take(panel),
                DX = carver.Take(panel),
                U = carver.Take(panel),
                Scaled = carver.Take(panel),
                P = carver.Take((long)rows * rows),
                Vector = carver.Take(network.Width),
                Decoded = carver.Take(work.Read.DecodedCount),
            };
        }
    }

    /// <summary>The rows of one chunk: where they lie in the batch and in their group.</summary>
    private readonly ref struct Part
    {
        public readonly int Row;
        public readonly int Rows;
        public readonly long Offset;   // of the rows' head in [rows, H*d]
        public readonly DeepScanKernel.State State;
        public readonly PlanGroup Group;
        public readonly long Gates;    // of the first row

        public Part(in Work work, int index, int head)
        {
            if (work.OnlineWeights != null)
            {
                Group = new PlanGroup(work.Read.Plan, work.Read.Heads, 0);
                (Row, Rows) = (0, Group.Rows);
                State = new() { W = work.OnlineWeights + ((long)head * work.Read.Network.WeightCount) };
            }
            else
            {
                var chunk = work.Read.Plan.Chunks + (index * MemoryPlan.ChunkFields);
                (Row, Rows) = (chunk[0], chunk[1]);
                Group = new PlanGroup(work.Read.Plan, work.Read.Heads, chunk[5]);
                State = chunk[3] != 0
                    ? DeepScanKernel.Initial(work.Scan, head)
                    : DeepScanKernel.Split(work.Scan, work.Scan.KeptAt(chunk[6], index, index, head));
            }

            Offset = ((long)Row * work.Read.Stride) + (head * work.Read.Width);
            Gates = Group.GatesOf(head) + ((long)(Row - Group.Row) * Group.Line);
        }
    }

    private static void ReadChunk(void* state, int index, int worker)
    {
        ref var work = ref *(Work*)state;
        int head = index % work.Read.Heads, d = work.Read.Width, stride = work.Read.Stride;
        var scratch = KernelScratch.Get<Work, Scratch>(work);
        var part = new Part(work, index / work.Read.Heads, head);
        LoadGates(work, scratch, part, head);
        var network = work.Read.Network;
        float* q = work.Read.Q + part.Offset, gates = work.Read.Gates + part.Gates, x = q;
        var xStride = stride;
        for (var layer = 0; layer < network.Depth; layer++)
        {
            int width = network.Out(layer), input = network.In(layer), at = network.Offset(layer), rows = part.Rows;
            if (work.OnlineWeights != null)
            {
                MatrixProduct.MultiplySmall(
                    false, false, rows, width, input, x, xStride, part.State.W + at, width, scratch.Z, width, false);
            }
            else
            {
                var ((h, hStride), (direction, directionStride)) = Records(work, part, layer, head);
                DeepScanKernel.Product(
                    network, layer, part.State, scratch.Gates, rows, x, xStride, h, hStride, direction, directionStride, scratch.Z, width,
                    scratch.P, scratch.P, scratch.Scaled);
            }

            for (var t = 0; t < rows; t++)
            {
                Blas1.Scale(gates[(t * part.Group.Line) + part.Group.Count], scratch.Z + (t * width), scratch.Z + (t * width), width);
            }

            for (var i = 0; i < part.Group.Count; i++)
            {
                var weights = work.Read.StateOf(part.Group.Visible[i], head, at, input * width, scratch.Decoded);
                MatrixProduct.MultiplySmall(false, false, rows, width, input, x, xStride, weights, width, scratch.U, width, false);
                for (var t = 0; t < rows; t++)
                {
                    Blas1.AddScaled(gates[(t * part.Group.Line) + i], scratch.U + (t * width), scratch.Z + (t * width), width);
                }
            }

            for (var t = 0; t < rows && work.Preactivations != null; t++)
            {
                Blas1.Copy(scratch.Z + (t * width), End(work, work.Preactivations, part.Row + t, layer, head), width);
            }

            if (layer < network.Depth - 1)
            {
                x = scratch.InputsOf(layer + 1);
                xStride = width;
                DeepNetwork.Gelu(scratch.Z, x, null, null, rows * width);
            }
        }

        for (var t = 0; t < part.Rows; t++)
        {
            var row = (long)t * stride;
            _ = network.Output(scratch.Z + (t * d), q + row, work.Read.Gain + (head * d), work.Read.Output + part.Offset + row);
        }
    }

    /// <summary>Gradients of queries, gates and the layers' mixed ends, for one chunk and head.</summary>
    private static void ChunkBackward(void* state, int index, int worker)
    {
        ref var work = ref *(Work*)state;
        int head = index % work.Read.Heads, d = work.Read.Width, stride = work.Read.Stride;
        var scratch = KernelScratch.Get<Work, Scratch>(work);
        var part = new Part(work, index / work.Read.Heads, head);
        LoadGates(work, scratch, part, head);
        var network = work.Read.Network;
        int rows = part.Rows, line = part.Group.Line, count = part.Group.Count;
        float* q = work.Read.Q + part.Offset, dy = work.Read.DOutput + part.Offset, gain = work.Read.Gain + (head * d);
        float* gates = work.Read.Gates + part.Gates, dGates = work.Read.DLogits + part.Gates;
        var dGain = work.Read.DGain + ((long)index * d);
        Blas1.Zero(dGain, d);
        Blas1.Zero(dGates, rows * line);
        for (var layer = 1; layer < network.Depth; layer++)
        {
            for (var t = 0; t < rows; t++)
            {
                var at = t * network.Hidden;
                DeepNetwork.Gelu(
                    End(work, work.Preactivations, part.Row + t, layer - 1, head), scratch.InputsOf(layer) + at,
                    scratch.SlopesOf(layer) + at, null, network.Hidden);
            }
        }

        for (var t = 0; t < rows; t++)
        {
            var normalized = scratch.Normalized + (t * d);
            Blas1.Copy(End(work, work.Preactivations, part.Row + t, network.Depth - 1, head), normalized, d);
            var inverse = network.Output(normalized, q + ((long)t * stride), gain, scratch.Vector);
            network.OutputBackward(normalized, inverse, gain, dy + ((long)t * stride), scratch.Z + (t * d), dGain);
        }

        float* dz = scratch.Z, dx = scratch.DX, u = scratch.U;
        for (var layer = network.Depth - 1; layer >= 0; layer--)
        {
            int width = network.Out(layer), input = network.In(layer), at = network.Offset(layer);
            var x = layer == 0 ? q : scratch.InputsOf(layer);
            var xStride = layer == 0 ? stride : input;
            for (var t = 0; t < rows; t++)
            {
                Blas1.Copy(dz + (t * width), End(work, work.DReads, part.Row + t, layer, head), width);
            }

            OnlineInputGradient(work, scratch, part, layer, head, dz, dx);
            for (var t = 0; t < rows; t++)
            {
                var gate = (t * line) + count;
                dGates[gate] += Blas1.Dot(dx + (t * input), x + ((long)t * xStride), input);
                Blas1.Scale(gates[gate], dx + (t * input), dx + (t * input), input);
            }

            for (var i = 0; i < count; i++)
            {
                var weights = CachedState(work, work.Read.States, part.Group.Visible[i], head) + at;
                MatrixProduct.MultiplySmall(false, true, rows, input, width, dz, width, weights, width, u, input, false);
                for (var t = 0; t < rows; t++)
                {
                    var gate = (t * line) + i;
                    dGates[gate] += Blas1.Dot(u + (t * input), x + ((long)t * xStride), input);
                    Blas1.AddScaled(gates[gate], u + (t * input), dx + (t * input), input);
                }
            }

            if (layer > 0)
            {
                Blas1.Multiply(dx, scratch.SlopesOf(layer), dz, rows * input);
            }
        }

        for (var t = 0; t < rows && work.Read.DQ != null; t++)
        {
            if (network.IsResidual)
            {
                Blas1.AddScaled(1, dy + ((long)t * stride), dx + (t * d), d);
            }

            Lanes.AddScaled(dx + (t * d), 1, work.Read.DQ + part.Offset + ((long)t * stride), d, work.Read.AddQ);
        }
    }

    /// <summary>Gradients of one slot's weights for one head, over the groups that read it, in their order.</summary>
    private static void SlotBackward(void* state, int index, int worker)
    {
        ref var work = ref *(Work*)state;
        ref readonly var read = ref work.Read;
        int slot = index / read.Heads, head = index % read.Heads, stride = read.Stride;
        var network = read.Network;
        const int Tile = CachedReadKernel.Tile;
        var inputs = KernelScratch.Get((nuint)(2 * Tile * network.Wide));
        var weighted = inputs + (Tile * network.Wide);
        var fields = read.Plan.Slot(slot);
        var dWeights = CachedState(work, read.DStates, slot, head);
        Blas1.Zero(dWeights, network.WeightCount);
        for (var reader = 0; reader < fields[3]; reader++)
        {
            var entry = read.Plan.SeenBy + (2 * (fields[2] + reader));
            var group = new PlanGroup(read.Plan, read.Heads, entry[0]);
            var gates = read.Gates + group.GatesOf(head) + entry[1];
            for (var start = 0; start < group.Rows; start += Tile)
            {
                var count = Math.Min(Tile, group.Rows - start);
                for (var layer = 0; layer < network.Depth; layer++)
                {
                    int width = network.Out(layer), input = network.In(layer);
                    for (var t = 0; t < count; t++)
                    {
                        var row = group.Row + start + t;
                        if (layer > 0)
                        {
                            DeepNetwork.Gelu(End(work, work.Preactivations, row, layer - 1, head), inputs + (t * input), null, null, input);
                        }

                        Blas1.Scale(
                            gates[(start + t) * group.Line], End(work, work.DReads, row, layer, head), weighted + (t * width), width);
                    }

                    var x = layer == 0 ? read.Q + ((long)(group.Row + start) * stride) + (head * read.Width) : inputs;
                    MatrixProduct.MultiplySmall(
                        true, false, input, width, count, x, layer == 0 ? stride : input, weighted, width,
                        dWeights + network.Offset(layer), width, true);
                }
            }
        }
    }

    /// <summary>Turns the gradients of one chunk's mixed ends into those of the online products among them.</summary>
    private static void OnlineBackward(void* state, int index, int worker)
    {
        ref var work = ref *(Work*)state;
        var head = index % work.Read.Heads;
        var part = new Part(work, index / work.Read.Heads, head);
        var gates = work.Read.Gates + part.Gates;
        for (var t = 0; t < part.Rows; t++)
        {
            var ends = End(work, work.DReads, part.Row + t, 0, head);
            Blas1.Scale(gates[(t * part.Group.Line) + part.Group.Count], ends, ends, work.Read.Network.OutputCount);
        }
    }

    /// <summary>dx = A o (dz W^T) + B o (dz S^T) + (C o (dz D^T)) H.</summary>
    private static void OnlineInputGradient(in Work work, in Scratch scratch, in Part part, int layer, int head, float* dz, float* dx)
    {
        var network = work.Read.Network;
        int width = network.Out(layer), input = network.In(layer), at = network.Offset(layer), rows = part.Rows;
        MatrixProduct.MultiplySmall(false, true, rows, input, width, dz, width, part.State.W + at, width, dx, input, false);
        if (scratch.Gates.HasDecay)
        {
            Blas1.ScaleRows(scratch.Gates.A, dx, input, dx, input, rows, input);
        }

        if (part.State.S != null)
        {
            Blas1.ScaleRows(scratch.Gates.B, dz, width, scratch.Scaled, width, rows, width);
            MatrixProduct.MultiplySmall(false, true, rows, input, width, scratch.Scaled, width, part.State.S + at, width, dx, input, true);
        }

        var ((h, hStride), (direction, directionStride)) = Records(work, part, layer, head);
        CausalProduct.Outer(rows, width, dz, width, direction, directionStride, scratch.P);
        CausalProduct.Mask(scratch.Gates.C, scratch.P, scratch.P, rows);
        CausalProduct.Add(rows, input, scratch.P, h, hStride, dx, input);
    }

    /// <summary>What the chunk's rows wrote: inputs and directions of a layer.</summary>
    private static Written Records(in Work work, in Part part, int layer, int head)
    {
        var network = work.Read.Network;
        int length = work.Scan.RecordLength, stride = length * work.Scan.Heads;
        var records = work.Scan.Records + ((long)part.Row * stride) + (head * length);
        return new(
            layer == 0
                ? new(work.Scan.K + part.Offset, work.Scan.Stride)
                : new(records + network.OutputCount + ((long)(layer - 1) * network.Hidden), stride),
            new(records + ((long)layer * network.Hidden), stride));
    }

    private readonly record struct Written(DeepScanKernel.RowBlock Inputs, DeepScanKernel.RowBlock Directions);

    private static float* End(in Work work, float* ends, int row, int layer, int head) =>
        ends + ((((long)row * work.Read.Heads) + head) * work.Read.Network.OutputCount) + ((long)layer * work.Read.Network.Hidden);

    private static float* CachedState(in Work work, float* states, int slot, int head) =>
        states + ((((long)slot * work.Read.Heads) + head) * work.Read.Network.WeightCount);

    private static void LoadGates(in Work work, in Scratch scratch, in Part part, int head)
    {
        if (work.OnlineWeights == null)
        {
            DeepScanKernel.LoadGates(work.Scan, scratch.Gates, part.Row, part.Rows, head);
        }
    }
}
