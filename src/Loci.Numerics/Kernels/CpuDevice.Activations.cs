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
            case ActivationKind.Tanh:
                Activate<Tanh>(&state);
                break;
            case ActivationKind.SquaredRelu:
                Activate<SquaredRelu>(&state);
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
            case ActivationKind.Tanh:
                ActivateBackward<Tanh>(&state);
                break;
            case ActivationKind.SquaredRelu:
                ActivateBackward<SquaredRelu>(&state);
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
                var i = 0;
                for (; i <= hidden - Lanes.Count; i += Lanes.Count)
                {
                    Gate(x + i, x + hidden + i, y + i, Lanes.Count);
                }

                if (i < hidden)
                {
                    Gate(x + i, x + hidden + i, y + i, hidden - i);
                }
            }
        }

        [MethodImpl(MethodImplOptions.AggressiveInlining)]
        static void Gate(float* a, float* b, float* y, int left)
        {
            var gate = Lanes.Load(a, left);
            Lanes.Store(gate * VectorMath.Sigmoid(gate) * Lanes.Load(b, left), y, left);
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
                var i = 0;
                for (; i <= hidden - Lanes.Count; i += Lanes.Count)
                {
                    GateGradients(x + i, dy + i, dx + i, hidden, Lanes.Count, state->AccumulateX);
                }

                if (i < hidden)
                {
                    GateGradients(x + i, dy + i, dx + i, hidden, hidden - i, state->AccumulateX);
                }
            }
        }

        [MethodImpl(MethodImplOptions.AggressiveInlining)]
        static void GateGradients(float* x, float* dy, float* dx, int hidden, int left, bool accumulate)
        {
            var gate = Lanes.Load(x, left);
            var gradient = Lanes.Load(dy, left);
            var sigmoid = VectorMath.Sigmoid(gate, out var slope);
            var derivative = Vector.MultiplyAddEstimate(gate, slope, sigmoid);
            Lanes.Store(gradient * Lanes.Load(x + hidden, left) * derivative, dx, left, accumulate);
            Lanes.Store(gradient * (gate * sigmoid), dx + hidden, left, accumulate);
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

    private readonly struct Tanh : IActivation
    {
        // (1 - e^-2|x|) / (1 + e^-2|x|) loses digits near 0, where the series to x^9 is exact to the last place.
        [MethodImpl(MethodImplOptions.AggressiveInlining)]
        public static Vector<float> Value(Vector<float> x)
        {
            var a = Vector.Abs(x);
            var e = VectorMath.Exp(a * new Vector<float>(-2f));
            var far = (Vector<float>.One - e) / (Vector<float>.One + e);
            var square = x * x;
            var p = new Vector<float>(62f / 2835);
            p = Vector.MultiplyAddEstimate(p, square, new Vector<float>(-17f / 315));
            p = Vector.MultiplyAddEstimate(p, square, new Vector<float>(2f / 15));
            p = Vector.MultiplyAddEstimate(p, square, new Vector<float>(-1f / 3));
            var near = Vector.MultiplyAddEstimate(p * square, x, x);
            far = Vector.ConditionalSelect(Vector.GreaterThan(x, Vector<float>.Zero), far, -far);
            return Vector.ConditionalSelect(Vector.LessThan(a, new Vector<float>(0.2f)), near, far);
        }

        [MethodImpl(MethodImplOptions.AggressiveInlining)]
        public static Vector<float> Derivative(Vector<float> x)
        {
            // 4 e / (1 + e)^2 with e = e^-2|x|, precise far out on either side.
            VectorMath.Sigmoid(x + x, out var slope);
            return slope * new Vector<float>(4f);
        }
    }

    private readonly struct SquaredRelu : IActivation
    {
        [MethodImpl(MethodImplOptions.AggressiveInlining)]
        public static Vector<float> Value(Vector<float> x)
        {
            var positive = Vector.MaxNative(Vector<float>.Zero, x);
            return positive * positive;
        }

        [MethodImpl(MethodImplOptions.AggressiveInlining)]
        public static Vector<float> Derivative(Vector<float> x)
        {
            var positive = Vector.MaxNative(Vector<float>.Zero, x);
            return positive + positive;
        }
    }

    private readonly struct LogSigmoid : IActivation
    {
        [MethodImpl(MethodImplOptions.AggressiveInlining)]
        public static Vector<float> Value(Vector<float> x) => -VectorMath.Softplus(-x);

        [MethodImpl(MethodImplOptions.AggressiveInlining)]
        public static Vector<float> Derivative(Vector<float> x) => VectorMath.Sigmoid(-x);
    }
}
