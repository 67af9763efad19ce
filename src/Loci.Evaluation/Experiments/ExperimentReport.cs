using System.Globalization;
using System.Text;
using System.Text.Json;
using Loci.Evaluation.Reporting;
using Loci.Formats;
using Loci.Memory.Aggregations;
using Loci.Memory.Segments;

namespace Loci.Evaluation.Experiments;

/// <summary>An experiment's results for people and programs: a page, a table in Markdown, and JSON.</summary>
public static class ExperimentReport
{
    /// <summary>The page's name in an experiment's folder.</summary>
    public const string PageName = "report.html";

    /// <summary>The table's name in an experiment's folder.</summary>
    public const string TableName = "results.md";

    /// <summary>The JSON's name in an experiment's folder.</summary>
    public const string JsonName = "results.json";

    /// <summary>Writes page, table and JSON to a folder.</summary>
    /// <param name="folder">The folder.</param>
    /// <param name="experiment">The experiment.</param>
    /// <param name="task">Its task.</param>
    /// <param name="results">What it came to.</param>
    /// <exception cref="LociException">A file cannot be written.</exception>
    public static void Save(string folder, Experiment experiment, IPreparedTask task, ExperimentResults results)
    {
        ArgumentException.ThrowIfNullOrEmpty(folder);
        AtomicFile.WriteAllText(Path.Combine(folder, JsonName), JsonSerializer.Serialize(results, ExperimentJson.Default.ExperimentResults) + "\n");
        AtomicFile.WriteAllText(Path.Combine(folder, TableName), ToMarkdown(experiment, results));
        CreatePage(experiment, task, results).Save(Path.Combine(folder, PageName));
    }

    /// <summary>The table in Markdown, with the sentences that it needs to be understood.</summary>
    /// <param name="experiment">The experiment.</param>
    /// <param name="results">What it came to.</param>
    public static string ToMarkdown(Experiment experiment, ExperimentResults results)
    {
        ArgumentNullException.ThrowIfNull(experiment);
        ArgumentNullException.ThrowIfNull(results);
        StringBuilder text = new();
        var (headers, rows) = Table(experiment, results);
        text.Append("| ").AppendJoin(" | ", headers.Select(Cell)).Append(" |\n|").Append(string.Concat(headers.Select((_, i) => i == 0 ? "---|" : "---:|"))).Append('\n');
        foreach (var row in rows)
        {
            text.Append("| ").AppendJoin(" | ", row.Select(Cell)).Append(" |\n");
        }

        text.Append('\n').Append(Legend(experiment, results)).Append('\n');
        foreach (var note in Notes(experiment, results))
        {
            text.Append("- ").Append(note).Append('\n');
        }

        return text.ToString();

        static string Cell(string text) => text.Replace("|", "\\|", StringComparison.Ordinal).ReplaceLineEndings(" ");
    }

    /// <summary>The page.</summary>
    /// <param name="experiment">The experiment.</param>
    /// <param name="task">Its task.</param>
    /// <param name="results">What it came to.</param>
    public static HtmlReport CreatePage(Experiment experiment, IPreparedTask task, ExperimentResults results)
    {
        ArgumentNullException.ThrowIfNull(experiment);
        ArgumentNullException.ThrowIfNull(task);
        ArgumentNullException.ThrowIfNull(results);
        HtmlReport report = new(results.Name, results.Description)
        {
            Footer = Invariant($"Written by loci experiment{(results.Runs.Count > 0 ? Invariant($", version {results.Runs[0].Version}; every run on one thread of {results.Runs[0].Device}") : "")}."),
        };
        report.Facts(
            ("models", Invariant($"{experiment.Arms.Count}")),
            ("learning rates", Invariant($"{experiment.LearningRates.Count}")),
            ("seeds", Invariant($"{experiment.Seeds.Count}")),
            ("runs finished", Invariant($"{results.Runs.Count} of {results.Planned}")));
        foreach (var sentence in task.Describe())
        {
            report.Paragraph(sentence);
        }

        var (headers, rows) = Table(experiment, results);
        report.Heading("Results").Table(headers, rows).Paragraph(Legend(experiment, results));
        foreach (var note in Notes(experiment, results))
        {
            report.Paragraph(note);
        }

        foreach (var metric in results.Metrics.Where(metric => results.Arms.Any(arm => arm.Chosen?.Reported.ContainsKey(metric.Name) == true)))
        {
            report.Chart(Bars(results, metric));
        }

        AddBreakdowns(report, results);
        AddCurves(report, results);
        AddRates(report, experiment, results);
        report.Heading("How it was done");
        foreach (var sentence in Method(experiment))
        {
            report.Paragraph(sentence);
        }

        return report.Table(["run", "status", "steps", "skipped", .. results.Metrics.Select(metric => metric.Heading), "tokens/s"], [.. results.Runs.Select(run => RunRow(results, run))], "All finished runs");
    }

