using System.Numerics;
using System.Runtime.CompilerServices;
using Loci.Numerics.Kernels;

namespace Loci.Numerics;

public sealed unsafe partial class CpuDevice
{
    private const int ConvolutionRows = 64;

    internal override void ShortConvolution(
        DeviceSpan<float> x, int strideX, DeviceSpan<float> weight, SequenceLayout layout, int columns, int width, int headWidth, float epsilon,
        DeviceSpan<float> y)
    {
        var taps = _scratch.Rent((long)columns * width);
        Transpose(Pointer(weight), columns, width, Pointer(taps));
        fixed (int* starts = layout.Starts)
        {
            var state = new ConvolutionState
            {
                X = Pointer(x),
                StrideX = strideX,
                Taps = Pointer(taps),
                Starts = starts,
                Sequences = layout.Count,
                Rows = layout.Rows,
                Columns = columns,
                Width = width,
                HeadWidth = headWidth,
                Epsilon = epsilon,
                Y = Pointer(y),
            };
            _workers.For(Blocks(layout.Rows, ConvolutionRows), &Body, &state);
        }

        _scratch.Return(taps);

        static void Body(void* pointer, int index, int worker)
        {
            var state = (ConvolutionState*)pointer;
            var first = index * ConvolutionRows;
            var end = Math.Min(state->Rows, first + ConvolutionRows);
            var sequence = SequenceOf(state->Starts, state->Sequences, first);
            var sources = stackalloc float*[Operations.ShortConvolution.MaximumWidth];
            for (var row = first; row < end; row++)
            {
                sequence += row == state->Starts[sequence + 1] ? 1 : 0;
                var firstTap = Sources(state, row, state->Starts[sequence], sources);
                var y = state->Y + ((long)row * state->Columns);
                Convolve(sources, firstTap, state->Taps, state->Columns, state->Width, y);
                NormaliseHeads(y, state->Columns, state->HeadWidth, state->Epsilon);
            }
        }
    }

    internal override void ShortConvolutionStep(
        DeviceSpan<float> x, int strideX, DeviceSpan<float> weight, DeviceSpan<float> state, int batch, int columns, int width, int headWidth, float epsilon,
        DeviceSpan<float> y)
    {
        var taps = _scratch.Rent((long)columns * width);
        Transpose(Pointer(weight), columns, width, Pointer(taps));
        var sources = stackalloc float*[Operations.ShortConvolution.MaximumWidth];
        for (var sequence = 0; sequence < batch; sequence++)
        {
            var rows = Pointer(state) + ((long)sequence * (width - 1) * strideX);
            for (var tap = 0; tap < width - 1; tap++)
            {
                sources[tap] = rows + ((long)tap * strideX);
            }

            sources[width - 1] = Pointer(x) + ((long)sequence * strideX);
            var result = Pointer(y) + ((long)sequence * columns);
            Convolve(sources, 0, Pointer(taps), columns, width, result);
            NormaliseHeads(result, columns, headWidth, epsilon);
            for (var tap = 0; tap < width - 1; tap++)
            {
                new ReadOnlySpan<float>(sources[tap + 1], columns).CopyTo(new Span<float>(sources[tap], columns));
            }
        }

        _scratch.Return(taps);
    }

