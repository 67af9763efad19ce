using System.Numerics;
using Loci.Numerics.Kernels;

namespace Loci.Numerics;

public sealed unsafe partial class CpuDevice
{
    internal override void Fill(DeviceSpan<float> destination, float value)
    {
        var state = new ElementwiseState { Destination = Pointer(destination), Count = destination.Length, Scale = value };
        _workers.For(ElementBlocks(destination.Length), &Body, &state);

        static void Body(void* pointer, int index, int worker)
        {
            var state = (ElementwiseState*)pointer;
            var count = BlockAt(state->Count, index, out var first);
            new Span<float>(state->Destination + first, count).Fill(state->Scale);
        }
    }

    internal override void Copy(DeviceSpan<float> source, DeviceSpan<float> destination)
    {
        RequireSameLength(source, destination);
        var state = new ElementwiseState { Source = Pointer(source), Destination = Pointer(destination), Count = source.Length };
        _workers.For(ElementBlocks(source.Length), &Body, &state);

        static void Body(void* pointer, int index, int worker)
        {
            var state = (ElementwiseState*)pointer;
            var count = BlockAt(state->Count, index, out var first);
            new ReadOnlySpan<float>(state->Source + first, count).CopyTo(new Span<float>(state->Destination + first, count));
        }
    }

    internal override void AddScaled(DeviceSpan<float> source, float scale, DeviceSpan<float> destination)
    {
        RequireSameLength(source, destination);
        var state = new ElementwiseState { Source = Pointer(source), Destination = Pointer(destination), Count = source.Length, Scale = scale };
        _workers.For(ElementBlocks(source.Length), &Body, &state);

        static void Body(void* pointer, int index, int worker)
        {
            var state = (ElementwiseState*)pointer;
            var count = BlockAt(state->Count, index, out var first);
            Lanes.AddScaled(state->Source + first, state->Scale, state->Destination + first, count, true);
        }
    }

    internal override void MatrixMultiply(
        bool transposeA, bool transposeB, int m, int n, int k,
        DeviceSpan<float> a, int strideA, DeviceSpan<float> b, int strideB, DeviceSpan<float> c, int strideC, bool accumulate) =>
        MatrixProduct.Multiply(transposeA, transposeB, m, n, k, Pointer(a), strideA, Pointer(b), strideB, Pointer(c), strideC, accumulate, _workers);

    internal override double SumOfSquares(DeviceSpan<float> values) => Reduce(values, &SumOfSquaresBody);

    internal override void Sum(DeviceSpan<float> values, double scale, DeviceSpan<float> destination) =>
        *Pointer(destination) = (float)(scale * Reduce(values, &SumBody));

    internal override void Inspect(DeviceSpan<int> values, out int minimum, out int maximum, out long nonNegative)
    {
        minimum = int.MaxValue;
        maximum = int.MinValue;
        nonNegative = 0;
        var pointer = Pointer(values);
        for (long i = 0; i < values.Length; i++)
        {
            minimum = Math.Min(minimum, pointer[i]);
            maximum = Math.Max(maximum, pointer[i]);
            nonNegative += pointer[i] >= 0 ? 1 : 0;
        }
    }

    /// <summary>Number of fixed blocks that an elementwise kernel splits into.</summary>
    private static int ElementBlocks(long count) => checked((int)((count + ElementBlock - 1) / ElementBlock));

    /// <summary>Elements of a block, and the first of them.</summary>
    private static int BlockAt(long count, int index, out long first)
    {
        first = (long)index * ElementBlock;
        return (int)Math.Min(ElementBlock, count - first);
    }

    /// <summary>Rows of a work item of a kernel that runs over rows of <paramref name="columns"/> values; depends on nothing else.</summary>
    private static int RowBlock(int columns) => Math.Clamp((ElementBlock / 2) / Math.Max(1, columns), 4, 1024);

    private static int Blocks(int rows, int block) => (rows + block - 1) / block;

    private static void RequireSameLength(DeviceSpan<float> source, DeviceSpan<float> destination)
    {
        if (source.Length != destination.Length)
        {
            throw new ArgumentException($"The ranges hold {source.Length} and {destination.Length} elements; they must hold the same number.", nameof(destination));
        }
    }

    /// <summary>destination[columns] = or += the sum of the rows of partials [blocks, columns], in their order.</summary>
    private void SumBlocks(float* partials, int blocks, int columns, float* destination, bool accumulate)
    {
        const int Tile = 1024;
        var state = new SumBlocksState { Partials = partials, Blocks = blocks, Columns = columns, Destination = destination, Accumulate = accumulate };
        _workers.For(Blocks(columns, Tile), &Body, &state);

        static void Body(void* pointer, int index, int worker)
        {
            var state = (SumBlocksState*)pointer;
            var end = Math.Min(state->Columns, (index + 1) * Tile);
            for (var column = index * Tile; column < end; column += Lanes.Count)
            {
                var sum = Vector<float>.Zero;
                for (var block = 0; block < state->Blocks; block++)
                {
                    sum += Lanes.Load(state->Partials + ((long)block * state->Columns) + column, end - column);
                }

                Lanes.Store(sum, state->Destination + column, end - column, state->Accumulate);
            }
        }
    }

    private double Reduce(DeviceSpan<float> values, delegate*<void*, int, int, void> body)
    {
        var blocks = ElementBlocks(values.Length);
        var scratch = _scratch.Rent(2 * blocks);
        var partials = (double*)Pointer(scratch);
        var state = new ReduceState { Source = Pointer(values), Count = values.Length, Partials = partials };
        _workers.For(blocks, body, &state);
        double sum = 0;
        for (var block = 0; block < blocks; block++)
        {
            sum += partials[block];
        }

        _scratch.Return(scratch);
        return sum;
    }

    private static void SumOfSquaresBody(void* pointer, int index, int worker)
    {
        var state = (ReduceState*)pointer;
        var count = BlockAt(state->Count, index, out var first);
        var source = state->Source + first;
        Vector<double> low = Vector<double>.Zero, high = Vector<double>.Zero;
        for (var i = 0; i < count; i += Lanes.Count)
        {
            Vector.Widen(Lanes.Load(source + i, count - i), out var lower, out var upper);
            low = Vector.MultiplyAddEstimate(lower, lower, low);
            high = Vector.MultiplyAddEstimate(upper, upper, high);
        }

        state->Partials[index] = Vector.Sum(low + high);
    }

    private static void SumBody(void* pointer, int index, int worker)
    {
        var state = (ReduceState*)pointer;
        var count = BlockAt(state->Count, index, out var first);
        var source = state->Source + first;
        Vector<double> low = Vector<double>.Zero, high = Vector<double>.Zero;
        for (var i = 0; i < count; i += Lanes.Count)
        {
            Vector.Widen(Lanes.Load(source + i, count - i), out var lower, out var upper);
            low += lower;
            high += upper;
        }

        state->Partials[index] = Vector.Sum(low + high);
    }

    private struct ElementwiseState
    {
        public float* Source;
        public float* Destination;
        public long Count;
        public float Scale;
    }

    private struct ReduceState
    {
        public float* Source;
        public long Count;
        public double* Partials;
    }

    private struct SumBlocksState
    {
        public float* Partials;
        public int Blocks;
        public int Columns;
        public float* Destination;
        public bool Accumulate;
    }
}
