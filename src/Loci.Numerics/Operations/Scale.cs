namespace Loci.Numerics.Operations;

/// <summary>A multiple: y = factor x.</summary>
public static class Scale
{
    /// <summary>Multiplies.</summary>
    /// <param name="tape">The step.</param>
    /// <param name="x">Input, any shape.</param>
    /// <param name="factor">The factor.</param>
    /// <returns>The shape of <paramref name="x"/>.</returns>
    public static Tensor Apply(Tape tape, Tensor x, float factor)
    {
        ArgumentNullException.ThrowIfNull(tape);
        ArgumentNullException.ThrowIfNull(x);
        var record = tape.IsRecording && x.RequiresGradient;
        var y = tape.NewOutput(x.Shape, record);
        tape.Device.Clear(y.Data);
        tape.Device.AddScaled(x.Data, factor, y.Data);
        if (record)
        {
            var node = tape.Record<Node>();
            node.X = x;
            node.Factor = factor;
            node.Output = y;
        }

        return y;
    }

    private sealed class Node : TapeNode
    {
        public Tensor X { get; set; } = null!;

        public float Factor { get; set; }

        public override void Backward(Tape tape)
        {
            var dx = tape.GradientOf(X, out var accumulate);
            if (!accumulate)
            {
                tape.Device.Clear(dx);
            }

            tape.Device.AddScaled(Output.Gradient, Factor, dx);
        }
    }
}