    internal override void ShortConvolutionBackward(
        DeviceSpan<float> x, int strideX, DeviceSpan<float> weight, SequenceLayout layout, int columns, int width, int headWidth, float epsilon,
        DeviceSpan<float> dy, DeviceSpan<float> dx, bool accumulateX, DeviceSpan<float> dWeight, bool accumulateWeight)
    {
        var blocks = Blocks(layout.Rows, ConvolutionRows);
        long size = (long)columns * width;
        var taps = _scratch.Rent(2 * size);
        var work = _scratch.Rent((long)Threads * (ConvolutionRows + width + 1) * columns);
        var partials = dWeight.IsEmpty ? default : _scratch.Rent(blocks * size);
        Transpose(Pointer(weight), columns, width, Pointer(taps));
        fixed (int* starts = layout.Starts)
        {
            var state = new ConvolutionState
            {
                X = Pointer(x),
                StrideX = strideX,
                Taps = Pointer(taps),
                Starts = starts,
                Sequences = layout.Count,
                Rows = layout.Rows,
                Columns = columns,
                Width = width,
                HeadWidth = headWidth,
                Epsilon = epsilon,
                Y = Pointer(dy),
                Dx = Pointer(dx),
                AccumulateX = accumulateX,
                Partials = Pointer(partials),
                Work = Pointer(work),
            };
            _workers.For(blocks, &Body, &state);
        }

        if (!dWeight.IsEmpty)
        {
            var sum = Pointer(taps) + size; // [width, columns]
            SumBlocks(Pointer(partials), blocks, (int)size, sum, false);
            var destination = Pointer(dWeight);
            for (var column = 0; column < columns; column++)
            {
                for (var tap = 0; tap < width; tap++)
                {
                    var value = sum[((long)tap * columns) + column];
                    destination[((long)column * width) + tap] = accumulateWeight ? destination[((long)column * width) + tap] + value : value;
                }
            }

            _scratch.Return(partials);
        }

        _scratch.Return(work);
        _scratch.Return(taps);

        static void Body(void* pointer, int index, int worker)
        {
            var state = (ConvolutionState*)pointer;
            int columns = state->Columns, width = state->Width;
            var first = index * ConvolutionRows;
            var end = Math.Min(state->Rows, first + ConvolutionRows);
            var values = state->Work + ((long)worker * (ConvolutionRows + width + 1) * columns);
            var slopes = values + columns;
            var inner = slopes + columns; // gradient of the convolution's output, [rows of the block and the width - 1 after them, columns]
            var sources = stackalloc float*[Operations.ShortConvolution.MaximumWidth];

            var sequence = SequenceOf(state->Starts, state->Sequences, end - 1);
            var needed = Math.Min(end + width - 1, state->Starts[sequence + 1]);
            sequence = SequenceOf(state->Starts, state->Sequences, first);
            for (var row = first; row < needed; row++)
            {
                sequence += row == state->Starts[sequence + 1] ? 1 : 0;
                var firstTap = Sources(state, row, state->Starts[sequence], sources);
                var gradient = inner + ((long)(row - first) * columns);
                InnerGradient(state, sources, firstTap, state->Y + ((long)row * columns), values, slopes, gradient);
                if (state->Partials != null && row < end)
                {
                    AddWeightGradient(state, sources, firstTap, gradient, state->Partials + ((long)index * width * columns), row == first);
                }
            }

            if (state->Dx == null)
            {
                return;
            }

            sequence = SequenceOf(state->Starts, state->Sequences, first);
            for (var row = first; row < end; row++)
            {
                sequence += row == state->Starts[sequence + 1] ? 1 : 0;
                var reach = Math.Min(width, state->Starts[sequence + 1] - row);
                var dx = state->Dx + ((long)row * state->StrideX);
                for (var ahead = 0; ahead < reach; ahead++)
                {
                    sources[width - 1 - ahead] = inner + ((long)(row - first + ahead) * columns);
                }

                var i = 0;
                for (; i <= columns - Lanes.Count; i += Lanes.Count)
                {
                    Lanes.Store(Combine(sources, width - reach, state->Taps, columns, width, i, Lanes.Count), dx + i, Lanes.Count, state->AccumulateX);
                }

                if (i < columns)
                {
                    Lanes.Store(Combine(sources, width - reach, state->Taps, columns, width, i, columns - i), dx + i, columns - i, state->AccumulateX);
                }
            }
        }

        static void InnerGradient(ConvolutionState* state, float** sources, int firstTap, float* dy, float* values, float* slopes, float* gradient)
        {
            int columns = state->Columns, headWidth = state->HeadWidth;
            var column = 0;
            for (; column <= columns - Lanes.Count; column += Lanes.Count)
            {
                Recompute(state, sources, firstTap, dy, values, slopes, gradient, column, Lanes.Count);
            }

            if (column < columns)
            {
                Recompute(state, sources, firstTap, dy, values, slopes, gradient, column, columns - column);
            }

            for (var head = 0; headWidth > 0 && head < columns; head += headWidth)
            {
                var inverse = 1 / MathF.Sqrt(Lanes.Dot(values + head, values + head, headWidth) + state->Epsilon);
                var projection = new Vector<float>(Lanes.Dot(values + head, dy + head, headWidth) * inverse * inverse);
                var scale = new Vector<float>(inverse);
                var i = 0;
                for (; i <= headWidth - Lanes.Count; i += Lanes.Count)
                {
                    Project(dy + head + i, values + head + i, slopes + head + i, projection, scale, gradient + head + i, Lanes.Count);
                }

                if (i < headWidth)
                {
                    Project(dy + head + i, values + head + i, slopes + head + i, projection, scale, gradient + head + i, headWidth - i);
                }
            }
        }

        [MethodImpl(MethodImplOptions.AggressiveInlining)]
        static void Project(float* dy, float* values, float* slopes, Vector<float> projection, Vector<float> scale, float* gradient, int left)
        {
            var difference = Lanes.Load(dy, left) - (Lanes.Load(values, left) * projection);
            Lanes.Store(difference * scale * Lanes.Load(slopes, left), gradient, left);
        }

        [MethodImpl(MethodImplOptions.AggressiveInlining)]
        static void Recompute(
            ConvolutionState* state, float** sources, int firstTap, float* dy, float* values, float* slopes, float* gradient, int i, int left)
        {
            var sum = Combine(sources, firstTap, state->Taps, state->Columns, state->Width, i, left);
            var sigmoid = VectorMath.Sigmoid(sum, out var slope);
            slope = Vector.MultiplyAddEstimate(sum, slope, sigmoid);
            if (state->HeadWidth == 0)
            {
                Lanes.Store(slope * Lanes.Load(dy + i, left), gradient + i, left);
            }
            else
            {
                Lanes.Store(sum * sigmoid, values + i, left);
                Lanes.Store(slope, slopes + i, left);
            }
        }

        static void AddWeightGradient(ConvolutionState* state, float** sources, int firstTap, float* gradient, float* partial, bool isFirst)
        {
            int columns = state->Columns, width = state->Width;
            if (isFirst)
            {
                new Span<float>(partial, columns * width).Clear();
            }

            if (width == 4 && firstTap == 0)
            {
                var column = 0;
                for (; column <= columns - Lanes.Count; column += Lanes.Count)
                {
                    AddFour(gradient, sources, partial, columns, column, Lanes.Count);
                }

                if (column < columns)
                {
                    AddFour(gradient, sources, partial, columns, column, columns - column);
                }

                return;
            }

            for (var tap = firstTap; tap < width; tap++)
            {
                float* source = sources[tap], destination = partial + ((long)tap * columns);
                for (var i = 0; i < columns; i += Lanes.Count)
                {
                    var left = columns - i;
                    AddProduct(Lanes.Load(gradient + i, left), source + i, destination + i, left);
                }
            }
        }

        [MethodImpl(MethodImplOptions.AggressiveInlining)]
        static void AddFour(float* gradient, float** sources, float* partial, int columns, int i, int left)
        {
            var slope = Lanes.Load(gradient + i, left);
            AddProduct(slope, sources[0] + i, partial + i, left);
            AddProduct(slope, sources[1] + i, partial + columns + i, left);
            AddProduct(slope, sources[2] + i, partial + (2L * columns) + i, left);
            AddProduct(slope, sources[3] + i, partial + (3L * columns) + i, left);
        }

        [MethodImpl(MethodImplOptions.AggressiveInlining)]
        static void AddProduct(Vector<float> gradient, float* source, float* destination, int left) =>
            Lanes.Store(Vector.MultiplyAddEstimate(gradient, Lanes.Load(source, left), Lanes.Load(destination, left)), destination, left);
    }

