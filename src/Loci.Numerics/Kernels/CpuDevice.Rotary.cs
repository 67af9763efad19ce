using System.Numerics;
using Loci.Numerics.Kernels;

namespace Loci.Numerics;

public sealed unsafe partial class CpuDevice
{
    internal override void Rotate(
        DeviceSpan<float> x, DeviceSpan<float> table, SequenceLayout layout, ReadOnlySpan<int> offsets, int columns, int headWidth, bool inverse,
        DeviceSpan<float> y, bool accumulate)
    {
        fixed (int* starts = layout.Starts, first = offsets)
        {
            var state = new RotaryState
            {
                X = Pointer(x),
                Table = Pointer(table),
                Starts = starts,
                Sequences = layout.Count,
                Rows = layout.Rows,
                Offsets = first,
                OffsetStep = offsets.Length > 1 ? 1 : 0,
                Columns = columns,
                HeadWidth = headWidth,
                Direction = inverse ? -1 : 1,
                Y = Pointer(y),
                Accumulate = accumulate,
            };
            _workers.For(Blocks(layout.Rows, RowBlock(columns)), &Body, &state);
        }

        static void Body(void* pointer, int index, int worker)
        {
            var state = (RotaryState*)pointer;
            int columns = state->Columns, headWidth = state->HeadWidth, half = headWidth / 2, block = RowBlock(columns);
            var end = Math.Min(state->Rows, (index + 1) * block);
            var sequence = SequenceOf(state->Starts, state->Sequences, index * block);
            var direction = new Vector<float>(state->Direction);
            for (var row = index * block; row < end; row++)
            {
                sequence += row == state->Starts[sequence + 1] ? 1 : 0;
                var position = row - state->Starts[sequence] + state->Offsets[sequence * state->OffsetStep];
                var cosines = state->Table + ((long)position * headWidth);
                for (var head = 0; head < columns; head += headWidth)
                {
                    var offset = ((long)row * columns) + head;
                    for (var i = 0; i < half; i += Lanes.Count)
                    {
                        var left = half - i;
                        var cosine = Lanes.Load(cosines + i, left);
                        var sine = Lanes.Load(cosines + half + i, left) * direction;
                        var first = Lanes.Load(state->X + offset + i, left);
                        var second = Lanes.Load(state->X + offset + half + i, left);
                        Lanes.Store((first * cosine) - (second * sine), state->Y + offset + i, left, state->Accumulate);
                        Lanes.Store((first * sine) + (second * cosine), state->Y + offset + half + i, left, state->Accumulate);
                    }
                }
            }
        }
    }

    private struct RotaryState
    {
        public float* X;
        public float* Table;
        public int* Starts;
        public int Sequences;
        public int Rows;
        public int* Offsets;
        public int OffsetStep;
        public int Columns;
        public int HeadWidth;
        public float Direction;
        public float* Y;
        public bool Accumulate;
    }
}
