namespace Loci.Numerics.Operations;

/// <summary>
/// The decay of a state-space recurrence: log a = -Delta exp(r) with a step size Delta per row and head and a learned log rate r per head
/// (Mamba-2, Dao and Gu, arXiv 2405.21060, where r is A_log).
/// </summary>
public static class RateDecay
{
    /// <summary>Computes the decay.</summary>
    /// <param name="tape">The step.</param>
    /// <param name="stepSize">Delta, at least 0, [rows, H].</param>
    /// <param name="logRate">r, [H].</param>
    /// <returns>log a, at most 0, [rows, H].</returns>
    /// <exception cref="ArgumentException">The shapes do not fit together.</exception>
    public static Tensor Apply(Tape tape, Tensor stepSize, Tensor logRate)
    {
        ArgumentNullException.ThrowIfNull(tape);
        ArgumentNullException.ThrowIfNull(stepSize);
        ArgumentNullException.ThrowIfNull(logRate);
        if (logRate.Shape != new Shape(stepSize.Columns))
        {
            throw new ArgumentException($"Step sizes {stepSize.Shape} take log rates of shape [{stepSize.Columns}], not {logRate.Shape}.", nameof(logRate));
        }

        var record = tape.IsRecording && (stepSize.RequiresGradient || logRate.RequiresGradient);
        var y = tape.NewOutput(stepSize.Shape, record);
        tape.Device.RateDecay(stepSize.Data, logRate.Data, stepSize.Rows, stepSize.Columns, y.Data);
        if (record)
        {
            var node = tape.Record<Node>();
            node.StepSize = stepSize;
            node.LogRate = logRate;
            node.Output = y;
        }

        return y;
    }

    private sealed class Node : TapeNode
    {
        public Tensor StepSize { get; set; } = null!;

        public Tensor LogRate { get; set; } = null!;

        public override void Backward(Tape tape)
        {
            var dStepSize = tape.GradientOf(StepSize, out var addStepSize);
            var dLogRate = tape.GradientOf(LogRate, out var addLogRate);
            tape.Device.RateDecayBackward(
                LogRate.Data, Output.Data, Output.Gradient, StepSize.Rows, StepSize.Columns, dStepSize, addStepSize, dLogRate, addLogRate);
        }
    }
}
