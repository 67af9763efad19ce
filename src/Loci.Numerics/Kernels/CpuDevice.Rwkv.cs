using System.Numerics;
using Loci.Numerics.Kernels;

namespace Loci.Numerics;

public sealed unsafe partial class CpuDevice
{
    internal override void ShiftTokens(
        DeviceSpan<float> x, DeviceSpan<float> previous, DeviceSpan<float> share, SequenceLayout layout, int columns, int mixtures, DeviceSpan<float> y)
    {
        fixed (int* starts = layout.Starts)
        {
            var state = new RwkvWork
            {
                A = Pointer(x),
                B = Pointer(previous),
                C = Pointer(share),
                Y = Pointer(y),
                Starts = starts,
                Sequences = layout.Count,
                Rows = layout.Rows,
                Columns = columns,
                Width = mixtures,
            };
            _workers.For(Blocks(layout.Rows, RowBlock(columns)), &Body, &state);
        }

        static void Body(void* pointer, int index, int worker)
        {
            var state = (RwkvWork*)pointer;
            int columns = state->Columns, block = RowBlock(columns);
            int first = index * block, end = Math.Min(state->Rows, first + block);
            var sequence = SequenceOf(state->Starts, state->Sequences, first);
            for (var row = first; row < end; row++)
            {
                sequence += row == state->Starts[sequence + 1] ? 1 : 0;
                var x = state->A + ((long)row * columns);
                var before = row > state->Starts[sequence] ? x - columns : sequence == 0 ? state->B : null;
                for (var i = 0; i < state->Width; i++)
                {
                    Mix(x, before, state->C + ((long)i * columns), state->Y + ((((long)i * state->Rows) + row) * columns), columns);
                }
            }
        }

        static void Mix(float* x, float* before, float* share, float* y, int columns)
        {
            for (var i = 0; i < columns; i += Lanes.Count)
            {
                var left = columns - i;
                var now = Lanes.Load(x + i, left);
                var past = before == null ? Vector<float>.Zero : Lanes.Load(before + i, left);
                Lanes.Store(Vector.FusedMultiplyAdd(past - now, Lanes.Load(share + i, left), now), y + i, left);
            }
        }
    }

    internal override void LayerNormalise(
        DeviceSpan<float> x, DeviceSpan<float> gain, DeviceSpan<float> bias, int rows, int columns, int width, float epsilon, DeviceSpan<float> y)
    {
        var state = new RwkvWork
        {
            A = Pointer(x),
            B = Pointer(gain),
            C = Pointer(bias),
            Y = Pointer(y),
            Rows = rows,
            Columns = columns,
            Width = width,
            Epsilon = epsilon,
        };
        _workers.For(Blocks(rows, RowBlock(columns)), &Body, &state);

        static void Body(void* pointer, int index, int worker) => ForGroups((RwkvWork*)pointer, index, &Group);

        static void Group(RwkvWork* state, long offset, int column) =>
            Normalise(state->A + offset, state->B + column, state->C + column, state->Width, state->Epsilon, state->Y + offset);

        static void Normalise(float* x, float* gain, float* bias, int width, float epsilon, float* y)
        {
            var sum = Vector<float>.Zero;
            for (var i = 0; i < width; i += Lanes.Count)
            {
                sum += Lanes.Load(x + i, width - i);
            }

            var mean = Vector.Sum(sum) / width;
            Vector<float> means = new(mean), squares = Vector<float>.Zero;
            for (var i = 0; i < width; i += Lanes.Count)
            {
                var difference = Lanes.Load(x + i, width - i, mean) - means;
                squares = Vector.FusedMultiplyAdd(difference, difference, squares);
            }

            var scale = new Vector<float>(1 / MathF.Sqrt((Vector.Sum(squares) / width) + epsilon));
            for (var i = 0; i < width; i += Lanes.Count)
            {
                var left = width - i;
                var normalised = (Lanes.Load(x + i, left) - means) * scale;
                Lanes.Store(Vector.FusedMultiplyAdd(normalised, Lanes.Load(gain + i, left), Lanes.Load(bias + i, left)), y + i, left);
            }
        }
    }

