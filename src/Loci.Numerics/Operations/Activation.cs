namespace Loci.Numerics.Operations;

/// <summary>Elementwise functions of x, or of x plus one bias per column (which is how gates are computed).</summary>
public static class Activation
{
    /// <summary>x sigmoid(x).</summary>
    public static Tensor Silu(Tape tape, Tensor x, Tensor? bias = null) => Apply(tape, ActivationKind.Silu, x, bias);

    /// <summary>x Phi(x) with the normal distribution function Phi (the exact form).</summary>
    public static Tensor Gelu(Tape tape, Tensor x, Tensor? bias = null) => Apply(tape, ActivationKind.Gelu, x, bias);

    /// <summary>1 / (1 + e^-x).</summary>
    public static Tensor Sigmoid(Tape tape, Tensor x, Tensor? bias = null) => Apply(tape, ActivationKind.Sigmoid, x, bias);

    /// <summary>log(1 + e^x).</summary>
    public static Tensor Softplus(Tape tape, Tensor x, Tensor? bias = null) => Apply(tape, ActivationKind.Softplus, x, bias);

    /// <summary>log sigmoid(x) = -softplus(-x): the logarithm of a decay.</summary>
    public static Tensor LogSigmoid(Tape tape, Tensor x, Tensor? bias = null) => Apply(tape, ActivationKind.LogSigmoid, x, bias);

    /// <summary>The hyperbolic tangent.</summary>
    public static Tensor Tanh(Tape tape, Tensor x, Tensor? bias = null) => Apply(tape, ActivationKind.Tanh, x, bias);

    /// <summary>max(x, 0)^2.</summary>
    public static Tensor SquaredRelu(Tape tape, Tensor x, Tensor? bias = null) => Apply(tape, ActivationKind.SquaredRelu, x, bias);

    /// <summary>Applies a function to every element.</summary>
    /// <param name="tape">The step.</param>
    /// <param name="kind">The function.</param>
    /// <param name="x">Input, any shape.</param>
    /// <param name="bias">Added to every row first where given, [columns].</param>
    /// <returns>The shape of <paramref name="x"/>.</returns>
    /// <exception cref="ArgumentException">The bias does not fit.</exception>
    public static Tensor Apply(Tape tape, ActivationKind kind, Tensor x, Tensor? bias = null)
    {
        ArgumentNullException.ThrowIfNull(tape);
        ArgumentNullException.ThrowIfNull(x);
        if (bias is not null && bias.Shape != new Shape(x.Columns))
        {
            throw new ArgumentException($"The bias of an input {x.Shape} has the shape [{x.Columns}], not {bias.Shape}.", nameof(bias));
        }

        var record = tape.IsRecording && (x.RequiresGradient || bias is { RequiresGradient: true });
        var y = tape.NewOutput(x.Shape, record);
        tape.Device.Activate(kind, x.Data, bias?.Data ?? default, x.Rows, x.Columns, y.Data);
        if (record)
        {
            var node = tape.Record<Node>();
            node.Kind = kind;
            node.X = x;
            node.Bias = bias;
            node.Output = y;
        }

        return y;
    }

    private sealed class Node : TapeNode
    {
        public ActivationKind Kind { get; set; }

        public Tensor X { get; set; } = null!;

        public Tensor? Bias { get; set; }

        public override void Backward(Tape tape)
        {
            var dx = tape.GradientOf(X, out var accumulateX);
            var accumulateBias = false;
            var dBias = Bias is null ? default : tape.GradientOf(Bias, out accumulateBias);
            tape.Device.ActivateBackward(
                Kind, X.Data, Bias?.Data ?? default, Output.Gradient, X.Rows, X.Columns, dx, accumulateX, dBias, accumulateBias);
        }
    }
}
