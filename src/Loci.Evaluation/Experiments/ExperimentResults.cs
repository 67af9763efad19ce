using Loci.Memory.Aggregations;

namespace Loci.Evaluation.Experiments;

/// <summary>A result over several seeds.</summary>
/// <param name="Mean">The mean.</param>
/// <param name="StandardError">The standard error of the mean; null with a single value.</param>
/// <param name="Count">How many values.</param>
public sealed record ExperimentStatistic(double Mean, double? StandardError, int Count)
{
    /// <summary>Mean and standard error of values; null where there are none.</summary>
    public static ExperimentStatistic? Of(IEnumerable<double> values)
    {
        double[] all = [.. values];
        if (all.Length == 0)
        {
            return null;
        }

        var mean = all.Average();
        double? error = all.Length > 1 ? Math.Sqrt(all.Sum(value => (value - mean) * (value - mean)) / (all.Length - 1) / all.Length) : null;
        return new ExperimentStatistic(mean, error, all.Length);
    }
}

/// <summary>An arm at one learning rate.</summary>
public sealed record ExperimentRateSummary
{
    /// <summary>The highest learning rate.</summary>
    public required double LearningRate { get; init; }

    /// <summary>Runs that are finished, diverged ones included.</summary>
    public required int Finished { get; init; }

    /// <summary>Runs that diverged; their results are not in the means.</summary>
    public required int Diverged { get; init; }

    /// <summary>Results on the validation examples over the seeds, by metric.</summary>
    public required IReadOnlyDictionary<string, ExperimentStatistic> Validation { get; init; }

    /// <summary>What is reported over the seeds, by metric: the test examples, or the validation ones where there are no others.</summary>
    public required IReadOnlyDictionary<string, ExperimentStatistic> Reported { get; init; }
}

/// <summary>An arm's results.</summary>
public sealed record ExperimentArmSummary
{
    /// <summary>The label.</summary>
    public required string Label { get; init; }

    /// <summary>Learned values; null before the first run is finished.</summary>
    public required long? Parameters { get; init; }

    /// <summary>Tokens that a run reads; null before the first run is finished.</summary>
    public required long? Tokens { get; init; }

    /// <summary>Tokens per second of training, the mean over the chosen runs.</summary>
    public required double? TokensPerSecond { get; init; }

    /// <summary>
    /// The learning rate whose runs are reported: of those with the fewest diverged and the most finished runs the best on the validation examples. Null before the first run is finished.
    /// </summary>
    public required double? LearningRate { get; init; }

    /// <summary>Every learning rate.</summary>
    public required IReadOnlyList<ExperimentRateSummary> Rates { get; init; }

    /// <summary>The learning rate that is reported.</summary>
    internal ExperimentRateSummary? Chosen => Rates.FirstOrDefault(rate => rate.LearningRate == LearningRate);
}

/// <summary>What an experiment came to: its <c>results.json</c>.</summary>
public sealed record ExperimentResults
{
    /// <summary>The experiment's name.</summary>
    public required string Name { get; init; }

    /// <summary>What it is for; null for none.</summary>
    public required string? Description { get; init; }

    /// <summary>What was measured; the first decides.</summary>
    public required IReadOnlyList<ExperimentMetric> Metrics { get; init; }

    /// <summary>Whether test examples are reported rather than validation ones.</summary>
    public required bool HasTest { get; init; }

    /// <summary>All runs of the experiment.</summary>
    public required int Planned { get; init; }

    /// <summary>The arms, in the experiment's order.</summary>
    public required IReadOnlyList<ExperimentArmSummary> Arms { get; init; }

    /// <summary>The finished runs.</summary>
    public required IReadOnlyList<ExperimentRunResult> Runs { get; init; }