    internal override void MultiplyAdd(DeviceSpan<float> a, DeviceSpan<float> b, DeviceSpan<float> c, DeviceSpan<float> y)
    {
        RequireSameLength(a, b);
        RequireSameLength(a, y);
        RequireSameLength(a, c.IsEmpty ? a : c);
        var state = new RwkvWork { A = Pointer(a), B = Pointer(b), C = Pointer(c), Y = Pointer(y), Count = a.Length };
        _workers.For(ElementBlocks(a.Length), &Body, &state);

        static void Body(void* pointer, int index, int worker)
        {
            var state = (RwkvWork*)pointer;
            var count = BlockAt(state->Count, index, out var first);
            for (var i = first; i < first + count; i += Lanes.Count)
            {
                var left = first + count - i;
                var sum = state->C == null ? Vector<float>.Zero : Lanes.Load(state->C + i, left);
                Lanes.Store(Vector.FusedMultiplyAdd(Lanes.Load(state->A + i, left), Lanes.Load(state->B + i, left), sum), state->Y + i, left);
            }
        }
    }

    internal override void DivideKeys(
        DeviceSpan<float> k, DeviceSpan<float> rate, DeviceSpan<float> removal, DeviceSpan<float> replacement, int rows, int heads, int width,
        DeviceSpan<float> removed, DeviceSpan<float> written)
    {
        var state = new RwkvWork
        {
            A = Pointer(k),
            B = Pointer(rate),
            C = Pointer(removal),
            D = Pointer(replacement),
            Y = Pointer(removed),
            Z = Pointer(written),
            Rows = rows,
            Columns = heads * width,
            Width = width,
        };
        _workers.For(Blocks(rows, RowBlock(state.Columns)), &Body, &state);

        static void Body(void* pointer, int index, int worker) => ForGroups((RwkvWork*)pointer, index, &Group);

        static void Group(RwkvWork* state, long offset, int column)
        {
            var width = state->Width;
            float* k = state->A + offset, removed = state->Y + offset;
            Blas1.Multiply(k, state->C + column, removed, width);

            // A key of zeros removes nothing.
            Blas1.Scale(1 / MathF.Max(MathF.Sqrt(Lanes.Dot(removed, removed, width)), 1e-12f), removed, removed, width);
            Write(k, state->B + offset, state->D + column, width, state->Z + offset);
        }

        static void Write(float* k, float* rate, float* replacement, int width, float* written)
        {
            for (var i = 0; i < width; i += Lanes.Count)
            {
                var left = width - i;
                var factor = Vector.FusedMultiplyAdd(Lanes.Load(rate + i, left) - Vector<float>.One, Lanes.Load(replacement + i, left), Vector<float>.One);
                Lanes.Store(Lanes.Load(k + i, left) * factor, written + i, left);
            }
        }
    }

    internal override void AddOwnValue(
        DeviceSpan<float> q, DeviceSpan<float> k, DeviceSpan<float> gain, DeviceSpan<float> v, int rows, int heads, int width, DeviceSpan<float> y)
    {
        var state = new RwkvWork
        {
            A = Pointer(q),
            B = Pointer(k),
            C = Pointer(gain),
            D = Pointer(v),
            Y = Pointer(y),
            Rows = rows,
            Columns = heads * width,
            Width = width,
        };
        _workers.For(Blocks(rows, RowBlock(state.Columns)), &Body, &state);

        static void Body(void* pointer, int index, int worker) => ForGroups((RwkvWork*)pointer, index, &Group);

        static void Group(RwkvWork* state, long offset, int column) =>
            Blas1.AddScaled(Product(state->A + offset, state->B + offset, state->C + column, state->Width), state->D + offset, state->Y + offset, state->Width);

        static float Product(float* q, float* k, float* gain, int width)
        {
            var sum = Vector<float>.Zero;
            for (var i = 0; i < width; i += Lanes.Count)
            {
                var left = width - i;
                sum = Vector.FusedMultiplyAdd(Lanes.Load(q + i, left) * Lanes.Load(k + i, left), Lanes.Load(gain + i, left), sum);
            }

            return Vector.Sum(sum);
        }
    }

    /// <summary>Every group of columns (head) of a block of rows.</summary>
    private static void ForGroups(RwkvWork* state, int index, delegate*<RwkvWork*, long, int, void> group)
    {
        int columns = state->Columns, block = RowBlock(columns);
        var end = Math.Min(state->Rows, (index + 1) * block);
        for (var row = index * block; row < end; row++)
        {
            for (var column = 0; column < columns; column += state->Width)
            {
                group(state, ((long)row * columns) + column, column);
            }
        }
    }

    private struct RwkvWork
    {
        public float* A;
        public float* B;
        public float* C;
        public float* D;
        public float* Y;
        public float* Z;
        public int* Starts;
        public int Sequences;
        public int Rows;
        public int Columns;
        public int Width;
        public float Epsilon;
        public long Count;
    }
}
