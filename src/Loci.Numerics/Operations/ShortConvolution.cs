namespace Loci.Numerics.Operations;

/// <summary>One of the neighbouring column ranges that <see cref="ShortConvolution"/> divides its output into.</summary>
/// <param name="Columns">Number of columns.</param>
/// <param name="HeadWidth">Columns of a head if every head is brought to unit length; 0 if the part is not normalised.</param>
public readonly record struct ConvolutionPart(int Columns, int HeadWidth = 0);

/// <summary>
/// The short convolution of a mixer: y = SiLU(causal depthwise convolution of x), and y / sqrt(sum y^2 + epsilon) per head in the parts that ask for it.
/// The last tap lies on the row itself; rows before the start of a sequence are zero. Nothing but x is kept for the backward pass.
/// </summary>
public static class ShortConvolution
{
    /// <summary>The largest width there is a kernel for.</summary>
    public const int MaximumWidth = 8;

    /// <summary>Added to the sum of squares of a head where no other number is given.</summary>
    public const float DefaultEpsilon = 1e-6f;

    /// <summary>Convolves all columns into one output.</summary>
    /// <param name="tape">The step.</param>
    /// <param name="x">[rows, columns].</param>
    /// <param name="weight">[columns, width], width 1 to 8.</param>
    /// <param name="layout">The sequences of the rows; unchanged until the backward pass is over.</param>
    /// <param name="headWidth">Columns of a head if every head is brought to unit length, else 0.</param>
    /// <param name="epsilon">Added to the sum of squares of a head.</param>
    /// <returns>[rows, columns].</returns>
    /// <exception cref="ArgumentException">The shapes do not fit together.</exception>
    public static Tensor Apply(Tape tape, Tensor x, Tensor weight, SequenceLayout layout, int headWidth = 0, float epsilon = DefaultEpsilon)
    {
        ArgumentNullException.ThrowIfNull(x);
        return Run(tape, x, weight, layout, default, new ConvolutionPart(x.Columns, headWidth), default, default, epsilon).First;
    }

    /// <summary>Convolves the columns into three outputs, such as queries, keys and values.</summary>
    /// <param name="tape">The step.</param>
    /// <param name="x">[rows, columns], the columns of the three parts side by side.</param>
    /// <param name="weight">[columns, width], width 1 to 8.</param>
    /// <param name="layout">The sequences of the rows; unchanged until the backward pass is over.</param>
    /// <param name="first">The leftmost part.</param>
    /// <param name="second">The next part.</param>
    /// <param name="third">The last part.</param>
    /// <param name="epsilon">Added to the sum of squares of a head.</param>
    /// <returns>[rows, columns of the part] each.</returns>
    /// <exception cref="ArgumentException">The shapes do not fit together.</exception>
    public static (Tensor First, Tensor Second, Tensor Third) Apply(
        Tape tape, Tensor x, Tensor weight, SequenceLayout layout, ConvolutionPart first, ConvolutionPart second, ConvolutionPart third, float epsilon = DefaultEpsilon)
    {
        RequireColumns(second);
        RequireColumns(third);
        var (y0, y1, y2) = Run(tape, x, weight, layout, default, first, second, third, epsilon);
        return (y0, y1!, y2!);
    }

    /// <summary>Convolves one new row per sequence, for inference.</summary>
    /// <param name="tape">The step; it must not be recording.</param>
    /// <param name="x">[batch, columns].</param>
    /// <param name="weight">[columns, width].</param>
    /// <param name="state">[batch, width - 1, columns]: the rows before, oldest first, zeros at the start of a sequence. It is moved on by one row.</param>
    /// <param name="headWidth">Columns of a head if every head is brought to unit length, else 0.</param>
    /// <param name="epsilon">Added to the sum of squares of a head.</param>
    /// <returns>[batch, columns].</returns>
    /// <exception cref="ArgumentException">The shapes do not fit together.</exception>
    public static Tensor Step(Tape tape, Tensor x, Tensor weight, DeviceSpan<float> state, int headWidth = 0, float epsilon = DefaultEpsilon)
    {
        ArgumentNullException.ThrowIfNull(x);
        RequireState(tape, x, weight, state);
        return Run(tape, x, weight, null, state, new ConvolutionPart(x.Columns, headWidth), default, default, epsilon).First;
    }

