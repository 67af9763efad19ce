using Loci.Numerics;

namespace Loci.Memory.Rules.ScalarGated;

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
            throw new ArgumentException(
                $"Step sizes {stepSize.Shape} take log rates of shape [{stepSize.Columns}], not {logRate.Shape}.", nameof(logRate));
        }

        var record = tape.IsRecording && (stepSize.RequiresGradient || logRate.RequiresGradient);
        var y = tape.NewOutput(stepSize.Shape, record);
        var arguments = new RateDecayArguments
        {
            Rows = stepSize.Rows,
            Columns = stepSize.Columns,
            StepSize = stepSize,
            LogRate = logRate,
            Output = y,
        };
        tape.Device.Launch<RateDecayKernel.Forward, RateDecayArguments>(arguments);
        if (record)
        {
            var node = tape.Record<Node>();
            node.Set(arguments, stepSize, logRate);
            node.Output = y;
        }

        return y;
    }

    private sealed class Node : TapeNode
    {
        private RateDecayArguments _arguments;
        private Tensor _stepSize = null!;
        private Tensor _logRate = null!;

        public void Set(in RateDecayArguments arguments, Tensor stepSize, Tensor logRate)
        {
            _arguments = arguments;
            _stepSize = stepSize;
            _logRate = logRate;
        }

        public override void Backward(Tape tape)
        {
            _arguments.Output.Gradient = Output.Gradient;
            _arguments.StepSize.Want(tape, _stepSize);
            _arguments.LogRate.Want(tape, _logRate);
            tape.Device.Launch<RateDecayKernel.Backward, RateDecayArguments>(_arguments);
        }
    }
}
