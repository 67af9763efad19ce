using System.Text.Json;
using System.Text.Json.Serialization;
using Loci.Data;
using Loci.Formats;

namespace Loci.Evaluation.Experiments;

/// <summary>How a run ended.</summary>
public enum ExperimentRunStatus
{
    /// <summary>All steps were taken and the model was measured.</summary>
    [JsonStringEnumMemberName("complete")]
    Complete,

    /// <summary>Loss or gradient was not finite in too many steps in a row, or the trained model's results are not.</summary>
    [JsonStringEnumMemberName("diverged")]
    Diverged,
}

/// <summary>A point of a learning curve.</summary>
/// <param name="Step">Steps taken.</param>
/// <param name="Tokens">Tokens read.</param>
/// <param name="Values">What was measured, by name; values that are not finite are left out.</param>
public sealed record ExperimentCurvePoint(long Step, long Tokens, IReadOnlyDictionary<string, double> Values);

/// <summary>What one run of an experiment came to: its <c>result.json</c>.</summary>
public sealed record ExperimentRunResult
{
    internal const string FormatName = "loci-experiment-run-1";
    internal const string FileName = "result.json";

    /// <summary>The file's format.</summary>
    public required string Format { get; init; }

    /// <summary>The arm's label.</summary>
    public required string Arm { get; init; }

    /// <summary>The highest learning rate.</summary>
    public required double LearningRate { get; init; }

    /// <summary>The seed.</summary>
    public required ulong Seed { get; init; }

    /// <summary>How it ended.</summary>
    public required ExperimentRunStatus Status { get; init; }

    /// <summary>Learned values of the model.</summary>
    public required long Parameters { get; init; }

    /// <summary>Steps taken.</summary>
    public required long Steps { get; init; }

    /// <summary>Steps that were skipped because loss or gradient was not finite.</summary>
    public required long SkippedSteps { get; init; }

    /// <summary>Tokens read.</summary>
    public required long Tokens { get; init; }

    /// <summary>Seconds spent in training steps, without evaluations.</summary>
    public required double TrainingSeconds { get; init; }

    /// <summary>Results on the validation examples after the last step, by metric; values that are not finite are left out.</summary>
    public required IReadOnlyDictionary<string, double> Validation { get; init; }

    /// <summary>Results on the test examples after the last step; empty where there are none.</summary>
    public required IReadOnlyDictionary<string, double> Test { get; init; }

    /// <summary>The reported results taken apart.</summary>
    public required IReadOnlyList<ExperimentBreakdown> Breakdowns { get; init; }

    /// <summary>The loss of the training steps: every point the mean since the one before, under the name <c>loss</c>.</summary>
    public required IReadOnlyList<ExperimentCurvePoint> TrainingCurve { get; init; }

    /// <summary>Results on the validation examples during training.</summary>
    public required IReadOnlyList<ExperimentCurvePoint> ValidationCurve { get; init; }

    /// <summary>Hashes of what the result depends on: task, data, model and training.</summary>
    public required IReadOnlyDictionary<string, string> Identity { get; init; }

    /// <summary>The version that made it.</summary>
    public required string Version { get; init; }

    /// <summary>The device that it ran on.</summary>
    public required string Device { get; init; }

    /// <summary>Tokens read per second of training; other runs may have shared the machine.</summary>
    [JsonIgnore]
    public double TokensPerSecond => Tokens / TrainingSeconds;

    /// <summary>The results that are reported: those on the test examples, or on the validation ones where there are no others.</summary>
    [JsonIgnore]
    public IReadOnlyDictionary<string, double> Reported => Test.Count > 0 ? Test : Validation;

    [JsonIgnore]
    private bool IsPossible =>
        TrainingSeconds > 0 && LearningRate > 0 && long.Min(long.Min(Parameters, Steps), long.Min(SkippedSteps, Tokens)) >= 0;

    internal static ExperimentRunResult? TryLoad(string folder)
    {
        var path = Path.Combine(folder, FileName);
        if (!File.Exists(path))
        {
            return null;
        }

        try
        {
            var result = JsonSerializer.Deserialize(TextInput.ReadFile(path), ExperimentJson.Default.ExperimentRunResult);
            return result?.Format == FormatName
                ? result.IsPossible ? result : throw new JsonException("It holds numbers that cannot be.")
                : throw new LociException($"{path} is not a result that this version can read: remove it and the run is done again.");
        }
        catch (JsonException exception)
        {
            throw new LociException(ErrorKind.Damaged, $"{path} is damaged: remove it and the run is done again.", exception);
        }
    }

    internal void Save(string folder) =>
        AtomicFile.WriteAllText(Path.Combine(folder, FileName), JsonSerializer.Serialize(this, ExperimentJson.Default.ExperimentRunResult) + "\n");
}

/// <summary>What a run that is not finished has measured so far; kept in its checkpoint.</summary>
internal sealed class ExperimentProgress
{
    public double TrainingSeconds { get; set; }

    /// <summary>Sum of the losses of the steps since the last point of the training curve.</summary>
    public double LossSum { get; set; }

    public long LossCount { get; set; }

    public long EvaluatedStep { get; set; }

    public List<ExperimentCurvePoint> TrainingCurve { get; set; } = [];

    public List<ExperimentCurvePoint> ValidationCurve { get; set; } = [];
}
