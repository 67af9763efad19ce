using System.Numerics;
using System.Runtime.CompilerServices;
using Loci.Numerics.Kernels;

namespace Loci.Numerics;

// Scores exist only as tiles of AttentionTile x AttentionTile: softmax online over the tiles of a query block (Dao et al., 2205.14135).
public sealed unsafe partial class CpuDevice
{
    private const int AttentionTile = 64;

    internal override void Attend(
        DeviceSpan<float> q, DeviceSpan<float> k, DeviceSpan<float> v, SequenceLayout layout, int heads, int headWidth, float scale,
        DeviceSpan<float> y, DeviceSpan<float> logSumExp)
    {
        var work = _scratch.Rent((long)Threads * AttentionWork(headWidth));
        var blocks = _scratch.Rent(layout.Count + 1);
        fixed (int* starts = layout.Starts)
        {
            var state = new AttentionState
            {
                Q = Pointer(q),
                K = Pointer(k),
                V = Pointer(v),
                Y = Pointer(y),
                LogSumExp = Pointer(logSumExp),
                Starts = starts,
                FirstBlocks = (int*)Pointer(blocks),
                Sequences = layout.Count,
                Rows = layout.Rows,
                Heads = heads,
                HeadWidth = headWidth,
                Scale = scale,
                Work = Pointer(work),
            };
            state.Blocks = CountAttentionBlocks(starts, layout.Count, state.FirstBlocks);
            _workers.For(state.Blocks * heads, &Body, &state);
        }

        _scratch.Return(blocks);
        _scratch.Return(work);

        static void Body(void* pointer, int index, int worker)
        {
            var state = (AttentionState*)pointer;
            // Blocks late in a sequence take longest, so they start first.
            var head = index % state->Heads;
            LocateBlock(state, state->Blocks - 1 - (index / state->Heads), out var start, out var end, out var first, out var count);
            int d = state->HeadWidth, stride = state->Heads * d;
            var scores = state->Work + (worker * AttentionWork(d)); // [tile, tile]
            var sum = scores + (AttentionTile * AttentionTile); // [tile, d]
            var largest = stackalloc float[AttentionTile];
            var total = stackalloc float[AttentionTile];
            new Span<float>(largest, count).Fill(float.NegativeInfinity);
            new Span<float>(total, count).Clear();
            var column = head * d;
            for (var key = start; key < first + count; key += AttentionTile)
            {
                var keys = Math.Min(AttentionTile, end - key);
                MatrixProduct.MultiplySmall(
                    false, true, count, keys, d, state->Q + At(first, stride, column), stride, state->K + At(key, stride, column), stride,
                    scores, AttentionTile, false);
                for (var r = 0; r < count; r++)
                {
                    var row = scores + (r * AttentionTile);
                    var visible = Math.Min(keys, first + r - key + 1);
                    var factor = SoftmaxTile(row, visible, keys, state->Scale, largest + r, total + r);
                    if (key > start)
                    {
                        Lanes.AddScaled(sum + ((long)r * d), factor, sum + ((long)r * d), d, false);
                    }
                }

                MatrixProduct.MultiplySmall(
                    false, false, count, d, keys, scores, AttentionTile, state->V + At(key, stride, column), stride, sum, d, key > start);
            }

            for (var r = 0; r < count; r++)
            {
                Lanes.AddScaled(sum + ((long)r * d), 1 / total[r], state->Y + At(first + r, stride, column), d, false);
                if (state->LogSumExp != null)
                {
                    state->LogSumExp[((long)(first + r) * state->Heads) + head] = largest[r] + MathF.Log(total[r]);
                }
            }
        }
    }

