using System.Numerics;
using Loci.Memory.Segments;
using Loci.Numerics;
using Loci.Numerics.Kernels;

namespace Loci.Memory.Rules.Deep;

internal static unsafe partial class DeepScanKernel
{
    // Weights whose gradients are added up by one thread.
    private const int WeightPart = 4096;

    internal readonly struct Backward : IKernel<DeepArguments>
    {
        public static void Run(CpuDevice device, in DeepArguments arguments)
        {
            var work = new Work(arguments);
            var plan = arguments.Plan;
            for (var level = 0; level < plan.LevelCount; level++)
            {
                work.FirstItem = plan.Levels.Values[level];
                device.Workers.For((plan.Levels.Values[level + 1] - work.FirstItem) * work.Heads, &ItemBackward, &work);

                // The rows of every further level have had a gradient before.
                work.AddK = work.AddV = work.AddRate = work.AddLogDecay = work.AddMomentum = true;
            }

            if (!arguments.Weights.Gradient.IsEmpty)
            {
                WeightSum sum = new() { Scan = work, Items = plan.ItemCount, Weights = new(arguments.Weights) };
                device.Workers.For(work.Heads * sum.Parts, &SumWeights, &sum);
            }

            SumRows(work.DGain, plan.ItemCount, work.Stride, arguments.Gain);
        }
    }

    private struct WeightSum
    {
        public Work Scan;
        public int Items;
        public GateWork Weights;

        public readonly int Parts => (Scan.Network.WeightCount + WeightPart - 1) / WeightPart;
    }

    private struct BackwardScratch : IScratch<Work, BackwardScratch>
    {
        public Panels Panels;
        public DeepGates Gates;
        public float* Curvature;     // of the keys, see WriteKeys, [layers][rows, hidden]
        public float* Inputs;        // inputs of the layers 1.. for the queries, [layers][rows, hidden]
        public float* Slopes;        // gelu' behind them
        public float* Normalized;    // LN(o) of the queries, [rows, d]
        public float* DDirection;    // [layers][rows, wide]
        public float* DHidden;       // of every layer's input for the keys, [layers][rows, wide]
        public float* DZ;            // [rows, wide]
        public float* DX;            // [rows, wide]
        public float* U;             // [rows, wide]
        public float* Scaled;        // [rows, wide]
        public float* P;             // [rows, rows]
        public float* Overlap;       // x H^T of every layer, [layers][rows, rows]
        public float* DP;            // [rows, rows]
        public float* Inner;         // states of chunks between kept ones, [chunks, P or 2P]
        public float* Vector;        // [d]

        public readonly float* DDirectionOf(int layer) => DDirection + ((long)layer * Panels.Rows * Panels.Network.Wide);

        public readonly float* DHiddenOf(int layer) => DHidden + ((long)layer * Panels.Rows * Panels.Network.Wide);

        public readonly float* OverlapOf(int layer) => Overlap + ((long)layer * Panels.Rows * Panels.Rows);

        public readonly float* InputsOf(int layer) => Inputs + ((long)(layer - 1) * Panels.Rows * Panels.Network.Hidden);

        public readonly float* SlopesOf(int layer) => Slopes + ((long)(layer - 1) * Panels.Rows * Panels.Network.Hidden);

        public static BackwardScratch Carve(in Work work, ref Carver carver)
        {
            var network = work.Network;
            long rows = work.ChunkLength, panel = rows * network.Wide, hidden = rows * network.HiddenCount, square = rows * rows;
            return new()
            {
                Panels = Panels.Carve(network, work.ChunkLength, ref carver),
                Gates = DeepGates.Carve(work, ref carver),
                Curvature = carver.Take(hidden),
                Inputs = carver.Take(hidden),
                Slopes = carver.Take(hidden),
                Normalized = carver.Take(rows * network.Width),
                DDirection = carver.Take(network.Depth * panel),
                DHidden = carver.Take(network.Depth * panel),
                DZ = carver.Take(panel),
                DX = carver.Take(panel),
                U = carver.Take(panel),
                Scaled = carver.Take(panel),
                P = carver.Take(square),
                DP = carver.Take(square),
                Overlap = carver.Take(network.Depth * square),
                Inner = carver.Take((long)(work.KeptEvery - 1) * work.StateLength),
                Vector = carver.Take(network.Width),
            };
        }
    }

