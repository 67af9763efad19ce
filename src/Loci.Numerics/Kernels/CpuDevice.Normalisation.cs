using System.Numerics;
using Loci.Numerics.Kernels;

namespace Loci.Numerics;

public sealed unsafe partial class CpuDevice
{
    internal override void Normalise(
        DeviceSpan<float> x, DeviceSpan<float> gain, DeviceSpan<float> gate, int rows, int columns, int width, float factor, float epsilon,
        DeviceSpan<float> y, DeviceSpan<float> inverseRoots)
    {
        var state = new NormalisationState
        {
            X = Pointer(x),
            Gain = Pointer(gain),
            Gate = Pointer(gate),
            Rows = rows,
            Columns = columns,
            Width = width,
            Factor = factor,
            Epsilon = epsilon,
            Y = Pointer(y),
            InverseRoots = Pointer(inverseRoots),
        };
        _workers.For(Blocks(rows, RowBlock(columns)), &Body, &state);

        static void Body(void* pointer, int index, int worker)
        {
            var state = (NormalisationState*)pointer;
            int columns = state->Columns, width = state->Width, block = RowBlock(columns);
            var end = Math.Min(state->Rows, (index + 1) * block);
            for (var row = index * block; row < end; row++)
            {
                for (var column = 0; column < columns; column += width)
                {
                    var offset = ((long)row * columns) + column;
                    var x = state->X + offset;
                    var inverseRoot = 1 / MathF.Sqrt((Lanes.Dot(x, x, width) * state->Factor) + state->Epsilon);
                    if (state->InverseRoots != null)
                    {
                        state->InverseRoots[offset / width] = inverseRoot;
                    }

                    var scale = new Vector<float>(inverseRoot);
                    for (var i = 0; i < width; i += Lanes.Count)
                    {
                        var left = width - i;
                        var y = Lanes.Load(x + i, left) * scale;
                        if (state->Gain != null)
                        {
                            y *= Lanes.Load(state->Gain + column + i, left);
                        }

                        if (state->Gate != null)
                        {
                            var gate = Lanes.Load(state->Gate + offset + i, left);
                            y *= gate * VectorMath.Sigmoid(gate);
                        }

                        Lanes.Store(y, state->Y + offset + i, left);
                    }
                }
            }
        }
    }

    internal override void NormaliseBackward(
        DeviceSpan<float> x, DeviceSpan<float> gain, DeviceSpan<float> gate, DeviceSpan<float> inverseRoots, DeviceSpan<float> dy,
        int rows, int columns, int width, float factor,
        DeviceSpan<float> dx, bool accumulateX, DeviceSpan<float> dGain, bool accumulateGain, DeviceSpan<float> dGate, bool accumulateGate)
    {
        var blocks = Blocks(rows, RowBlock(columns));
        var state = new NormalisationState
        {
            X = Pointer(x),
            Gain = Pointer(gain),
            Gate = Pointer(gate),
            Rows = rows,
            Columns = columns,
            Width = width,
            Factor = factor,
            Y = Pointer(dy),
            InverseRoots = Pointer(inverseRoots),
            Dx = Pointer(dx),
            AccumulateX = accumulateX,
            DGate = Pointer(dGate),
            AccumulateGate = accumulateGate,
        };
        DeviceSpan<float> partials = default;
        if (!dGain.IsEmpty)
        {
            partials = _scratch.Rent((long)blocks * columns);
            state.Partials = Pointer(partials);
        }

        _workers.For(blocks, &Body, &state);
        if (!dGain.IsEmpty)
        {
            SumBlocks(state.Partials, blocks, columns, Pointer(dGain), accumulateGain);
            _scratch.Return(partials);
        }

        static void Body(void* pointer, int index, int worker)
        {
            var state = (NormalisationState*)pointer;
            int columns = state->Columns, width = state->Width, block = RowBlock(columns);
            var first = index * block;
            var end = Math.Min(state->Rows, first + block);
            var partial = state->Partials == null ? null : state->Partials + ((long)index * columns);
            for (var row = first; row < end; row++)
            {
                for (var column = 0; column < columns; column += width)
                {
                    BackwardGroup(state, ((long)row * columns) + column, column, partial, row > first);
                }
            }
        }

        static void BackwardGroup(NormalisationState* state, long offset, int column, float* partial, bool addToPartial)
        {
            var width = state->Width;
            float* x = state->X + offset, dy = state->Y + offset;
            var inverseRoot = state->InverseRoots[offset / width];
            var scale = new Vector<float>(inverseRoot);
            var sum = Vector<float>.Zero;
            for (var i = 0; i < width; i += Lanes.Count)
            {
                var left = width - i;
                var normalised = Lanes.Load(x + i, left) * scale;
                var gradient = Lanes.Load(dy + i, left); // of normalised * gain * SiLU(gate), then of its factors in turn
                if (state->Gate != null)
                {
                    var gate = Lanes.Load(state->Gate + offset + i, left);
                    var sigmoid = VectorMath.Sigmoid(gate, out var slope);
                    if (state->DGate != null)
                    {
                        var value = state->Gain == null ? normalised : normalised * Lanes.Load(state->Gain + column + i, left);
                        var derivative = Vector.MultiplyAddEstimate(gate, slope, sigmoid);
                        Lanes.Store(gradient * value * derivative, state->DGate + offset + i, left, state->AccumulateGate);
                    }

                    gradient *= gate * sigmoid;
                }

                if (partial != null)
                {
                    Lanes.Store(gradient * normalised, partial + column + i, left, addToPartial);
                }

                if (state->Gain != null)
                {
                    gradient *= Lanes.Load(state->Gain + column + i, left);
                }

                sum = Vector.MultiplyAddEstimate(gradient, normalised, sum);
            }

            if (state->Dx == null)
            {
                return;
            }

            // dx = inverse root * (gradient - normalised * factor * sum(gradient * normalised))
            var projection = new Vector<float>(Vector.Sum(sum) * state->Factor);
            for (var i = 0; i < width; i += Lanes.Count)
            {
                var left = width - i;
                var normalised = Lanes.Load(x + i, left) * scale;
                var gradient = Lanes.Load(dy + i, left);
                if (state->Gate != null)
                {
                    var gate = Lanes.Load(state->Gate + offset + i, left);
                    gradient *= gate * VectorMath.Sigmoid(gate);
                }

                if (state->Gain != null)
                {
                    gradient *= Lanes.Load(state->Gain + column + i, left);
                }

                Lanes.Store(scale * (gradient - (normalised * projection)), state->Dx + offset + i, left, state->AccumulateX);
            }
        }
    }

    private struct NormalisationState
    {
        public float* X;
        public float* Gain;
        public float* Gate;
        public int Rows;
        public int Columns;
        public int Width;
        public float Factor;
        public float Epsilon;
        public float* Y;
        public float* InverseRoots;
        public float* Dx;
        public bool AccumulateX;
        public float* DGate;
        public bool AccumulateGate;
        public float* Partials;
    }
}
