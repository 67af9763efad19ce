
namespace Loci.Training;

/// <summary>What one training step did.</summary>
/// <param name="Step">Steps taken so far, this one and skipped ones included.</param>
/// <param name="Tokens">Tokens predicted so far.</param>
/// <param name="StepTokens">Tokens predicted in this step.</param>
/// <param name="Loss">Mean loss of the step's tokens before the update, in nats.</param>
/// <param name="LearningRate">The learning rate.</param>
/// <param name="GradientNorm">The norm of the whole gradient before clipping.</param>
/// <param name="IsSkipped">Whether the weights were left alone because loss or gradient were not finite.</param>
/// <param name="Seconds">How long the step took.</param>
public readonly record struct TrainingStep(
    long Step, long Tokens, long StepTokens, double Loss, double LearningRate, double GradientNorm, bool IsSkipped, double Seconds)
{
    /// <summary>Tokens per second of this step.</summary>
    public double TokensPerSecond => StepTokens / Seconds;
}

/// <summary>An evaluation during training.</summary>
/// <param name="Step">Steps taken before it.</param>
/// <param name="Result">What was measured.</param>
/// <param name="IsBest">Whether no earlier evaluation had a lower loss; the weights have then been saved as the model.</param>
public readonly record struct TrainingEvaluation(long Step, PerplexityResult Result, bool IsBest);

/// <summary>Is told how a training run goes, between its steps and on its thread.</summary>
public interface ITrainingObserver
{
    /// <summary>A step was taken.</summary>
    void OnStep(in TrainingStep step);

    /// <summary>An evaluation on the held-out data begins.</summary>
    /// <param name="step">Steps taken so far.</param>
    void OnEvaluating(long step);

    /// <summary>The model was evaluated on the held-out data.</summary>
    void OnEvaluation(in TrainingEvaluation evaluation);

    /// <summary>A checkpoint was saved.</summary>
    /// <param name="step">Steps taken so far.</param>
    /// <param name="path">The file.</param>
    void OnSaved(long step, string path);
}

/// <summary>How a run ended.</summary>
/// <param name="IsComplete">Whether it reached its end; false where it was stopped before and saved.</param>
/// <param name="Step">Steps taken so far.</param>
/// <param name="Tokens">Tokens predicted so far.</param>
/// <param name="BestLoss">The lowest loss on the held-out data so far, in nats per token; NaN without any.</param>
/// <param name="BestStep">The steps taken before that evaluation.</param>
/// <param name="Elapsed">Time spent so far, earlier parts of a resumed run included.</param>
public readonly record struct TrainingOutcome(bool IsComplete, long Step, long Tokens, double BestLoss, long BestStep, TimeSpan Elapsed);
