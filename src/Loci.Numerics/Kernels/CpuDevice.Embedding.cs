using Loci.Numerics.Kernels;

namespace Loci.Numerics;

public sealed unsafe partial class CpuDevice
{
    // The table's rows are dealt out in turn, because frequent tokens often have neighbouring ids.
    private const int EmbeddingParts = 32;

    internal override void Embed(DeviceSpan<int> ids, DeviceSpan<float> table, int columns, DeviceSpan<float> y)
    {
        var state = new EmbeddingState { Ids = Pointer(ids), Rows = checked((int)ids.Length), Columns = columns, Table = Pointer(table), Y = Pointer(y) };
        _workers.For(Blocks(state.Rows, RowBlock(columns)), &Body, &state);

        static void Body(void* pointer, int index, int worker)
        {
            var state = (EmbeddingState*)pointer;
            var columns = state->Columns;
            var block = RowBlock(columns);
            var end = Math.Min(state->Rows, (index + 1) * block);
            for (var row = index * block; row < end; row++)
            {
                var source = state->Table + ((long)state->Ids[row] * columns);
                new ReadOnlySpan<float>(source, columns).CopyTo(new Span<float>(state->Y + ((long)row * columns), columns));
            }
        }
    }

    internal override void EmbedBackward(
        DeviceSpan<int> ids, DeviceSpan<float> dy, int vocabulary, int columns, DeviceSpan<float> dTable, bool accumulate)
    {
        var state = new EmbeddingState
        {
            Ids = Pointer(ids),
            Rows = checked((int)ids.Length),
            Columns = columns,
            Vocabulary = vocabulary,
            Table = Pointer(dTable),
            Y = Pointer(dy),
            Accumulate = accumulate,
        };
        _workers.For(Math.Min(vocabulary, EmbeddingParts), &Body, &state);

        static void Body(void* pointer, int index, int worker)
        {
            var state = (EmbeddingState*)pointer;
            var columns = state->Columns;
            var parts = Math.Min(state->Vocabulary, EmbeddingParts);
            for (var id = index; !state->Accumulate && id < state->Vocabulary; id += parts)
            {
                new Span<float>(state->Table + ((long)id * columns), columns).Clear();
            }

            for (var row = 0; row < state->Rows; row++)
            {
                var id = state->Ids[row];
                if ((uint)id % (uint)parts == (uint)index)
                {
                    Lanes.AddScaled(state->Y + ((long)row * columns), 1, state->Table + ((long)id * columns), columns, true);
                }
            }
        }
    }

    private struct EmbeddingState
    {
        public int* Ids;
        public int Rows;
        public int Columns;
        public int Vocabulary;
        public float* Table;
        public float* Y;
        public bool Accumulate;
    }
}