    internal override void AttendBackward(
        DeviceSpan<float> q, DeviceSpan<float> k, DeviceSpan<float> v, DeviceSpan<float> y, DeviceSpan<float> logSumExp, DeviceSpan<float> dy,
        SequenceLayout layout, int heads, int headWidth, float scale,
        DeviceSpan<float> dq, bool accumulateQ, DeviceSpan<float> dk, bool accumulateK, DeviceSpan<float> dv, bool accumulateV)
    {
        var work = _scratch.Rent((long)Threads * AttentionWork(headWidth));
        var blocks = _scratch.Rent(layout.Count + 1);
        var projections = _scratch.Rent((long)layout.Rows * heads);
        fixed (int* starts = layout.Starts)
        {
            var state = new AttentionState
            {
                Q = Pointer(q),
                K = Pointer(k),
                V = Pointer(v),
                Y = Pointer(y),
                LogSumExp = Pointer(logSumExp),
                Dy = Pointer(dy),
                Starts = starts,
                FirstBlocks = (int*)Pointer(blocks),
                Sequences = layout.Count,
                Rows = layout.Rows,
                Heads = heads,
                HeadWidth = headWidth,
                Scale = scale,
                Work = Pointer(work),
                Projections = Pointer(projections),
                Dq = Pointer(dq),
                AccumulateQ = accumulateQ,
                Dk = Pointer(dk),
                AccumulateK = accumulateK,
                Dv = Pointer(dv),
                AccumulateV = accumulateV,
            };
            state.Blocks = CountAttentionBlocks(starts, layout.Count, state.FirstBlocks);
            _workers.For(Blocks(layout.Rows, RowBlock(heads * headWidth)), &Project, &state);
            if (!dq.IsEmpty)
            {
                _workers.For(state.Blocks * heads, &Queries, &state);
            }

            if (!dk.IsEmpty || !dv.IsEmpty)
            {
                _workers.For(state.Blocks * heads, &Keys, &state);
            }
        }

        _scratch.Return(projections);
        _scratch.Return(blocks);
        _scratch.Return(work);

        // projection = dy . y, which is what the softmax's gradient subtracts from every score's.
        static void Project(void* pointer, int index, int worker)
        {
            var state = (AttentionState*)pointer;
            int d = state->HeadWidth, stride = state->Heads * d, block = RowBlock(stride);
            var end = Math.Min(state->Rows, (index + 1) * block);
            for (var row = index * block; row < end; row++)
            {
                for (var head = 0; head < state->Heads; head++)
                {
                    var offset = At(row, stride, head * d);
                    state->Projections[((long)row * state->Heads) + head] = Lanes.Dot(state->Y + offset, state->Dy + offset, d);
                }
            }
        }

        static void Queries(void* pointer, int index, int worker)
        {
            var state = (AttentionState*)pointer;
            var head = index % state->Heads;
            LocateBlock(state, state->Blocks - 1 - (index / state->Heads), out var start, out var end, out var first, out var count);
            int d = state->HeadWidth, stride = state->Heads * d, column = head * d;
            var scores = state->Work + (worker * AttentionWork(d)); // [tile, tile]
            var gradients = scores + (AttentionTile * AttentionTile) + (2L * AttentionTile * d); // [tile, tile]
            var sum = scores + (AttentionTile * AttentionTile); // dq, [tile, d]
            for (var key = start; key < first + count; key += AttentionTile)
            {
                var keys = Math.Min(AttentionTile, end - key);
                ScoreGradients(state, head, first, count, key, keys, scores, gradients);
                MatrixProduct.MultiplySmall(
                    false, false, count, d, keys, gradients, AttentionTile, state->K + At(key, stride, column), stride, sum, d, key > start);
            }

            WriteRows(sum, state->Dq + At(first, stride, column), count, d, stride, state->AccumulateQ);
        }

        static void Keys(void* pointer, int index, int worker)
        {
            var state = (AttentionState*)pointer;
            var head = index % state->Heads;
            LocateBlock(state, index / state->Heads, out _, out var end, out var key, out var keys);
            int d = state->HeadWidth, stride = state->Heads * d, column = head * d;
            var scores = state->Work + (worker * AttentionWork(d)); // [tile, tile]
            var sumK = scores + (AttentionTile * AttentionTile); // [tile, d]
            var sumV = sumK + ((long)AttentionTile * d); // [tile, d]
            var gradients = sumV + ((long)AttentionTile * d); // [tile, tile]
            for (var first = key; first < end; first += AttentionTile)
            {
                var count = Math.Min(AttentionTile, end - first);
                ScoreGradients(state, head, first, count, key, keys, scores, gradients);
                MatrixProduct.MultiplySmall(
                    true, false, keys, d, count, scores, AttentionTile, state->Dy + At(first, stride, column), stride, sumV, d, first > key);
                MatrixProduct.MultiplySmall(
                    true, false, keys, d, count, gradients, AttentionTile, state->Q + At(first, stride, column), stride, sumK, d, first > key);
            }

            if (state->Dk != null)
            {
                WriteRows(sumK, state->Dk + At(key, stride, column), keys, d, stride, state->AccumulateK);
            }

            if (state->Dv != null)
            {
                WriteRows(sumV, state->Dv + At(key, stride, column), keys, d, stride, state->AccumulateV);
            }
        }

        // The tile's weights in scores, and the gradients of its unscaled scores.
        static void ScoreGradients(AttentionState* state, int head, int first, int count, int key, int keys, float* scores, float* gradients)
        {
            int d = state->HeadWidth, stride = state->Heads * d, column = head * d;
            MatrixProduct.MultiplySmall(
                false, true, count, keys, d, state->Q + At(first, stride, column), stride, state->K + At(key, stride, column), stride,
                scores, AttentionTile, false);
            MatrixProduct.MultiplySmall(
                false, true, count, keys, d, state->Dy + At(first, stride, column), stride, state->V + At(key, stride, column), stride,
                gradients, AttentionTile, false);
            var scale = new Vector<float>(state->Scale);
            for (var r = 0; r < count; r++)
            {
                var offset = ((long)(first + r) * state->Heads) + head;
                var shift = new Vector<float>(-state->LogSumExp[offset]);
                var projection = new Vector<float>(state->Projections[offset]);
                float* row = scores + (r * AttentionTile), gradient = gradients + (r * AttentionTile);
                var visible = Math.Min(keys, first + r - key + 1);
                var i = 0;
                for (; i <= visible - Lanes.Count; i += Lanes.Count)
                {
                    WeightGradients(row + i, gradient + i, scale, shift, projection, Lanes.Count);
                }

                if (i < visible)
                {
                    WeightGradients(row + i, gradient + i, scale, shift, projection, visible - i);
                }

                new Span<float>(row + visible, keys - visible).Clear();
                new Span<float>(gradient + visible, keys - visible).Clear();
            }
        }

        [MethodImpl(MethodImplOptions.AggressiveInlining)]
        static void WeightGradients(float* scores, float* gradients, Vector<float> scale, Vector<float> shift, Vector<float> projection, int left)
        {
            var weight = VectorMath.Exp(Vector.MultiplyAddEstimate(Lanes.Load(scores, left), scale, shift));
            Lanes.Store(weight, scores, left);
            Lanes.Store(weight * scale * (Lanes.Load(gradients, left) - projection), gradients, left);
        }

        static void WriteRows(float* source, float* destination, int rows, int d, int stride, bool accumulate)
        {
            for (var r = 0; r < rows; r++)
            {
                Lanes.AddScaled(source + ((long)r * d), 1, destination + ((long)r * stride), d, accumulate);
            }
        }
    }