    private static void ItemBackward(void* state, int index, int worker)
    {
        ref var work = ref *(Work*)state;
        int item = work.FirstItem + (index / work.Heads), head = index % work.Heads;
        var scratch = KernelScratch.Get<Work, BackwardScratch>(work);
        int first = work.Plan.Items[2 * item], past = work.Plan.Items[(2 * item) + 1], length = work.StateLength;

        // The gradient of the item's initial state ends up where the state before its first chunk, which is M_0, would have been kept.
        var gradient = Split(work, work.KeptAt(item, first, first, head));
        var dGain = work.DGain + ((((long)item * work.Heads) + head) * work.Network.Width);
        Blas1.Zero(dGain, work.Network.Width);
        Blas1.Zero(gradient.W, length);
        var hasGradient = false;
        for (var block = first + ((past - 1 - first) / work.KeptEvery * work.KeptEvery); block >= first; block -= work.KeptEvery)
        {
            var end = Math.Min(block + work.KeptEvery, past);
            for (var i = block; i < end - 1; i++)
            {
                // States between the kept ones are computed anew.
                var chunk = work.Plan.Chunks + (i * MemoryPlan.ChunkFields);
                var k = work.K + ((long)chunk[0] * work.Stride) + (head * work.Network.Width);
                var before = StateBefore(work, scratch, item, first, block, i, head);
                LoadGates(work, scratch.Gates, chunk[0], chunk[1], head);
                WriteKeys(work, scratch.Panels, before, k, work.V + (k - work.K), head, chunk[1], scratch.U);
                Advance(
                    work, scratch.Panels, scratch.Gates, before, Split(work, scratch.Inner + ((long)(i - block) * length)), k, chunk[1],
                    scratch.U);
            }

            for (var i = end - 1; i >= block; i--)
            {
                ChunkBackward(
                    work, scratch, work.Plan.Chunks + (i * MemoryPlan.ChunkFields), head,
                    StateBefore(work, scratch, item, first, block, i, head), gradient, dGain, ref hasGradient);
            }
        }
    }

    /// <summary>Adds up rows in their order.</summary>
    internal static void SumRows(float* rows, int count, int width, in Operand sum)
    {
        var destination = CpuDevice.Pointer(sum.Gradient);
        for (var row = 0; row < count && destination != null; row++)
        {
            Lanes.AddScaled(rows + ((long)row * width), 1, destination, width, sum.Accumulates || row > 0);
        }
    }

    /// <summary>Adds up the gradients of M_0 over the items, in their order, for one head and a part of the weights.</summary>
    private static void SumWeights(void* state, int index, int worker)
    {
        ref var sum = ref *(WeightSum*)state;
        ref var work = ref sum.Scan;
        int head = index / sum.Parts, start = index % sum.Parts * WeightPart;
        int count = Math.Min(WeightPart, work.Network.WeightCount - start);
        var destination = sum.Weights.Gradient + ((long)head * work.Network.WeightCount) + start;
        for (var item = 0; item < sum.Items; item++)
        {
            var first = work.Plan.Items[2 * item];
            var source = work.KeptAt(item, first, first, head) + start;
            if (item == 0 && !sum.Weights.Accumulates)
            {
                Blas1.Copy(source, destination, count);
            }
            else
            {
                Blas1.AddScaled(1, source, destination, count);
            }
        }
    }

    private static State StateBefore(in Work work, in BackwardScratch scratch, int item, int first, int block, int chunk, int head) =>
        chunk == first ? Initial(work, head)
        : chunk == block ? Split(work, work.KeptAt(item, first, chunk, head))
        : Split(work, scratch.Inner + ((long)(chunk - block - 1) * work.StateLength));

