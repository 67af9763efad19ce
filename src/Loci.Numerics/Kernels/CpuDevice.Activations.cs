using System.Numerics;
using System.Runtime.CompilerServices;
using Loci.Numerics.Kernels;

namespace Loci.Numerics;

public sealed unsafe partial class CpuDevice
{
    private interface IActivation
    {
        static abstract Vector<float> Value(Vector<float> x);

        static abstract Vector<float> Derivative(Vector<float> x);
    }

    internal override void Activate(ActivationKind kind, DeviceSpan<float> x, DeviceSpan<float> bias, int rows, int columns, DeviceSpan<float> y)
    {
        var state = new ActivationState { X = Pointer(x), Bias = Pointer(bias), Rows = rows, Columns = columns, Y = Pointer(y) };
        switch (kind)
        {
            case ActivationKind.Silu:
                Activate<Silu>(&state);
                break;
            case ActivationKind.Gelu:
                Activate<Gelu>(&state);
                break;
            case ActivationKind.Sigmoid:
                Activate<Sigmoid>(&state);
                break;
            case ActivationKind.Softplus:
                Activate<Softplus>(&state);
                break;
            default:
                Activate<LogSigmoid>(&state);
                break;
        }
    }

    internal override void ActivateBackward(
        ActivationKind kind, DeviceSpan<float> x, DeviceSpan<float> bias, DeviceSpan<float> dy, int rows, int columns,
        DeviceSpan<float> dx, bool accumulateX, DeviceSpan<float> dBias, bool accumulateBias)
    {
        var state = new ActivationState
        {
            X = Pointer(x),
            Bias = Pointer(bias),
            Rows = rows,
            Columns = columns,
            Y = Pointer(dy),
            Dx = Pointer(dx),
            AccumulateX = accumulateX,
        };
        var blocks = Blocks(rows, RowBlock(columns));
        DeviceSpan<float> scratch = default;
        if (!dBias.IsEmpty)
        {
            scratch = _scratch.Rent((long)blocks * columns);
            state.Partials = Pointer(scratch);
        }

        switch (kind)
        {
            case ActivationKind.Silu:
                ActivateBackward<Silu>(&state);
                break;
            case ActivationKind.Gelu:
                ActivateBackward<Gelu>(&state);
                break;
            case ActivationKind.Sigmoid:
                ActivateBackward<Sigmoid>(&state);
                break;
            case ActivationKind.Softplus:
                ActivateBackward<Softplus>(&state);
                break;
            default:
                ActivateBackward<LogSigmoid>(&state);
                break;
        }

        if (!dBias.IsEmpty)
        {
            SumBlocks(state.Partials, blocks, columns, Pointer(dBias), accumulateBias);
            _scratch.Return(scratch);
        }
    }

    internal override void SwiGlu(DeviceSpan<float> x, int rows, int hidden, DeviceSpan<float> y)
    {
        var state = new ActivationState { X = Pointer(x), Rows = rows, Columns = hidden, Y = Pointer(y) };
        _workers.For(Blocks(rows, RowBlock(hidden)), &Body, &state);

        static void Body(void* pointer, int index, int worker)
        {
            var state = (ActivationState*)pointer;
            var hidden = state->Columns;
            var block = RowBlock(hidden);
            var end = Math.Min(state->Rows, (index + 1) * block);
            for (var row = index * block; row < end; row++)
            {
                var x = state->X + (2L * row * hidden);
                var y = state->Y + ((long)row * hidden);
                for (var i = 0; i < hidden; i += Lanes.Count)
                {
                    var gate = Lanes.Load(x + i, hidden - i);
                    Lanes.Store(gate * VectorMath.Sigmoid(gate) * Lanes.Load(x + hidden + i, hidden - i), y + i, hidden - i);
                }
            }
        }
    }

    internal override void SwiGluBackward(DeviceSpan<float> x, DeviceSpan<float> dy, int rows, int hidden, DeviceSpan<float> dx, bool accumulate)
    {
        var state = new ActivationState { X = Pointer(x), Rows = rows, Columns = hidden, Y = Pointer(dy), Dx = Pointer(dx), AccumulateX = accumulate };
        _workers.For(Blocks(rows, RowBlock(hidden)), &Body, &state);

        static void Body(void* pointer, int index, int worker)
        {
            var state = (ActivationState*)pointer;
            var hidden = state->Columns;
            var block = RowBlock(hidden);
            var end = Math.Min(state->Rows, (index + 1) * block);
            for (var row = index * block; row < end; row++)
            {
                var x = state->X + (2L * row * hidden);
                var dx = state->Dx + (2L * row * hidden);
                var dy = state->Y + ((long)row * hidden);
                for (var i = 0; i < hidden; i += Lanes.Count)
                {
                    var left = hidden - i;
                    var gate = Lanes.Load(x + i, left);
                    var gradient = Lanes.Load(dy + i, left);
                    var sigmoid = VectorMath.Sigmoid(gate, out var slope);
                    var derivative = Vector.MultiplyAddEstimate(gate, slope, sigmoid);
                    Lanes.Store(gradient * Lanes.Load(x + hidden + i, left) * derivative, dx + i, left, state->AccumulateX);
                    Lanes.Store(gradient * (gate * sigmoid), dx + hidden + i, left, state->AccumulateX);
                }
            }
        }
    }