    // Keys that one thread reads in a row.
    private const int AttentionStepBlock = 256;

    internal override void AttendStep(
        DeviceSpan<float> q, PagedRows keys, PagedRows values, int before, int rows, int heads, int headWidth, float scale, DeviceSpan<float> y)
    {
        var blocks = Blocks(before + rows, AttentionStepBlock);
        var state = new AttentionStepState
        {
            Q = Pointer(q),
            Keys = new(keys),
            Values = new(values),
            Y = Pointer(y),
            Before = before,
            Blocks = blocks,
            Heads = heads,
            HeadWidth = headWidth,
            Scale = scale,
        };
        if (rows > 4 * Threads || blocks == 1)
        {
            _workers.For(rows, &Row, &state);
            return;
        }

        // Few rows: their blocks of keys side by side, then put together in their order, as a row by itself does it.
        var partials = _scratch.Rent((long)rows * blocks * state.PartialLength);
        state.Partials = Pointer(partials);
        _workers.For(rows * blocks, &Block, &state);
        _workers.For(rows, &Merge, &state);
        _scratch.Return(partials);

        static void Row(void* pointer, int row, int worker)
        {
            var state = (AttentionStepState*)pointer;
            var whole = KernelScratch.Get((nuint)(2 * state->PartialLength) + (nuint)(state->Heads * AttentionTile));
            float* part = whole + state->PartialLength, scores = part + state->PartialLength;
            var blocks = Blocks(state->Before + row + 1, AttentionStepBlock);
            Read(state, row, 0, whole, scores);
            for (var block = 1; block < blocks; block++)
            {
                Read(state, row, block, part, scores);
                Add(state, part, whole);
            }

            Finish(state, row, whole);
        }

        static void Block(void* pointer, int index, int worker)
        {
            var state = (AttentionStepState*)pointer;
            int row = index / state->Blocks, block = index % state->Blocks;
            if (block * AttentionStepBlock <= state->Before + row)
            {
                Read(state, row, block, state->Partials + (index * state->PartialLength), KernelScratch.Get((nuint)(state->Heads * AttentionTile)));
            }
        }

        static void Merge(void* pointer, int row, int worker)
        {
            var state = (AttentionStepState*)pointer;
            var whole = state->Partials + ((long)row * state->Blocks * state->PartialLength);
            var blocks = Blocks(state->Before + row + 1, AttentionStepBlock);
            for (var block = 1; block < blocks; block++)
            {
                Add(state, whole + (block * state->PartialLength), whole);
            }

            Finish(state, row, whole);
        }

        // One block of keys for all heads, key by key, as they lie in memory: sums [H*d], largest scores [H] and totals [H].
        static void Read(AttentionStepState* state, int row, int block, float* part, float* scores)
        {
            int d = state->HeadWidth, heads = state->Heads, stride = heads * d;
            float* q = state->Q + At(row, stride, 0), largest = part + stride, total = largest + heads;
            new Span<float>(part, stride).Clear();
            new Span<float>(largest, heads).Fill(float.NegativeInfinity);
            new Span<float>(total, heads).Clear();
            var end = Math.Min(state->Before + row + 1, (block + 1) * AttentionStepBlock);
            for (var key = block * AttentionStepBlock; key < end; key += AttentionTile)
            {
                var keys = Math.Min(AttentionTile, end - key);
                for (var i = 0; i < keys; i++)
                {
                    var k = state->Keys.At(key + i);
                    for (var head = 0; head < heads; head++)
                    {
                        scores[(head * AttentionTile) + i] = Lanes.Dot(q + (head * d), k + (head * d), d);
                    }
                }

                for (var head = 0; head < heads; head++)
                {
                    var factor = SoftmaxTile(scores + (head * AttentionTile), keys, keys, state->Scale, largest + head, total + head);
                    Lanes.AddScaled(part + (head * d), factor, part + (head * d), d, false);
                }

                for (var i = 0; i < keys; i++)
                {
                    var v = state->Values.At(key + i);
                    for (var head = 0; head < heads; head++)
                    {
                        Lanes.AddScaled(v + (head * d), scores[(head * AttentionTile) + i], part + (head * d), d, true);
                    }
                }
            }
        }

        static void Add(AttentionStepState* state, float* part, float* whole)
        {
            int d = state->HeadWidth, heads = state->Heads, stride = heads * d;
            for (var head = 0; head < heads; head++)
            {
                float* largest = whole + stride + head, total = largest + heads;
                float before = *largest, other = part[stride + head], now = MathF.Max(before, other);
                float mine = MathF.Exp(before - now), its = MathF.Exp(other - now);
                *largest = now;
                *total = (*total * mine) + (part[stride + heads + head] * its);
                Lanes.AddScaled(whole + (head * d), mine, whole + (head * d), d, false);
                Lanes.AddScaled(part + (head * d), its, whole + (head * d), d, true);
            }
        }

        static void Finish(AttentionStepState* state, int row, float* whole)
        {
            int d = state->HeadWidth, heads = state->Heads, stride = heads * d;
            for (var head = 0; head < heads; head++)
            {
                Lanes.AddScaled(whole + (head * d), 1 / whole[stride + heads + head], state->Y + At(row, stride, head * d), d, false);
            }
        }
    }