    private static void ChunkBackward(
        in Work work, in BackwardScratch scratch, int* chunk, int head, in State state, in State gradient, float* dGain,
        ref bool hasGradient)
    {
        var network = work.Network;
        var gates = scratch.Gates;
        int row = chunk[0], rows = chunk[1], slot = chunk[2], d = network.Width, stride = work.Stride;
        var offset = ((long)row * stride) + (head * d);
        float* k = work.K + offset, v = work.V + offset;
        LoadGates(work, gates, row, rows, head);
        gates.ClearGradients(rows);
        WriteKeys(work, scratch.Panels, state, k, v, head, rows, scratch.U, scratch.Curvature);
        if (slot >= 0 && work.DStates != null)
        {
            Blas1.AddScaled(1, work.DStates + ((((long)slot * work.Heads) + head) * network.WeightCount), gradient.W, network.WeightCount);
            hasGradient = true;
        }

        if (hasGradient)
        {
            AdvanceBackward(work, scratch, state, gradient, k, rows);
        }
        else
        {
            for (var layer = 0; layer < network.Depth; layer++)
            {
                Blas1.Zero(scratch.DDirectionOf(layer), rows * network.Out(layer));
                Blas1.Zero(scratch.DHiddenOf(layer), rows * network.In(layer));
            }
        }

        if (chunk[4] != 0)
        {
            if (work.DReads != null)
            {
                MixedReadBackward(work, scratch, state, gradient, work.Q + offset, k, row, rows, head);
            }
            else
            {
                ReadBackward(work, scratch, state, gradient, offset, head, rows, dGain);
            }

            hasGradient = true;
        }

        KeysBackward(work, scratch, state, gradient, k, v, offset, head, rows, dGain);
        var gate = ((long)row * work.Heads) + head;
        gates.Backward(
            rows, work.Heads, At(work.DRate, gate), work.AddRate, At(work.DLogDecay, gate), work.AddLogDecay, At(work.DMomentum, gate),
            work.AddMomentum);
    }

    /// <summary>
    /// Gradients through the state after the chunk: W' = A W + B S + H^T (c o D), S' = h S + H^T (s o D). The state's gradient becomes that
    /// of the state before it.
    /// </summary>
    private static void AdvanceBackward(in Work work, in BackwardScratch scratch, in State state, in State gradient, float* k, int rows)
    {
        var network = work.Network;
        var gates = scratch.Gates;
        var last = rows - 1;
        for (var layer = 0; layer < network.Depth; layer++)
        {
            var (h, hStride) = KeyInput(scratch.Panels, layer, k, work.Stride);
            DirectionsBackward(
                scratch, layer, gates.LastWeight(rows), h, hStride, gradient.W + network.Offset(layer), gates.DC + ((long)last * rows),
                rows, false);
            if (gradient.S != null)
            {
                DirectionsBackward(
                    scratch, layer, gates.LastMomentum(rows), h, hStride, gradient.S + network.Offset(layer), gates.DS, rows, true);
            }
        }

        CombineBackward(gates, state, gradient, network.WeightCount, last);
    }

    /// <summary>Through W' = A W + B S, S' = h S, in one pass over the weights.</summary>
    private static void CombineBackward(in DeepGates gates, in State state, in State gradient, int count, int last)
    {
        Vector<float> a = new(gates.A[last]), b = new(gates.B[last]), h = new(gates.H[last]);
        Vector<float> da = Vector<float>.Zero, db = Vector<float>.Zero, dh = Vector<float>.Zero;
        for (var i = 0; i < count; i += Lanes.Count)
        {
            long left = count - i;
            var dw = Lanes.Load(gradient.W + i, left);
            if (gates.HasDecay)
            {
                da += dw * Lanes.Load(state.W + i, left);
                Lanes.Store(a * dw, gradient.W + i, left);
            }

            if (gradient.S != null)
            {
                var ds = Lanes.Load(gradient.S + i, left);
                Lanes.Store((h * ds) + (b * dw), gradient.S + i, left);
                if (state.S != null)
                {
                    var s = Lanes.Load(state.S + i, left);
                    db += dw * s;
                    dh += ds * s;
                }
            }
        }

        gates.DA[last] += Vector.Sum(da);
        gates.DB[last] += Vector.Sum(db);
        gates.DH[last] += Vector.Sum(dh);
    }

    /// <summary>Through M' = ... + H^T (w o D): T = H G, dD = w o T, dw = D . T, dH = (w o D) G^T.</summary>
    private static void DirectionsBackward(
        in BackwardScratch scratch, int layer, float* weights, float* h, int hStride, float* dMatrix, float* dWeights, int rows,
        bool accumulate)
    {
        var network = scratch.Panels.Network;
        int input = network.In(layer), width = network.Out(layer);
        float* direction = scratch.Panels.DirectionOf(layer), dDirection = scratch.DDirectionOf(layer);
        MatrixProduct.MultiplySmall(false, false, rows, width, input, h, hStride, dMatrix, width, scratch.U, width, false);
        for (var t = 0; t < rows; t++)
        {
            var line = scratch.U + (t * width);
            dWeights[t] += Blas1.Dot(direction + (t * width), line, width);
            Lanes.AddScaled(line, weights[t], dDirection + (t * width), width, accumulate);
        }

        Blas1.ScaleRows(weights, direction, width, scratch.Scaled, width, rows, width);
        MatrixProduct.MultiplySmall(
            false, true, rows, input, width, scratch.Scaled, width, dMatrix, width, scratch.DHiddenOf(layer), input, accumulate);
    }