    private static (List<string> Headers, List<IReadOnlyList<string>> Rows) Table(Experiment experiment, ExperimentResults results)
    {
        List<ExperimentMetric> metrics = [.. results.Metrics.Where(metric => results.Runs.Any(run => run.Reported.ContainsKey(metric.Name)))];
        List<string> headers = ["model", .. metrics.Select(metric => metric.Heading), "parameters", "learning rate", "seeds", "tokens", "tokens/s"];
        List<IReadOnlyList<string>> rows = [];
        foreach (var arm in results.Arms)
        {
            var chosen = arm.Chosen;
            rows.Add([
                arm.Label,
                .. metrics.Select(metric => chosen?.Reported.GetValueOrDefault(metric.Name) is { } value ? Text(metric, value) : chosen is { Diverged: > 0 } ? "diverged" : "—"),
                arm.Parameters is { } parameters ? Invariant($"{parameters:#,0}") : "—",
                arm.LearningRate is { } rate ? Invariant($"{rate:R}") : "—",
                chosen is null ? "—" : Invariant($"{chosen.Finished - chosen.Diverged}") + (chosen.Finished < experiment.Seeds.Count || chosen.Diverged > 0 ? Invariant($" of {experiment.Seeds.Count}") : ""),
                arm.Tokens is { } tokens ? Invariant($"{tokens:#,0}") : "—",
                arm.TokensPerSecond is { } speed ? Invariant($"{speed:#,0}") : "—",
            ]);
        }

        return (headers, rows);
    }

    private static string Legend(Experiment experiment, ExperimentResults results)
    {
        var set = results.HasTest ? "test" : "validation";
        var errors = experiment.Seeds.Count > 1 ? Invariant($"Mean ± standard error over {experiment.Seeds.Count} seeds") : "One seed";
        var rates = experiment.LearningRates.Count > 1
            ? Invariant($"the learning rate of every model is the best of {experiment.LearningRates.Count} on the validation examples")
            : "all models are trained with the same learning rate";
        return Invariant($"{errors}, on the {set} examples after the last step; {rates}. Tokens are those read by one run; tokens/s are of one processor thread, with other runs beside it.");
    }

    private static IEnumerable<string> Notes(Experiment experiment, ExperimentResults results)
    {
        if (results.Runs.Count < results.Planned)
        {
            yield return Invariant($"Not finished: {results.Runs.Count} of {results.Planned} runs are done, so these results are preliminary.");
        }

        List<ExperimentArmSummary> known = [.. results.Arms.Where(arm => arm.Parameters is not null)];
        if (known.Count > 1 && known.Max(arm => arm.Parameters!.Value) is var most && known.Min(arm => arm.Parameters!.Value) is var least)
        {
            yield return most == least
                ? Invariant($"All models have {most:#,0} parameters.")
                : Invariant($"The largest model has {100.0 * (most - least) / least:0.0} % more parameters than the smallest.");
        }

        foreach (var arm in results.Arms)
        {
            var against = experiment.Arms.FirstOrDefault(one => one.Label == arm.Label)?.Against;
            var baseline = against is null ? results.Arms[0] : results.Arms.First(other => other.Label == against);
            if (baseline != arm && Difference(results, baseline, arm) is { StandardError: { } error } difference)
            {
                var metric = results.Metrics[0];
                var sign = difference.Mean > 0 ? "+" : "";
                yield return $"{arm.Label} less {baseline.Label}: {metric.Title} {sign}{metric.Format(difference.Mean)} ± {metric.Format(error)}{(metric.Unit == "%" ? " percentage points" : "")}, seed by seed.";
            }
        }

        foreach (var arm in results.Arms)
        {
            foreach (var rate in arm.Rates.Where(rate => rate.Diverged > 0))
            {
                yield return Invariant($"{arm.Label}: {rate.Diverged} of {rate.Finished} runs diverged at the learning rate {rate.LearningRate:R} and are not in its means.");
            }

            if (experiment.LearningRates.Count > 1 && arm.LearningRate is { } chosen && (chosen == experiment.LearningRates.Min() || chosen == experiment.LearningRates.Max()))
            {
                yield return Invariant($"{arm.Label}: the best learning rate, {chosen:R}, is at the end of those tried, so that one beyond might be better.");
            }
        }
    }