    /// <summary>
    /// Turns the first <paramref name="visible"/> scores into exp(scale * score - largest so far) and the rest into zeros.
    /// Returns the factor that brings what was summed before to the new largest.
    /// </summary>
    private static float SoftmaxTile(float* scores, int visible, int count, float scale, float* largest, float* total)
    {
        var before = *largest;
        var now = MathF.Max(before, LargestOf(scores, visible) * scale);
        var shift = new Vector<float>(-now);
        var factor = new Vector<float>(scale);
        var sum = Vector<float>.Zero;
        var i = 0;
        for (; i <= visible - Lanes.Count; i += Lanes.Count)
        {
            sum += Weights(scores + i, factor, shift, Lanes.Count);
        }

        if (i < visible)
        {
            sum += Weights(scores + i, factor, shift, visible - i);
        }

        new Span<float>(scores + visible, count - visible).Clear();
        var correction = MathF.Exp(before - now);
        *largest = now;
        *total = (*total * correction) + Vector.Sum(sum);
        return correction;

        [MethodImpl(MethodImplOptions.AggressiveInlining)]
        static Vector<float> Weights(float* scores, Vector<float> factor, Vector<float> shift, int left)
        {
            var weight = VectorMath.Exp(Vector.MultiplyAddEstimate(Lanes.Load(scores, left, float.NegativeInfinity), factor, shift));
            Lanes.Store(weight, scores, left);
            return weight;
        }
    }

