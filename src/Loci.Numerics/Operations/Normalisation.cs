namespace Loci.Numerics.Operations;

/// <summary>The common operation behind <see cref="RmsNorm"/>, <see cref="GatedRmsNorm"/> and <see cref="L2Normalise"/>.</summary>
internal static class Normalisation
{
    /// <summary>y = x / sqrt(factor * sum x^2 + epsilon) * gain * SiLU(gate), the sum over each group of <paramref name="width"/> columns.</summary>
    public static Tensor Apply(Tape tape, Tensor x, Tensor? gain, Tensor? gate, int width, float factor, float epsilon)
    {
        ArgumentNullException.ThrowIfNull(tape);
        ArgumentNullException.ThrowIfNull(x);
        ArgumentOutOfRangeException.ThrowIfNegativeOrZero(epsilon);
        int rows = x.Rows, columns = x.Columns;
        if (width <= 0 || columns % width != 0)
        {
            throw new ArgumentException($"Groups of {width} columns do not divide the {columns} columns of an input of shape {x.Shape}.", nameof(width));
        }

        if (gain is not null && gain.Shape != new Shape(columns))
        {
            throw new ArgumentException($"The gain of an input {x.Shape} has the shape [{columns}], not {gain.Shape}.", nameof(gain));
        }

        if (gate is not null && gate.Shape != x.Shape)
        {
            throw new ArgumentException($"The gate has the shape of the input {x.Shape}, not {gate.Shape}.", nameof(gate));
        }

        var record = tape.IsRecording && (x.RequiresGradient || gain is { RequiresGradient: true } || gate is { RequiresGradient: true });
        var y = tape.NewOutput(x.Shape, record);
        var inverseRoots = record ? tape.Allocate((long)rows * (columns / width)) : default; // [rows, groups]
        tape.Device.Normalise(
            x.Data, gain?.Data ?? default, gate?.Data ?? default, rows, columns, width, factor, epsilon, y.Data, inverseRoots);
        if (record)
        {
            var node = tape.Record<Node>();
            node.X = x;
            node.Gain = gain;
            node.Gate = gate;
            node.Width = width;
            node.Factor = factor;
            node.InverseRoots = inverseRoots;
            node.Output = y;
        }

        return y;
    }

    private sealed class Node : TapeNode
    {
        public Tensor X { get; set; } = null!;

        public Tensor? Gain { get; set; }

        public Tensor? Gate { get; set; }

        public int Width { get; set; }

        public float Factor { get; set; }

        public DeviceSpan<float> InverseRoots { get; set; }

        public override void Backward(Tape tape)
        {
            bool accumulateGain = false, accumulateGate = false;
            var dx = tape.GradientOf(X, out var accumulateX);
            var dGain = Gain is null ? default : tape.GradientOf(Gain, out accumulateGain);
            var dGate = Gate is null ? default : tape.GradientOf(Gate, out accumulateGate);
            tape.Device.NormaliseBackward(
                X.Data, Gain?.Data ?? default, Gate?.Data ?? default, InverseRoots, Output.Gradient, X.Rows, X.Columns, Width, Factor,
                dx, accumulateX, dGain, accumulateGain, dGate, accumulateGate);
        }

        public override void ReleaseOutputs(Tape tape)
        {
            base.ReleaseOutputs(tape);
            tape.Return(InverseRoots);
            InverseRoots = default;
        }
    }
}