    /// <summary>How much an arm is above another in what decides, over the seeds that both have finished; runs of one seed share what chance decides.</summary>
    private static ExperimentStatistic? Difference(ExperimentResults results, ExperimentArmSummary first, ExperimentArmSummary arm)
    {
        var name = results.Metrics[0].Name;
        return ExperimentStatistic.Of(
            from one in results.ChosenRuns(first)
            join other in results.ChosenRuns(arm) on one.Seed equals other.Seed
            where one.Reported.ContainsKey(name) && other.Reported.ContainsKey(name)
            select other.Reported[name] - one.Reported[name]);
    }

    private static BarChart Bars(ExperimentResults results, ExperimentMetric metric) => new(
        $"{Capital(metric.Title)} ({(results.HasTest ? "test" : "validation")})",
        metric.Heading,
        [.. results.Arms.Select(arm => arm.Chosen?.Reported.GetValueOrDefault(metric.Name) is { } value
            ? new ChartBar(arm.Label, value.Mean * metric.Scale, value.StandardError * metric.Scale, Text(metric, value))
            : new ChartBar(arm.Label, double.NaN, null, arm.Chosen is { Diverged: > 0 } ? "diverged" : "no result"))])
    {
        FromZero = metric.Unit == "%",
        Caption = (metric.HigherIsBetter ? "More is better." : "Less is better.") + (results.Runs.Select(run => run.Seed).Distinct().Count() > 1 ? " Whiskers are one standard error to each side." : ""),
    };

    private static void AddBreakdowns(HtmlReport report, ExperimentResults results)
    {
        var first = results.Runs.FirstOrDefault(run => run.Status == ExperimentRunStatus.Complete);
        if (first is null)
        {
            return;
        }

        report.Heading("Taken apart");
        foreach (var breakdown in first.Breakdowns)
        {
            var metric = results.Metrics.FirstOrDefault(metric => metric.Title == breakdown.Unit);
            List<ChartSeries> series = [];
            foreach (var arm in results.Arms)
            {
                var points = results.ChosenRuns(arm)
                    .SelectMany(run => run.Breakdowns.Where(other => other.Title == breakdown.Title))
                    .SelectMany(other => other.Points)
                    .GroupBy(point => (point.From, point.To))
                    .OrderBy(group => group.Key.From)
                    .Select(group => (Middle: (group.Key.From + group.Key.To) / 2.0, Value: group.Average(point => point.Value)))
                    .ToList();
                if (points.Count > 0)
                {
                    series.Add(new ChartSeries(arm.Label, [.. points.Select(point => point.Middle + (breakdown.Points[0].From == 0 ? 1 : 0))], [.. points.Select(point => point.Value * (metric?.Scale ?? 1))]));
                }
            }

            report.Chart(new LineChart(breakdown.Title, breakdown.Axis, metric?.Heading ?? breakdown.Unit, series) { LogarithmicX = true, Caption = "Means over the seeds; every point is the middle of a range." });
        }
    }

    private static void AddCurves(HtmlReport report, ExperimentResults results)
    {
        report.Heading("Learning curves");
        foreach (var metric in results.Metrics)
        {
            List<ChartSeries> series = [.. results.Arms.Select(arm => Curve(results, arm, run => run.ValidationCurve, metric.Name, metric.Scale)).OfType<ChartSeries>()];
            if (series.Count > 0)
            {
                report.Chart(new LineChart($"{Capital(metric.Title)} during training (validation)", "tokens", metric.Heading, series) { Caption = "Means over the seeds, each model with its chosen learning rate." });
            }
        }

        List<ChartSeries> training = [.. results.Arms.Select(arm => Curve(results, arm, run => run.TrainingCurve, "loss", 1)).OfType<ChartSeries>()];
        report.Chart(new LineChart("Training loss", "tokens", "nats per prediction", training) { Caption = "Means over the seeds and over neighbouring steps. With the same seed all models see the same batches." });
    }

    private static ChartSeries? Curve(ExperimentResults results, ExperimentArmSummary arm, Func<ExperimentRunResult, IReadOnlyList<ExperimentCurvePoint>> curve, string name, double scale)
    {
        var runs = results.ChosenRuns(arm);
        List<(double Tokens, double Value)> points = [.. runs
            .SelectMany(curve)
            .Where(point => point.Values.ContainsKey(name))
            .GroupBy(point => point.Tokens)
            .Where(group => group.Count() == runs.Count)
            .OrderBy(group => group.Key)
            .Select(group => ((double)group.Key, scale * group.Average(point => point.Values[name])))];
        return points.Count == 0 ? null : new ChartSeries(arm.Label, [.. points.Select(point => point.Tokens)], [.. points.Select(point => point.Value)]);
    }