    private static long AttentionWork(int headWidth) => 2L * AttentionTile * (AttentionTile + headWidth);

    private static long At(int row, int stride, int column) => ((long)row * stride) + column;

    private static int CountAttentionBlocks(int* starts, int sequences, int* firstBlocks)
    {
        var count = 0;
        for (var sequence = 0; sequence < sequences; sequence++)
        {
            firstBlocks[sequence] = count;
            count += Blocks(starts[sequence + 1] - starts[sequence], AttentionTile);
        }

        firstBlocks[sequences] = count;
        return count;
    }

    private static void LocateBlock(AttentionState* state, int block, out int start, out int end, out int first, out int count)
    {
        var sequence = SequenceOf(state->FirstBlocks, state->Sequences, block);
        start = state->Starts[sequence];
        end = state->Starts[sequence + 1];
        first = start + ((block - state->FirstBlocks[sequence]) * AttentionTile);
        count = Math.Min(AttentionTile, end - first);
    }

    private struct AttentionStepState
    {
        public float* Q;
        public RowPages Keys;
        public RowPages Values;
        public float* Y;
        public int Before;
        public int Blocks;
        public int Heads;
        public int HeadWidth;
        public float Scale;
        public float* Partials;

        public readonly long PartialLength => Heads * (HeadWidth + 2L);
    }

    private struct AttentionState
    {
        public float* Q;
        public float* K;
        public float* V;
        public float* Y;
        public float* LogSumExp;
        public float* Dy;
        public int* Starts;
        public int* FirstBlocks;
        public int Sequences;
        public int Blocks;
        public int Rows;
        public int Heads;
        public int HeadWidth;
        public float Scale;
        public float* Work;
        public float* Projections;
        public float* Dq;
        public bool AccumulateQ;
        public float* Dk;
        public bool AccumulateK;
        public float* Dv;
        public bool AccumulateV;
    }
}
