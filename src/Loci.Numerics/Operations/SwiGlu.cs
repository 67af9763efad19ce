namespace Loci.Numerics.Operations;

/// <summary>The gate of a SwiGLU layer: y = SiLU(a) * b, where a is the left and b the right half of the columns.</summary>
public static class SwiGlu
{
    /// <summary>Applies the gate.</summary>
    /// <param name="tape">The step.</param>
    /// <param name="x">[rows, 2 hidden]: a, then b.</param>
    /// <returns>[rows, hidden].</returns>
    /// <exception cref="ArgumentException">The number of columns is odd.</exception>
    public static Tensor Apply(Tape tape, Tensor x)
    {
        ArgumentNullException.ThrowIfNull(tape);
        ArgumentNullException.ThrowIfNull(x);
        if (x.Columns % 2 != 0)
        {
            throw new ArgumentException($"SwiGLU takes an even number of columns, its gate and its value, not an input of shape {x.Shape}.", nameof(x));
        }

        var record = tape.IsRecording && x.RequiresGradient;
        var y = tape.NewOutput(new Shape(x.Rows, x.Columns / 2), record);
        tape.Device.SwiGlu(x.Data, x.Rows, x.Columns / 2, y.Data);
        if (record)
        {
            var node = tape.Record<Node>();
            node.X = x;
            node.Output = y;
        }

        return y;
    }

    private sealed class Node : TapeNode
    {
        public Tensor X { get; set; } = null!;

        public override void Backward(Tape tape)
        {
            var dx = tape.GradientOf(X, out var accumulate);
            tape.Device.SwiGluBackward(X.Data, Output.Gradient, X.Rows, X.Columns / 2, dx, accumulate);
        }
    }
}