    /// <summary>Puts the results of runs together.</summary>
    /// <param name="experiment">The experiment.</param>
    /// <param name="task">Its task.</param>
    /// <param name="runs">The finished runs.</param>
    public static ExperimentResults Create(Experiment experiment, IPreparedTask task, IReadOnlyList<ExperimentRunResult> runs)
    {
        ArgumentNullException.ThrowIfNull(experiment);
        ArgumentNullException.ThrowIfNull(task);
        ArgumentNullException.ThrowIfNull(runs);
        return new ExperimentResults
        {
            Name = experiment.Name,
            Description = experiment.Description,
            Metrics = task.Metrics,
            HasTest = task.HasTest,
            Planned = experiment.RunCount,
            Arms = [.. experiment.Arms.Select(arm => Summarize(experiment, arm, task.Metrics, [.. runs.Where(run => run.Arm == arm.Label)]))],
            Runs = runs,
        };
    }

    /// <summary>The runs that an arm is reported by: the finished ones with its chosen learning rate that did not diverge.</summary>
    internal IReadOnlyList<ExperimentRunResult> ChosenRuns(ExperimentArmSummary arm) =>
        [.. Runs.Where(run => run.Arm == arm.Label && run.LearningRate == arm.LearningRate && run.Status == ExperimentRunStatus.Complete)];

    /// <summary>
    /// The learning rate of an arm: of those with the fewest diverged and the most finished runs the best on the validation examples, by the seeds that all of them are tried with. Null where no
    /// run is finished.
    /// </summary>
    internal static double? ChooseRate(Experiment experiment, ExperimentMetric deciding, IReadOnlyList<ExperimentRunResult> runsOfArm)
    {
        var swept = experiment.Seeds.Take(experiment.SweptSeeds).ToHashSet();
        var chosen = Rates(experiment, [deciding], [.. runsOfArm.Where(run => swept.Contains(run.Seed))])
            .Where(rate => rate.Finished > 0)
            .OrderBy(rate => rate.Diverged)
            .ThenByDescending(rate => rate.Finished)
            .ThenBy(rate => rate.Validation.GetValueOrDefault(deciding.Name) is { } value ? (deciding.HigherIsBetter ? -value.Mean : value.Mean) : double.PositiveInfinity)
            .FirstOrDefault();
        return chosen?.LearningRate;
    }

    private static ExperimentArmSummary Summarize(Experiment experiment, ExperimentArm arm, IReadOnlyList<ExperimentMetric> metrics, IReadOnlyList<ExperimentRunResult> runs)
    {
        var chosen = ChooseRate(experiment, metrics[0], runs);
        return new ExperimentArmSummary
        {
            Label = arm.Label,
            Parameters = runs.Count > 0 ? runs[0].Parameters : null,
            Tokens = runs.Count > 0 ? runs.Max(run => run.Tokens) : null,
            TokensPerSecond = ExperimentStatistic.Of(runs.Where(run => run.LearningRate == chosen).Select(run => run.TokensPerSecond))?.Mean,
            LearningRate = chosen,
            Rates = Rates(experiment, metrics, runs),
        };
    }

    private static List<ExperimentRateSummary> Rates(Experiment experiment, IReadOnlyList<ExperimentMetric> metrics, IReadOnlyList<ExperimentRunResult> runs)
    {
        List<ExperimentRateSummary> rates = [];
        foreach (var rate in experiment.LearningRates)
        {
            List<ExperimentRunResult> finished = [.. runs.Where(run => run.LearningRate == rate)];
            List<ExperimentRunResult> sound = [.. finished.Where(run => run.Status == ExperimentRunStatus.Complete)];
            rates.Add(new ExperimentRateSummary
            {
                LearningRate = rate,
                Finished = finished.Count,
                Diverged = finished.Count - sound.Count,
                Validation = Statistics(metrics, sound.Select(run => run.Validation)),
                Reported = Statistics(metrics, sound.Select(run => run.Reported)),
            });
        }

        return rates;
    }

    private static Dictionary<string, ExperimentStatistic> Statistics(IReadOnlyList<ExperimentMetric> metrics, IEnumerable<IReadOnlyDictionary<string, double>> values)
    {
        List<IReadOnlyDictionary<string, double>> all = [.. values];
        Dictionary<string, ExperimentStatistic> statistics = [];
        foreach (var metric in metrics)
        {
            if (ExperimentStatistic.Of(all.Where(one => one.ContainsKey(metric.Name)).Select(one => one[metric.Name])) is { } statistic)
            {
                statistics[metric.Name] = statistic;
            }
        }

        return statistics;
    }
}