    /// <summary>Convolves one new row per sequence into three outputs, for inference; parameters as in the other forms.</summary>
    /// <exception cref="ArgumentException">The shapes do not fit together.</exception>
    public static (Tensor First, Tensor Second, Tensor Third) Step(
        Tape tape, Tensor x, Tensor weight, DeviceSpan<float> state, ConvolutionPart first, ConvolutionPart second, ConvolutionPart third, float epsilon = DefaultEpsilon)
    {
        RequireState(tape, x, weight, state);
        RequireColumns(second);
        RequireColumns(third);
        var (y0, y1, y2) = Run(tape, x, weight, null, state, first, second, third, epsilon);
        return (y0, y1!, y2!);
    }

    private static (Tensor First, Tensor? Second, Tensor? Third) Run(
        Tape tape, Tensor x, Tensor weight, SequenceLayout? layout, DeviceSpan<float> state,
        ConvolutionPart first, ConvolutionPart second, ConvolutionPart third, float epsilon)
    {
        ArgumentNullException.ThrowIfNull(tape);
        ArgumentNullException.ThrowIfNull(x);
        ArgumentNullException.ThrowIfNull(weight);
        ArgumentOutOfRangeException.ThrowIfNegativeOrZero(epsilon);
        RequireColumns(first);
        if (weight.Shape.Rank != 2 || weight.Shape[0] != x.Columns || weight.Columns is < 1 or > MaximumWidth)
        {
            throw new ArgumentException($"The convolution of an input {x.Shape} takes a weight [{x.Columns}, width] with a width of 1 to {MaximumWidth}, not {weight.Shape}.", nameof(weight));
        }

        if (layout is not null && layout.Rows != x.Rows)
        {
            throw new ArgumentException($"The layout has {layout.Rows} rows but the input {x.Shape} has {x.Rows}.", nameof(layout));
        }

        if (first.Columns + second.Columns + third.Columns != x.Columns)
        {
            throw new ArgumentException($"Parts of {first.Columns}, {second.Columns} and {third.Columns} columns do not make up the {x.Columns} columns of the input.", nameof(first));
        }

        RequireHeads(first);
        RequireHeads(second);
        RequireHeads(third);
        var record = tape.IsRecording && layout is not null && (x.RequiresGradient || weight.RequiresGradient);
        var y0 = RunPart(tape, x, weight, layout, state, 0, first, epsilon, record)!;
        var y1 = RunPart(tape, x, weight, layout, state, first.Columns, second, epsilon, record);
        var y2 = RunPart(tape, x, weight, layout, state, first.Columns + second.Columns, third, epsilon, record);
        if (record)
        {
            var node = tape.Record<Node>();
            node.X = x;
            node.Weight = weight;
            node.Layout = layout!;
            node.Epsilon = epsilon;
            node.First = first;
            node.Second = second;
            node.Third = third;
            node.Output = y0;
            node.SecondOutput = y1;
            node.ThirdOutput = y2;
        }

        return (y0, y1, y2);
    }

    private static Tensor? RunPart(
        Tape tape, Tensor x, Tensor weight, SequenceLayout? layout, DeviceSpan<float> state, int offset, ConvolutionPart part, float epsilon, bool record)
    {
        if (part.Columns == 0)
        {
            return null;
        }

        int columns = x.Columns, width = weight.Columns;
        var y = tape.NewOutput(new Shape(x.Rows, part.Columns), record);
        var taps = weight.Data.Slice((long)offset * width, (long)part.Columns * width);
        if (layout is null)
        {
            var rows = width == 1 ? default : state.Slice(offset);
            tape.Device.ShortConvolutionStep(x.Data.Slice(offset), columns, taps, rows, x.Rows, part.Columns, width, part.HeadWidth, epsilon, y.Data);
        }
        else
        {
            tape.Device.ShortConvolution(x.Data.Slice(offset), columns, taps, layout, part.Columns, width, part.HeadWidth, epsilon, y.Data);
        }

        return y;
    }