    /// <summary>Gradients through the chunk's own reads, which are computed anew.</summary>
    private static void ReadBackward(
        in Work work, in BackwardScratch scratch, in State state, in State gradient, long offset, int head, int rows, float* dGain)
    {
        var network = work.Network;
        int stride = work.Stride, d = network.Width, last = network.Depth - 1;
        float* q = work.Q + offset, k = work.K + offset, dy = work.DOutput + offset, gain = work.Gain + (head * d);
        for (var layer = 0; layer <= last; layer++)
        {
            var width = network.Out(layer);
            var (h, hStride) = KeyInput(scratch.Panels, layer, k, stride);
            var (x, xStride) = QueryInput(scratch, layer, q, stride);
            var z = layer == last ? scratch.Normalized : scratch.U;
            Product(
                network, layer, state, scratch.Gates, rows, x, xStride, h, hStride, scratch.Panels.DirectionOf(layer), width, z, width,
                scratch.OverlapOf(layer), scratch.P, scratch.Scaled);
            if (layer < last)
            {
                DeepNetwork.Gelu(z, scratch.InputsOf(layer + 1), scratch.SlopesOf(layer + 1), null, rows * width);
            }
        }

        for (var t = 0; t < rows; t++)
        {
            // The output itself is not needed, only LN(o).
            var inverse = network.Output(scratch.Normalized + (t * d), q + ((long)t * stride), gain, scratch.Vector);
            network.OutputBackward(scratch.Normalized + (t * d), inverse, gain, dy + ((long)t * stride), scratch.DZ + (t * d), dGain);
        }

        for (var layer = last; layer >= 0; layer--)
        {
            var (x, xStride) = QueryInput(scratch, layer, q, stride);
            ProductBackward(work, scratch, layer, state, gradient, x, xStride, k, scratch.DZ, network.Out(layer), rows, true);
            if (layer > 0)
            {
                Blas1.Multiply(scratch.DX, scratch.SlopesOf(layer), scratch.DZ, rows * network.Hidden);
            }
        }

        if (work.DQ == null)
        {
            return;
        }

        for (var t = 0; t < rows; t++)
        {
            var dq = work.DQ + offset + ((long)t * stride);
            if (network.IsResidual)
            {
                Blas1.AddScaled(1, dy + ((long)t * stride), scratch.DX + (t * d), d);
            }

            Lanes.AddScaled(scratch.DX + (t * d), 1, dq, d, work.AddQ);
        }
    }

    /// <summary>
    /// Gradients through online products whose inputs and outputs a soup mixed with those of cached states; their inputs' gradients are the
    /// soup's business.
    /// </summary>
    private static void MixedReadBackward(
        in Work work, in BackwardScratch scratch, in State state, in State gradient, float* q, float* k, int row, int rows, int head)
    {
        var network = work.Network;
        long outputs = network.OutputCount, stride = outputs * work.Heads;
        for (var layer = 0; layer < network.Depth; layer++)
        {
            int width = network.Out(layer);
            var at = (row * stride) + (head * outputs) + ((long)layer * network.Hidden);
            var x = q;
            var xStride = work.Stride;
            if (layer > 0)
            {
                x = scratch.InputsOf(layer);
                xStride = network.Hidden;
                for (var t = 0; t < rows; t++)
                {
                    DeepNetwork.Gelu(
                        work.Preactivations + at - network.Hidden + (t * stride), x + (t * network.Hidden), null, null, network.Hidden);
                }
            }

            for (var t = 0; t < rows; t++)
            {
                Blas1.Copy(work.DReads + at + (t * stride), scratch.DZ + (t * width), width);
            }

            var (h, hStride) = KeyInput(scratch.Panels, layer, k, work.Stride);
            CausalProduct.Outer(rows, network.In(layer), x, xStride, h, hStride, scratch.OverlapOf(layer));
            ProductBackward(
                work, scratch, layer, state, gradient, x, xStride, k, scratch.DZ, width, rows, scratch.Gates.HasDecay || state.S != null);
        }
    }