    private static void AddRates(HtmlReport report, Experiment experiment, ExperimentResults results)
    {
        if (experiment.LearningRates.Count < 2)
        {
            return;
        }

        var metric = results.Metrics[0];
        List<ChartSeries> series = [];
        List<IReadOnlyList<string>> rows = [];
        foreach (var arm in results.Arms)
        {
            List<ExperimentRateSummary> known = [.. arm.Rates.Where(rate => rate.Validation.ContainsKey(metric.Name)).OrderBy(rate => rate.LearningRate)];
            if (known.Count > 0)
            {
                series.Add(new ChartSeries(arm.Label, [.. known.Select(rate => rate.LearningRate)], [.. known.Select(rate => rate.Validation[metric.Name].Mean * metric.Scale)]));
            }

            rows.AddRange(arm.Rates.Select(rate => (string[])[
                arm.Label,
                Invariant($"{rate.LearningRate:R}") + (rate.LearningRate == arm.LearningRate ? " (chosen)" : ""),
                rate.Validation.GetValueOrDefault(metric.Name) is { } value ? Text(metric, value) : "—",
                Invariant($"{rate.Finished}"),
                Invariant($"{rate.Diverged}"),
            ]));
        }

        report.Heading("Learning rates")
            .Chart(new LineChart($"{Capital(metric.Title)} by learning rate (validation)", "learning rate", metric.Heading, series) { LogarithmicX = true })
            .Table(["model", "learning rate", metric.Heading + " (validation)", "finished", "diverged"], rows);
    }

    private static IEnumerable<string> Method(Experiment experiment)
    {
        var options = experiment.OptionsOf(experiment.Runs.First());
        var schedule = options.LearningRate;
        var kind = schedule.Kind switch { Training.ScheduleKind.WarmupStableDecay => "wsd", var other => other.ToString().ToLowerInvariant() };
        yield return Invariant($"Every run takes {options.Steps:#,0} steps of {options.BatchRows * options.Accumulation} rows of {options.Context:#,0} tokens with AdamW (betas {options.Beta1} and {options.Beta2}, weight decay {options.WeightDecay} on matrices, gradient norm at most {options.MaximumGradientNorm}); the learning rate rises over {schedule.WarmupSteps} steps and then follows the schedule {kind} to {schedule.FinalFraction * 100:0.#} % of its peak.");
        yield return Invariant($"Learning rates tried: {string.Join(", ", experiment.LearningRates.Select(rate => rate.ToString("R", CultureInfo.InvariantCulture)))}. Seeds: {string.Join(", ", experiment.Seeds)}. The seed decides initial weights and the order of the data, so that models with the same seed differ in the model alone. The same numbers come out for any number of runs at once.");
        foreach (var arm in experiment.Arms)
        {
            var mixers = string.Join(", ", arm.Model.Mixers.Select(mixer => mixer.IsAttention || mixer.Cache.Aggregation == "none"
                ? mixer.Memory
                : $"{mixer.Memory} read with {AggregationRegistry.Find(mixer.Cache.Aggregation).Title} ({(mixer.Cache.Segments == SegmentKind.Constant ? Invariant($"segments of {mixer.Cache.SegmentLength}") : "logarithmic segments")})"));
            yield return Invariant($"{arm.Label}: {mixers}; dimension {arm.Model.Dimension}, {arm.Model.Layers} layers, {arm.Model.Heads} heads.");
        }
    }

    private static string[] RunRow(ExperimentResults results, ExperimentRunResult run) =>
    [
        Invariant($"{run.Arm}, {run.LearningRate:R}, seed {run.Seed}"),
        run.Status == ExperimentRunStatus.Complete ? "complete" : "diverged",
        Invariant($"{run.Steps:#,0}"),
        Invariant($"{run.SkippedSteps:#,0}"),
        .. results.Metrics.Select(metric => run.Reported.TryGetValue(metric.Name, out var value) ? metric.Format(value) : "—"),
        Invariant($"{run.TokensPerSecond:#,0}"),
    ];

    private static string Text(ExperimentMetric metric, ExperimentStatistic value) =>
        metric.Format(value.Mean) + (value.StandardError is { } error ? " ± " + metric.Format(error) : "");

    private static string Capital(string text) => char.ToUpperInvariant(text[0]) + text[1..];

    private static string Invariant(FormattableString text) => text.ToString(CultureInfo.InvariantCulture);
}