    private static void RequireColumns(ConvolutionPart part) => ArgumentOutOfRangeException.ThrowIfNegativeOrZero(part.Columns);

    private static void RequireHeads(ConvolutionPart part)
    {
        if (part.HeadWidth < 0 || (part.HeadWidth > 0 && part.Columns % part.HeadWidth != 0))
        {
            throw new ArgumentException($"Heads of {part.HeadWidth} columns do not divide a part of {part.Columns} columns.", nameof(part));
        }
    }

    private static void RequireState(Tape tape, Tensor x, Tensor weight, DeviceSpan<float> state)
    {
        ArgumentNullException.ThrowIfNull(tape);
        ArgumentNullException.ThrowIfNull(x);
        ArgumentNullException.ThrowIfNull(weight);
        if (tape.IsRecording)
        {
            throw new InvalidOperationException("The step form of a convolution has no gradient: use a tape that is not recording.");
        }

        var expected = (long)x.Rows * (weight.Columns - 1) * x.Columns;
        if (state.Length != expected)
        {
            throw new ArgumentException($"The state of a convolution holds batch * (width - 1) * columns = {expected} values, not {state.Length}.", nameof(state));
        }
    }

    private sealed class Node : TapeNode
    {
        public Tensor X { get; set; } = null!;

        public Tensor Weight { get; set; } = null!;

        public SequenceLayout Layout { get; set; } = null!;

        public float Epsilon { get; set; }

        public ConvolutionPart First { get; set; }

        public ConvolutionPart Second { get; set; }

        public ConvolutionPart Third { get; set; }

        public Tensor? SecondOutput { get; set; }

        public Tensor? ThirdOutput { get; set; }

        public override bool HasOutputGradient =>
            Output.HasGradient || SecondOutput is { HasGradient: true } || ThirdOutput is { HasGradient: true };

        public override void Backward(Tape tape)
        {
            var dx = tape.GradientOf(X, out var accumulateX);
            var dWeight = tape.GradientOf(Weight, out var accumulateWeight);
            var complete = Output.HasGradient && SecondOutput is not { HasGradient: false } && ThirdOutput is not { HasGradient: false };
            if (!complete)
            {
                // The columns of a part that nothing used get zeros.
                accumulateX = Start(tape, dx, accumulateX);
                accumulateWeight = Start(tape, dWeight, accumulateWeight);
            }

            Part(tape, 0, First, Output, dx, accumulateX, dWeight, accumulateWeight);
            Part(tape, First.Columns, Second, SecondOutput, dx, accumulateX, dWeight, accumulateWeight);
            Part(tape, First.Columns + Second.Columns, Third, ThirdOutput, dx, accumulateX, dWeight, accumulateWeight);
        }

        public override void ReleaseOutputs(Tape tape)
        {
            base.ReleaseOutputs(tape);
            if (SecondOutput is not null)
            {
                Release(tape, SecondOutput);
            }

            if (ThirdOutput is not null)
            {
                Release(tape, ThirdOutput);
            }
        }

        private static bool Start(Tape tape, DeviceSpan<float> gradient, bool accumulate)
        {
            if (!accumulate && !gradient.IsEmpty)
            {
                tape.Device.Clear(gradient);
            }

            return true;
        }

        private void Part(
            Tape tape, int offset, ConvolutionPart part, Tensor? output, DeviceSpan<float> dx, bool accumulateX, DeviceSpan<float> dWeight, bool accumulateWeight)
        {
            if (output is not { HasGradient: true })
            {
                return;
            }

            int columns = X.Columns, width = Weight.Columns;
            long first = (long)offset * width, count = (long)part.Columns * width;
            tape.Device.ShortConvolutionBackward(
                X.Data.Slice(offset), columns, Weight.Data.Slice(first, count), Layout, part.Columns, width, part.HeadWidth, Epsilon, output.Gradient,
                dx.IsEmpty ? default : dx.Slice(offset), accumulateX, dWeight.IsEmpty ? default : dWeight.Slice(first, count), accumulateWeight);
        }
    }
}