    /// <summary>
    /// Gradients of z = A o (x W) + B o (x S) + ((x H^T) o C) D. That of x goes to DX; without it, only what the gates need of it is
    /// computed.
    /// </summary>
    private static void ProductBackward(
        in Work work, in BackwardScratch scratch, int layer, in State state, in State gradient, float* x, int xStride, float* k, float* dz,
        int width, int rows, bool wantsInput)
    {
        var network = work.Network;
        var gates = scratch.Gates;
        int input = network.In(layer), offset = network.Offset(layer);
        var (h, hStride) = KeyInput(scratch.Panels, layer, k, work.Stride);
        float* direction = scratch.Panels.DirectionOf(layer), dx = scratch.DX, u = scratch.U;

        // U = dZ W^T; dx = A o U, dA = U . x; dW += (A o x)^T dZ
        if (wantsInput)
        {
            MatrixProduct.MultiplySmall(false, true, rows, input, width, dz, width, state.W + offset, width, dx, input, false);
        }

        if (gates.HasDecay)
        {
            for (var t = 0; t < rows; t++)
            {
                gates.DA[t] += Blas1.Dot(dx + (t * input), x + ((long)t * xStride), input);
                Blas1.Scale(gates.A[t], dx + (t * input), dx + (t * input), input);
            }

            WeightedOuter(gates.A, x, xStride, input, dz, width, gradient.W + offset, rows, scratch.Scaled);
        }
        else
        {
            MatrixProduct.MultiplySmall(true, false, input, width, rows, x, xStride, dz, width, gradient.W + offset, width, true);
        }

        if (state.S != null)
        {
            MatrixProduct.MultiplySmall(false, true, rows, input, width, dz, width, state.S + offset, width, u, input, false);
            for (var t = 0; t < rows; t++)
            {
                gates.DB[t] += Blas1.Dot(u + (t * input), x + ((long)t * xStride), input);
                Blas1.AddScaled(gates.B[t], u + (t * input), dx + (t * input), input);
            }

            WeightedOuter(gates.B, x, xStride, input, dz, width, gradient.S + offset, rows, scratch.Scaled);
        }

        // P0 = x H^T, P = P0 o C; dP = dZ D^T; dC += P0 o dP; dP0 = C o dP
        CausalProduct.Outer(rows, width, dz, width, direction, width, scratch.DP);
        for (var t = 0; t < rows; t++)
        {
            var line = (long)t * rows;
            float* overlap = scratch.OverlapOf(layer) + line, p = scratch.P + line, dp = scratch.DP + line, c = gates.C + line;
            float* dc = gates.DC + line;
            for (var j = 0; j <= t; j += Lanes.Count)
            {
                long count = t + 1 - j;
                Vector<float> product = Lanes.Load(overlap + j, count), dProduct = Lanes.Load(dp + j, count);
                Vector<float> weight = Lanes.Load(c + j, count);
                Lanes.Store(Lanes.Load(dc + j, count) + (product * dProduct), dc + j, count);
                Lanes.Store(product * weight, p + j, count);
                Lanes.Store(dProduct * weight, dp + j, count);
            }

            Blas1.Zero(p + t + 1, rows - t - 1);
            Blas1.Zero(dp + t + 1, rows - t - 1);
        }

        // dD += P^T dZ; dx += dP0 H; dH += dP0^T x
        CausalProduct.AddTransposed(rows, width, scratch.P, dz, width, scratch.DDirectionOf(layer), width);
        if (wantsInput)
        {
            CausalProduct.Add(rows, input, scratch.DP, h, hStride, dx, input);
        }

        CausalProduct.AddTransposed(rows, input, scratch.DP, x, xStride, scratch.DHiddenOf(layer), input);
    }