    private void Activate<T>(ActivationState* state) where T : struct, IActivation
    {
        if (state->Bias == null)
        {
            _workers.For(ElementBlocks((long)state->Rows * state->Columns), &Flat, state);
        }
        else
        {
            _workers.For(Blocks(state->Rows, RowBlock(state->Columns)), &WithBias, state);
        }

        static void Flat(void* pointer, int index, int worker)
        {
            var state = (ActivationState*)pointer;
            var count = BlockAt((long)state->Rows * state->Columns, index, out var first);
            float* x = state->X + first, y = state->Y + first;
            for (var i = 0; i < count; i += Lanes.Count)
            {
                Lanes.Store(T.Value(Lanes.Load(x + i, count - i)), y + i, count - i);
            }
        }

        static void WithBias(void* pointer, int index, int worker)
        {
            var state = (ActivationState*)pointer;
            var columns = state->Columns;
            var block = RowBlock(columns);
            var end = Math.Min(state->Rows, (index + 1) * block);
            for (var row = index * block; row < end; row++)
            {
                float* x = state->X + ((long)row * columns), y = state->Y + ((long)row * columns);
                for (var i = 0; i < columns; i += Lanes.Count)
                {
                    var left = columns - i;
                    Lanes.Store(T.Value(Lanes.Load(x + i, left) + Lanes.Load(state->Bias + i, left)), y + i, left);
                }
            }
        }
    }

    private void ActivateBackward<T>(ActivationState* state) where T : struct, IActivation
    {
        if (state->Bias == null)
        {
            _workers.For(ElementBlocks((long)state->Rows * state->Columns), &Flat, state);
        }
        else
        {
            _workers.For(Blocks(state->Rows, RowBlock(state->Columns)), &WithBias, state);
        }

        static void Flat(void* pointer, int index, int worker)
        {
            var state = (ActivationState*)pointer;
            var count = BlockAt((long)state->Rows * state->Columns, index, out var first);
            float* x = state->X + first, dy = state->Y + first, dx = state->Dx + first;
            for (var i = 0; i < count; i += Lanes.Count)
            {
                var left = count - i;
                Lanes.Store(T.Derivative(Lanes.Load(x + i, left)) * Lanes.Load(dy + i, left), dx + i, left, state->AccumulateX);
            }
        }

        static void WithBias(void* pointer, int index, int worker)
        {
            var state = (ActivationState*)pointer;
            var columns = state->Columns;
            var block = RowBlock(columns);
            var end = Math.Min(state->Rows, (index + 1) * block);
            var partial = state->Partials == null ? null : state->Partials + ((long)index * columns);
            for (var row = index * block; row < end; row++)
            {
                var offset = (long)row * columns;
                for (var i = 0; i < columns; i += Lanes.Count)
                {
                    var left = columns - i;
                    var sum = Lanes.Load(state->X + offset + i, left) + Lanes.Load(state->Bias + i, left);
                    var gradient = T.Derivative(sum) * Lanes.Load(state->Y + offset + i, left);
                    if (state->Dx != null)
                    {
                        Lanes.Store(gradient, state->Dx + offset + i, left, state->AccumulateX);
                    }

                    if (partial != null)
                    {
                        Lanes.Store(gradient, partial + i, left, row > index * block);
                    }
                }
            }
        }
    }

    private struct ActivationState
    {
        public float* X;
        public float* Bias;
        public int Rows;
        public int Columns;
        public float* Y;
        public float* Dx;
        public bool AccumulateX;
        public float* Partials;
    }

    private readonly struct Silu : IActivation
    {
        [MethodImpl(MethodImplOptions.AggressiveInlining)]
        public static Vector<float> Value(Vector<float> x) => x * VectorMath.Sigmoid(x);

        [MethodImpl(MethodImplOptions.AggressiveInlining)]
        public static Vector<float> Derivative(Vector<float> x)
        {
            var sigmoid = VectorMath.Sigmoid(x, out var slope);
            return Vector.MultiplyAddEstimate(x, slope, sigmoid);
        }
    }

    private readonly struct Gelu : IActivation
    {
        [MethodImpl(MethodImplOptions.AggressiveInlining)]
        public static Vector<float> Value(Vector<float> x) => x * VectorMath.NormalDistribution(x, out _);

        [MethodImpl(MethodImplOptions.AggressiveInlining)]
        public static Vector<float> Derivative(Vector<float> x)
        {
            var distribution = VectorMath.NormalDistribution(x, out var density);
            return Vector.MultiplyAddEstimate(x, density, distribution);
        }
    }

    private readonly struct Sigmoid : IActivation
    {
        [MethodImpl(MethodImplOptions.AggressiveInlining)]
        public static Vector<float> Value(Vector<float> x) => VectorMath.Sigmoid(x);

        [MethodImpl(MethodImplOptions.AggressiveInlining)]
        public static Vector<float> Derivative(Vector<float> x)
        {
            VectorMath.Sigmoid(x, out var slope);
            return slope;
        }
    }

    private readonly struct Softplus : IActivation
    {
        [MethodImpl(MethodImplOptions.AggressiveInlining)]
        public static Vector<float> Value(Vector<float> x) => VectorMath.Softplus(x);

        [MethodImpl(MethodImplOptions.AggressiveInlining)]
        public static Vector<float> Derivative(Vector<float> x) => VectorMath.Sigmoid(x);
    }

    private readonly struct LogSigmoid : IActivation
    {
        [MethodImpl(MethodImplOptions.AggressiveInlining)]
        public static Vector<float> Value(Vector<float> x) => -VectorMath.Softplus(-x);

        [MethodImpl(MethodImplOptions.AggressiveInlining)]
        public static Vector<float> Derivative(Vector<float> x) => VectorMath.Sigmoid(-x);
    }
}
