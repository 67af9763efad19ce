using Loci.Memory.Routing;
using Loci.Memory.Rules.Deep;
using Loci.Memory.Segments;
using Loci.Numerics;
using Loci.Numerics.Kernels;

namespace Loci.Memory.Aggregations;

/// <summary>
/// Reads of the cached states of deep memories beside the online one, gated or summed: y_t = g_t o_t + sum_i g_t^(i) M^(i)(q_t). Rows are
/// gathered by state in tiles, so that each layer of a state is one matrix product per tile; the backward pass runs the network anew.
/// </summary>
internal static unsafe class DeepReadKernel
{
    private const int Tile = CachedReadKernel.Tile;

    private struct Scratch : IScratch<ReadWork, Scratch>
    {
        public float* Queries;       // gathered, [Tile, d]
        public float* Inputs;        // of the layers 1.., [layers][Tile, hidden]
        public float* Slopes;
        public float* Normalized;    // [Tile, d]
        public float* DZ;            // [Tile, wide]
        public float* DX;            // [Tile, wide]
        public float* Vector;        // [d]
        public int* Rows;            // [Tile]
        public float* Decoded;       // a state

        public static Scratch Carve(in ReadWork work, ref Carver carver)
        {
            var network = work.Network;
            return new()
            {
                Queries = carver.Take((long)Tile * network.Width),
                Inputs = carver.Take((long)Tile * network.HiddenCount),
                Slopes = carver.Take((long)Tile * network.HiddenCount),
                Normalized = carver.Take((long)Tile * network.Width),
                DZ = carver.Take((long)Tile * network.Wide),
                DX = carver.Take((long)Tile * network.Wide),
                Vector = carver.Take(network.Width),
                Rows = (int*)carver.Take(Tile),
                Decoded = carver.Take(work.DecodedCount),
            };
        }
    }

    public static void ReadGroup(void* state, int index, int worker)
    {
        ref var work = ref *(ReadWork*)state;
        int head = index % work.Heads, d = work.Width, stride = work.Stride;
        var group = new PlanGroup(work.Plan, work.Heads, index / work.Heads);
        var scratch = KernelScratch.Get<ReadWork, Scratch>(work);
        var gates = work.IsGated ? work.Gates + group.GatesOf(head) : null;
        var offset = ((long)group.Row * stride) + (head * d);
        float* q = work.Q + offset, y = work.Output + offset, o = work.Online + offset;
        for (var t = 0; t < group.Rows; t++)
        {
            Blas1.Scale(gates == null ? 1 : gates[(t * group.Line) + group.Count], o + ((long)t * stride), y + ((long)t * stride), d);
        }

        var first = gates == null ? 0 : CachedReadKernel.NextRead(work, group, gates, 0);
        for (var i = first; i < group.Count; i = gates == null ? i + 1 : CachedReadKernel.NextRead(work, group, gates, i + 1))
        {
            float* weights = null;
            for (var next = 0; next < group.Rows;)
            {
                var count = CachedReadKernel.NextRows(
                    work, group, gates, i, ref next, scratch.Rows, q, scratch.Queries, out var x, out var xStride);
                if (count == 0)
                {
                    break;
                }

                weights = weights == null ? work.StateOf(group.Visible[i], head, scratch.Decoded) : weights;
                Run(work, scratch, weights, x, xStride, count, false);
                for (var t = 0; t < count; t++)
                {
                    var row = (long)scratch.Rows[t] * stride;
                    _ = work.Network.Output(scratch.Normalized + (t * d), q + row, work.Gain + (head * d), scratch.Vector);
                    Blas1.AddScaled(gates == null ? 1 : gates[(scratch.Rows[t] * group.Line) + i], scratch.Vector, y + row, d);
                }
            }
        }
    }

    /// <summary>Gradients of a read.</summary>
    public static void Backward(CpuDevice device, in ReadArguments arguments)
    {
        var work = new ReadWork(arguments);
        if (!arguments.States.Gradient.IsEmpty)
        {
            device.Fill(arguments.States.Gradient, 0);
        }

        var sequences = arguments.Plan.SequenceCount;
        device.Workers.For(sequences * work.Heads, &SequenceBackward, &work);
        DeepScanKernel.SumRows(work.DGain, sequences, work.Stride, arguments.Gain);
        if (arguments.IsGated)
        {
            RouterKernel.ScoresBackward(device, arguments.Router);
            RouterKernel.PooledKeysBackward(device, arguments.Router);
            RouterKernel.KeysBackward(device, arguments.Router);
        }
    }

    /// <summary>
    /// Gradients of online reads, queries, gates, states and gain, for one sequence and head: all of a sequence's groups meet in its
    /// states. The states' gradients start from zero.
    /// </summary>
    private static void SequenceBackward(void* state, int index, int worker)
    {
        ref var work = ref *(ReadWork*)state;
        int sequence = index / work.Heads, head = index % work.Heads;
        var scratch = KernelScratch.Get<ReadWork, Scratch>(work);
        var dGain = work.DGain + ((long)index * work.Width);
        Blas1.Zero(dGain, work.Width);
        for (var i = work.Plan.GroupRanges[2 * sequence]; i < work.Plan.GroupRanges[(2 * sequence) + 1]; i++)
        {
            GroupBackward(work, scratch, new PlanGroup(work.Plan, work.Heads, i), head, dGain);
        }
    }