    /// <summary>Gradients through the directions of descent, down to keys, values and the state that the chunk starts with.</summary>
    private static void KeysBackward(
        in Work work, in BackwardScratch scratch, in State state, in State gradient, float* k, float* v, long offset, int head, int rows,
        float* dGain)
    {
        var network = work.Network;
        ref readonly var panels = ref scratch.Panels;
        int last = network.Depth - 1, stride = work.Stride, d = network.Width;

        // D = -s delta with s = min(1, clip / (|delta| |h|)); dDirection becomes dDelta.
        for (var layer = 0; layer <= last; layer++)
        {
            int width = network.Out(layer), input = network.In(layer);
            var (x, xStride) = KeyInput(panels, layer, k, stride);
            for (var t = 0; t < rows; t++)
            {
                float* delta = panels.DeltaOf(layer) + (t * width), dDelta = scratch.DDirectionOf(layer) + (t * width);
                float* h = x + ((long)t * xStride);
                var scale = panels.ScaleOf(layer)[t];
                var along = scale < 1 ? scale * Blas1.Dot(dDelta, delta, width) : 0;
                Blas1.Scale(-scale, dDelta, dDelta, width);
                if (along != 0)
                {
                    Blas1.AddScaled(along / Blas1.Dot(delta, delta, width), delta, dDelta, width);
                    Blas1.AddScaled(along / Blas1.Dot(h, h, input), h, scratch.DHiddenOf(layer) + (t * input), input);
                }
            }
        }

        // delta = (delta' W'^T) o gelu', from the first layer to the last
        for (var layer = 0; layer < last; layer++)
        {
            int width = network.Out(layer), after = network.Out(layer + 1), next = network.Offset(layer + 1);
            float* dE = scratch.DX, dDelta = scratch.DDirectionOf(layer);
            Blas1.Multiply(dDelta, panels.SlopeOf(layer + 1), dE, rows * width);
            MatrixProduct.MultiplySmall(
                false, false, rows, after, width, dE, width, state.W + next, after, scratch.DDirectionOf(layer + 1), after, true);
            MatrixProduct.MultiplySmall(
                true, false, width, after, rows, dE, width, panels.DeltaOf(layer + 1), after, gradient.W + next, after, true);

            // dz of this layer through gelu', kept in the place of dDelta
            Blas1.Multiply(dDelta, scratch.Curvature + ((long)layer * panels.Rows * network.Hidden), dDelta, rows * width);
        }

        var dv = scratch.U; // [rows, d]
        Blas1.Zero(dv, rows * d);
        for (var t = 0; t < rows; t++)
        {
            network.LossGradientBackward(
                panels.Normalized + (t * d), panels.Inverse[t], k + ((long)t * stride), v + ((long)t * stride), work.Gain + (head * d),
                scratch.DDirectionOf(last) + (t * d),
                scratch.DZ + (t * d), scratch.DHiddenOf(0) + (t * d), dv + (t * d), dGain);
        }

        StoreRows(dv, work.DV, offset, stride, rows, d, work.AddV);
        for (var layer = last; layer >= 0; layer--)
        {
            int width = network.Out(layer), input = network.In(layer), at = network.Offset(layer);
            var (h, hStride) = KeyInput(panels, layer, k, stride);
            var dHidden = scratch.DHiddenOf(layer);
            MatrixProduct.MultiplySmall(false, true, rows, input, width, scratch.DZ, width, state.W + at, width, dHidden, input, true);
            MatrixProduct.MultiplySmall(true, false, input, width, rows, h, hStride, scratch.DZ, width, gradient.W + at, width, true);
            if (layer > 0)
            {
                Blas1.Multiply(dHidden, panels.SlopeOf(layer), scratch.DZ, rows * input);
                Blas1.AddScaled(1, scratch.DDirectionOf(layer - 1), scratch.DZ, rows * input);
            }
        }

        StoreRows(scratch.DHiddenOf(0), work.DK, offset, stride, rows, d, work.AddK);
    }

    private static RowBlock QueryInput(in BackwardScratch scratch, int layer, float* q, int stride) =>
        layer == 0 ? new(q, stride) : new(scratch.InputsOf(layer), scratch.Panels.Network.Hidden);

    private static void StoreRows(float* source, float* destination, long offset, int stride, int rows, int width, bool accumulate)
    {
        if (destination == null)
        {
            return;
        }

        for (var t = 0; t < rows; t++)
        {
            Lanes.AddScaled(source + (t * width), 1, destination + offset + ((long)t * stride), width, accumulate);
        }
    }

    private static float* At(float* start, long index) => start == null ? null : start + index;
}