    /// <summary>The sequence that a row lies in.</summary>
    private static int SequenceOf(int* starts, int sequences, int row)
    {
        int low = 0, high = sequences;
        while (high - low > 1)
        {
            var middle = (low + high) / 2;
            if (starts[middle] <= row)
            {
                low = middle;
            }
            else
            {
                high = middle;
            }
        }

        return low;
    }

    /// <summary>The rows under the taps of the convolution at a row, and the first tap that lies inside its sequence.</summary>
    private static int Sources(ConvolutionState* state, int row, int sequenceStart, float** sources)
    {
        var width = state->Width;
        var firstTap = Math.Max(0, width - 1 - (row - sequenceStart));
        for (var tap = firstTap; tap < width; tap++)
        {
            sources[tap] = state->X + ((long)(row - width + 1 + tap) * state->StrideX);
        }

        return firstTap;
    }

    // Width 4 is what models use: unrolled, its sums in the order of the general form.
    [MethodImpl(MethodImplOptions.AggressiveInlining)]
    private static Vector<float> Combine(float** sources, int firstTap, float* taps, int columns, int width, int i, int left)
    {
        if (width != 4 || firstTap != 0)
        {
            return CombineAny(sources, firstTap, taps, columns, width, i, left);
        }

        var sum = Lanes.Load(taps + i, left) * Lanes.Load(sources[0] + i, left);
        sum = Vector.MultiplyAddEstimate(Lanes.Load(taps + columns + i, left), Lanes.Load(sources[1] + i, left), sum);
        sum = Vector.MultiplyAddEstimate(Lanes.Load(taps + (2L * columns) + i, left), Lanes.Load(sources[2] + i, left), sum);
        return Vector.MultiplyAddEstimate(Lanes.Load(taps + (3L * columns) + i, left), Lanes.Load(sources[3] + i, left), sum);
    }