    private static void GroupBackward(in ReadWork work, in Scratch scratch, in PlanGroup group, int head, float* dGain)
    {
        int d = work.Width, stride = work.Stride, line = group.Line;
        float* gates = null, dGates = null;
        if (work.IsGated)
        {
            gates = work.Gates + group.GatesOf(head);
            dGates = work.DLogits + group.GatesOf(head);
            Blas1.Zero(dGates, group.Rows * line);
        }

        var offset = ((long)group.Row * stride) + (head * d);
        float* q = work.Q + offset, o = work.Online + offset, dy = work.DOutput + offset;
        float* dOnline = work.DOnline == null ? null : work.DOnline + offset, dq = work.DQ == null ? null : work.DQ + offset;
        for (var t = 0; t < group.Rows; t++)
        {
            var row = (long)t * stride;
            float gate = 1;
            if (gates != null)
            {
                gate = gates[(t * line) + group.Count];
                dGates[(t * line) + group.Count] = Blas1.Dot(dy + row, o + row, d);
            }

            if (dOnline != null)
            {
                Lanes.AddScaled(dy + row, gate, dOnline + row, d, work.AddOnline);
            }

            if (dq != null && !work.AddQ)
            {
                Blas1.Zero(dq + row, d);
            }
        }

        var network = work.Network;
        var gain = work.Gain + (head * d);
        for (var i = 0; i < group.Count; i++)
        {
            float* weights = StateOf(work, work.States, group.Visible[i], head);
            float* dWeights = StateOf(work, work.DStates, group.Visible[i], head);
            for (var next = 0; next < group.Rows;)
            {
                var count = CachedReadKernel.NextRows(
                    work, group, gates, i, ref next, scratch.Rows, q, scratch.Queries, out var x, out var xStride);
                if (count == 0)
                {
                    break;
                }

                Run(work, scratch, weights, x, xStride, count, true);
                for (var t = 0; t < count; t++)
                {
                    var row = (long)scratch.Rows[t] * stride;
                    float* normalized = scratch.Normalized + (t * d), dz = scratch.DZ + (t * d);
                    var inverse = network.Output(normalized, q + row, gain, scratch.Vector);
                    float gate = 1;
                    if (gates != null)
                    {
                        gate = gates[(scratch.Rows[t] * line) + i];
                        dGates[(scratch.Rows[t] * line) + i] = Blas1.Dot(dy + row, scratch.Vector, d);
                    }

                    Blas1.Scale(gate, dy + row, dz, d);
                    if (dq != null && network.IsResidual)
                    {
                        Blas1.AddScaled(1, dz, dq + row, d);
                    }

                    network.OutputBackward(normalized, inverse, gain, dz, dz, dGain);
                }

                for (var layer = network.Depth - 1; layer >= 0; layer--)
                {
                    int input = network.In(layer), width = network.Out(layer), at = network.Offset(layer);
                    var h = layer == 0 ? x : InputsOf(work, scratch, layer);
                    if (work.DStates != null)
                    {
                        MatrixProduct.MultiplySmall(
                            true, false, input, width, count, h, layer == 0 ? xStride : input, scratch.DZ, width, dWeights + at, width,
                            true);
                    }

                    if (layer > 0 || dq != null)
                    {
                        MatrixProduct.MultiplySmall(
                            false, true, count, input, width, scratch.DZ, width, weights + at, width, scratch.DX, input, false);
                    }

                    if (layer > 0)
                    {
                        Blas1.Multiply(scratch.DX, SlopesOf(work, scratch, layer), scratch.DZ, count * input);
                    }
                }

                for (var t = 0; t < count && dq != null; t++)
                {
                    Blas1.AddScaled(1, scratch.DX + (t * d), dq + ((long)scratch.Rows[t] * stride), d);
                }
            }
        }
    }

    /// <summary>The network up to the last layer's o, which goes to <see cref="Scratch.Normalized"/>.</summary>
    private static void Run(in ReadWork work, in Scratch scratch, float* weights, float* x, int xStride, int count, bool keepsSlopes)
    {
        var network = work.Network;
        for (var layer = 0; layer < network.Depth; layer++)
        {
            int input = network.In(layer), width = network.Out(layer);
            var isLast = layer == network.Depth - 1;
            var end = isLast ? scratch.Normalized : InputsOf(work, scratch, layer + 1);
            MatrixProduct.MultiplySmall(
                false, false, count, width, input, layer == 0 ? x : InputsOf(work, scratch, layer), layer == 0 ? xStride : input,
                weights + network.Offset(layer), width, end, width, false);
            if (!isLast)
            {
                DeepNetwork.Gelu(end, end, keepsSlopes ? SlopesOf(work, scratch, layer + 1) : null, null, count * width);
            }
        }
    }

    private static float* InputsOf(in ReadWork work, in Scratch scratch, int layer) =>
        scratch.Inputs + ((long)(layer - 1) * Tile * work.Network.Hidden);

    private static float* SlopesOf(in ReadWork work, in Scratch scratch, int layer) =>
        scratch.Slopes + ((long)(layer - 1) * Tile * work.Network.Hidden);

    private static float* StateOf(in ReadWork work, float* states, int slot, int head) =>
        states == null ? null : states + ((((long)slot * work.Heads) + head) * work.Network.WeightCount);
}
