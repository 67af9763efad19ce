namespace Loci.Numerics.Kernels;

/// <summary>
/// Reads of the cached states of deep memories beside the online one, gated or summed: y_t = g_t o_t + sum_i g_t^(i) M^(i)(q_t). Rows are gathered by state in tiles, so that
/// each layer of a state is one matrix product per tile; the backward pass runs the network anew.
/// </summary>
internal static unsafe class DeepRead
{
    private const int Tile = MemoryRead.Tile;

    private struct Scratch : IScratch<MemoryRead.Work, Scratch>
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

        public static Scratch Carve(in MemoryRead.Work work, ref Carver carver)
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

    public static void Forward(void* state, int index, int worker)
    {
        ref var work = ref *(MemoryRead.Work*)state;
        int head = index % work.Heads, d = work.Width, stride = work.Stride;
        var group = new MemoryRead.Group(work, index / work.Heads);
        var scratch = KernelScratch.Get<MemoryRead.Work, Scratch>(work);
        var gates = work.IsGated ? work.Gates + group.GatesOf(head) : null;
        var offset = ((long)group.Row * stride) + (head * d);
        float* q = work.Q + offset, y = work.Output + offset, o = work.Online + offset;
        for (var t = 0; t < group.Rows; t++)
        {
            MemoryVector.Scale(gates == null ? 1 : gates[(t * group.Line) + group.Count], o + ((long)t * stride), y + ((long)t * stride), d);
        }

        var first = gates == null ? 0 : MemoryRead.NextRead(work, group, gates, 0);
        for (var i = first; i < group.Count; i = gates == null ? i + 1 : MemoryRead.NextRead(work, group, gates, i + 1))
        {
            float* weights = null;
            for (var next = 0; next < group.Rows;)
            {
                var count = MemoryRead.NextRows(work, group, gates, i, ref next, scratch.Rows, q, scratch.Queries, out var x, out var xStride);
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
                    MemoryVector.AddScaled(gates == null ? 1 : gates[(scratch.Rows[t] * group.Line) + i], scratch.Vector, y + row, d);
                }
            }
        }
    }

    /// <summary>
    /// Gradients of online reads, queries, gates, states and gain, for one sequence and head: all of a sequence's groups meet in its states. The states' gradients start from zero.
    /// </summary>
    public static void Backward(void* state, int index, int worker)
    {
        ref var work = ref *(MemoryRead.Work*)state;
        int sequence = index / work.Heads, head = index % work.Heads;
        var scratch = KernelScratch.Get<MemoryRead.Work, Scratch>(work);
        var dGain = work.DGain + ((long)index * work.Width);
        MemoryVector.Zero(dGain, work.Width);
        for (var i = work.GroupRanges[2 * sequence]; i < work.GroupRanges[(2 * sequence) + 1]; i++)
        {
            GroupBackward(work, scratch, new MemoryRead.Group(work, i), head, dGain);
        }
    }

    /// <summary>Gradient of one slot's router key, over the groups that read it, in their order.</summary>
    public static void PooledKeyBackward(void* state, int index, int worker)
    {
        ref var work = ref *(MemoryRead.Work*)state;
        int slot = index / work.Heads, head = index % work.Heads, d = work.Width, stride = work.Stride;
        var fields = work.Slots + (slot * MemoryPlan.SlotFields);
        var dp = work.DPooledKeys + ((long)slot * stride) + (head * d);
        MemoryVector.Zero(dp, d);
        for (var reader = 0; reader < fields[3]; reader++)
        {
            var entry = work.SeenBy + (2 * (fields[2] + reader));
            var group = new MemoryRead.Group(work, entry[0]);
            float* gates = work.Gates + group.GatesOf(head), dScores = work.DLogits + group.GatesOf(head);
            var u = work.U + ((long)group.Row * stride) + (head * d);
            for (var t = 0; t < group.Rows; t++)
            {
                var gate = (t * group.Line) + entry[1];
                if (gates[gate] != 0)
                {
                    MemoryVector.AddScaled(dScores[gate], u + ((long)t * stride), dp, d);
                }
            }
        }
    }

    private static void GroupBackward(in MemoryRead.Work work, in Scratch scratch, in MemoryRead.Group group, int head, float* dGain)
    {
        int d = work.Width, stride = work.Stride, line = group.Line;
        float* gates = null, dGates = null;
        if (work.IsGated)
        {
            gates = work.Gates + group.GatesOf(head);
            dGates = work.DLogits + group.GatesOf(head);
            MemoryVector.Zero(dGates, group.Rows * line);
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
                dGates[(t * line) + group.Count] = MemoryVector.Dot(dy + row, o + row, d);
            }

            if (dOnline != null)
            {
                Lanes.AddScaled(dy + row, gate, dOnline + row, d, work.AddOnline);
            }

            if (dq != null && !work.AddQ)
            {
                MemoryVector.Zero(dq + row, d);
            }
        }

        var network = work.Network;
        var gain = work.Gain + (head * d);
        for (var i = 0; i < group.Count; i++)
        {
            float* weights = StateOf(work, work.States, group.Visible[i], head), dWeights = StateOf(work, work.DStates, group.Visible[i], head);
            for (var next = 0; next < group.Rows;)
            {
                var count = MemoryRead.NextRows(work, group, gates, i, ref next, scratch.Rows, q, scratch.Queries, out var x, out var xStride);
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
                        dGates[(scratch.Rows[t] * line) + i] = MemoryVector.Dot(dy + row, scratch.Vector, d);
                    }

                    MemoryVector.Scale(gate, dy + row, dz, d);
                    if (dq != null && network.IsResidual)
                    {
                        MemoryVector.AddScaled(1, dz, dq + row, d);
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
                            true, false, input, width, count, h, layer == 0 ? xStride : input, scratch.DZ, width, dWeights + at, width, true);
                    }

                    if (layer > 0 || dq != null)
                    {
                        MatrixProduct.MultiplySmall(false, true, count, input, width, scratch.DZ, width, weights + at, width, scratch.DX, input, false);
                    }

                    if (layer > 0)
                    {
                        MemoryVector.Multiply(scratch.DX, SlopesOf(work, scratch, layer), scratch.DZ, count * input);
                    }
                }

                for (var t = 0; t < count && dq != null; t++)
                {
                    MemoryVector.AddScaled(1, scratch.DX + (t * d), dq + ((long)scratch.Rows[t] * stride), d);
                }
            }
        }
    }

    /// <summary>The network up to the last layer's o, which goes to <see cref="Scratch.Normalized"/>.</summary>
    private static void Run(in MemoryRead.Work work, in Scratch scratch, float* weights, float* x, int xStride, int count, bool keepsSlopes)
    {
        var network = work.Network;
        for (var layer = 0; layer < network.Depth; layer++)
        {
            int input = network.In(layer), width = network.Out(layer);
            var isLast = layer == network.Depth - 1;
            var end = isLast ? scratch.Normalized : InputsOf(work, scratch, layer + 1);
            MatrixProduct.MultiplySmall(
                false, false, count, width, input, layer == 0 ? x : InputsOf(work, scratch, layer), layer == 0 ? xStride : input, weights + network.Offset(layer), width, end, width, false);
            if (!isLast)
            {
                DeepNetwork.Gelu(end, end, keepsSlopes ? SlopesOf(work, scratch, layer + 1) : null, null, count * width);
            }
        }
    }

    private static float* InputsOf(in MemoryRead.Work work, in Scratch scratch, int layer) => scratch.Inputs + ((long)(layer - 1) * Tile * work.Network.Hidden);

    private static float* SlopesOf(in MemoryRead.Work work, in Scratch scratch, int layer) => scratch.Slopes + ((long)(layer - 1) * Tile * work.Network.Hidden);

    private static float* StateOf(in MemoryRead.Work work, float* states, int slot, int head) =>
        states == null ? null : states + ((((long)slot * work.Heads) + head) * work.Network.WeightCount);
}
