using Loci.Cli.Terminal;
using Loci.Training;

namespace Loci.Cli.Demo;

/// <summary>Shows how a training run goes: its steps on a progress display with a smoothed loss, evaluations and skipped steps as lines above it.</summary>
/// <param name="tokensPerStep">What a step adds to the display's count.</param>
internal sealed class TrainingObserver(long tokensPerStep) : ITrainingObserver
{
    private const double Smoothing = 0.95;

    private double _loss = double.NaN;

    /// <summary>Where to show it; nothing is shown without.</summary>
    public ProgressDisplay? Display { get; set; }

    public void OnStep(in TrainingStep step)
    {
        if (step.IsSkipped)
        {
            Display?.WriteLine(FormattableString.Invariant($"step {step.Step:#,0}: skipped, because its loss ({step.Loss:0.####}) or gradient ({step.GradientNorm:0.####}) is not finite"));
        }
        else
        {
            _loss = double.IsNaN(_loss) ? step.Loss : (Smoothing * _loss) + ((1 - Smoothing) * step.Loss);
        }

        Display?.Report(step.Step * tokensPerStep, _loss);
    }

    public void OnEvaluating(long step)
    {
    }

    public void OnEvaluation(in TrainingEvaluation evaluation)
    {
        var result = evaluation.Result;
        Display?.WriteLine(FormattableString.Invariant($"  step {evaluation.Step,5:#,0}: held-out loss {result.Loss:0.0000}")
            + (result.BitsPerByte is { } bits ? FormattableString.Invariant($", {bits:0.0000} bits per byte") : ""));
    }

    public void OnSaved(long step, string path)
    {
    }
}