    [MethodImpl(MethodImplOptions.NoInlining)]
    private static Vector<float> CombineAny(float** sources, int firstTap, float* taps, int columns, int width, int i, int left)
    {
        var sum = Lanes.Load(taps + ((long)firstTap * columns) + i, left) * Lanes.Load(sources[firstTap] + i, left);
        for (var tap = firstTap + 1; tap < width; tap++)
        {
            sum = Vector.MultiplyAddEstimate(Lanes.Load(taps + ((long)tap * columns) + i, left), Lanes.Load(sources[tap] + i, left), sum);
        }

        return sum;
    }

    private static void Convolve(float** sources, int firstTap, float* taps, int columns, int width, float* y)
    {
        var i = 0;
        for (; i <= columns - Lanes.Count; i += Lanes.Count)
        {
            At(sources, firstTap, taps, columns, width, y, i, Lanes.Count);
        }

        if (i < columns)
        {
            At(sources, firstTap, taps, columns, width, y, i, columns - i);
        }

        [MethodImpl(MethodImplOptions.AggressiveInlining)]
        static void At(float** sources, int firstTap, float* taps, int columns, int width, float* y, int i, int left)
        {
            var sum = Combine(sources, firstTap, taps, columns, width, i, left);
            Lanes.Store(sum * VectorMath.Sigmoid(sum), y + i, left);
        }
    }

    private static void NormaliseHeads(float* y, int columns, int headWidth, float epsilon)
    {
        for (var head = 0; headWidth > 0 && head < columns; head += headWidth)
        {
            var inverse = 1 / MathF.Sqrt(Lanes.Dot(y + head, y + head, headWidth) + epsilon);
            Lanes.AddScaled(y + head, inverse, y + head, headWidth, false);
        }
    }

    /// <summary>Weight [columns, width] to taps [width, columns].</summary>
    private static void Transpose(float* weight, int columns, int width, float* taps) => MatrixProduct.Transpose(columns, width, weight, taps);

    private struct ConvolutionState
    {
        public float* X;
        public int StrideX;
        public float* Taps;
        public int* Starts;
        public int Sequences;
        public int Rows;
        public int Columns;
        public int Width;
        public int HeadWidth;
        public float Epsilon;
        public float* Y;
        public float* Dx;
        public bool AccumulateX;
        public float* Partials;
        public float* Work;
    }
}
