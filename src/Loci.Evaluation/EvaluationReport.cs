using System.Globalization;
using System.Text;
using Loci.Evaluation.Reporting;
using Loci.Formats;

namespace Loci.Evaluation;

/// <summary>The results of evaluations for people and programs: a page, tables in Markdown, and JSON. Several models stand beside each other.</summary>
public static class EvaluationReport
{
    /// <summary>The page's name in a folder of results.</summary>
    public const string PageName = "report.html";

    /// <summary>The tables' name in a folder of results.</summary>
    public const string TableName = "results.md";

    /// <summary>The JSON's name in a folder of results.</summary>
    public const string JsonName = "results.json";

    private const int MostSliceRows = 64; // of a table for people; the JSON has all

    /// <summary>Writes page, tables and JSON to a folder.</summary>
    /// <param name="folder">The folder; it must exist.</param>
    /// <param name="results">The results.</param>
    /// <exception cref="LociException">A file cannot be written.</exception>
    public static void Save(string folder, EvaluationResults results)
    {
        ArgumentException.ThrowIfNullOrEmpty(folder);
        ArgumentNullException.ThrowIfNull(results);
        AtomicFile.WriteAllText(Path.Combine(folder, JsonName), results.ToJson());
        AtomicFile.WriteAllText(Path.Combine(folder, TableName), ToMarkdown(results));
        CreatePage(results).Save(Path.Combine(folder, PageName));
    }

    /// <summary>The tables in Markdown, with the sentences that they need to be understood.</summary>
    /// <param name="results">The results.</param>
    public static string ToMarkdown(EvaluationResults results)
    {
        ArgumentNullException.ThrowIfNull(results);
        StringBuilder text = new();
        var (headers, rows) = Table(results);
        Write(headers, rows, 2);
        text.Append('\n');
        foreach (var note in Notes(results))
        {
            text.Append(note).Append('\n');
        }

        foreach (var task in ByTask(results))
        {
            foreach (var slice in SliceNames(task))
            {
                var (sliceHeaders, sliceRows) = SliceTable(results, task, slice);
                text.Append(CultureInfo.InvariantCulture, $"\n{task[0].Task} by {slice}: {Heading(task[0].Deciding)}\n\n");
                Write(sliceHeaders, sliceRows, 1);
            }
        }

        return text.ToString();

        void Write(IReadOnlyList<string> headers, IReadOnlyList<IReadOnlyList<string>> rows, int texts)
        {
            text.Append("| ").AppendJoin(" | ", headers.Select(Cell)).Append(" |\n|").Append(string.Concat(headers.Select((_, i) => i < texts ? "---|" : "---:|"))).Append('\n');
            foreach (var row in rows)
            {
                text.Append("| ").AppendJoin(" | ", row.Select(Cell)).Append(" |\n");
            }
        }

        static string Cell(string text) => text.Replace("|", "\\|", StringComparison.Ordinal).ReplaceLineEndings(" ");
    }

    /// <summary>The page.</summary>
    /// <param name="results">The results.</param>
    public static HtmlReport CreatePage(EvaluationResults results)
    {
        ArgumentNullException.ThrowIfNull(results);
        var tasks = ByTask(results);
        HtmlReport report = new("Evaluation", string.Join(", ", results.Models.Select(model => model.Name))) { Footer = Invariant($"Written by loci eval, version {results.Version}.") };
        report.Facts(
            ("models", Invariant($"{results.Models.Count}")),
            ("tasks", Invariant($"{tasks.Count}")),
            ("examples", Invariant($"{results.Tasks.Sum(task => (long)task.Examples):#,0}")),
            ("tokens", Invariant($"{results.Tasks.Sum(task => task.Tokens ?? 0):#,0}")));
        if (results.Models.Any(model => model.Description.Length > 0))
        {
            report.Table(["model", "parameters", "what it is"], [.. results.Models.Select(model => (string[])[model.Name, model.Parameters is { } count ? Invariant($"{count:#,0}") : "—", model.Description])]);
        }

        var (headers, rows) = Table(results);
        report.Heading("Results").Table(headers, rows);
        foreach (var note in Notes(results))
        {
            report.Paragraph(note);
        }

        foreach (var chart in Bars(results, tasks))
        {
            report.Chart(chart);
        }

        foreach (var task in tasks)
        {
            AddTask(report, results, task);
        }

        report.Heading("How it was measured").Table(
            ["task", "model", "examples", "tokens", "seconds", "seed", "source"],
            [.. results.Tasks.Select(task => (string[])[
                task.Task,
                task.Model,
                Invariant($"{task.Examples:#,0}") + (task.IsComplete ? "" : " (partial)"),
                task.Tokens is { } tokens ? Invariant($"{tokens:#,0}") : "—",
                Invariant($"{task.Seconds:0.0}"),
                Invariant($"{task.Options.Seed}"),
                task.Source,
            ])]);
        return report;
    }

    private static void AddTask(HtmlReport report, EvaluationResults results, List<EvaluationTaskResult> task)
    {
        var first = task[0];
        if (SliceNames(task).Count == 0)
        {
            return;
        }

        report.Heading(first.Title);
        foreach (var slice in SliceNames(task))
        {
            foreach (var metric in first.Metrics)
            {
                List<ChartSeries> series = [];
                foreach (var result in task)
                {
                    List<(double X, double Y)> points = [.. ValuesOf(result, slice)
                        .Where(value => value.Metrics.ContainsKey(metric.Name) && !double.IsNaN(SliceNumbers.Parse(value.Value)))
                        .Select(value => (SliceNumbers.Parse(value.Value), value.Metrics[metric.Name].Value * Scale(metric)))];
                    if (points.Count > 1)
                    {
                        series.Add(new ChartSeries(result.Model, [.. points.Select(point => point.X)], [.. points.Select(point => point.Y)]));
                    }
                }

                if (IsNumeric(task, slice) && series.Count > 0)
                {
                    report.Chart(new LineChart(Capital($"{metric.Title} by {slice}"), slice, Heading(metric), series)
                    {
                        LogarithmicX = series.Min(one => one.X.Min()) > 0 && series.Max(one => one.X.Max()) >= 8 * series.Min(one => one.X.Min()),
                        MinimumY = metric.Unit == "%" ? 0 : null,
                        MaximumY = metric.Unit == "%" ? 100 : null,
                    });
                }
            }

            if (!IsNumeric(task, slice))
            {
                report.Chart(new BarChart(Capital($"{first.Deciding.Title} by {slice}"), Heading(first.Deciding), [.. SliceValues(task, slice).Take(MostSliceRows).SelectMany(value => task.Select(result =>
                    Bar(results.Models.Count > 1 ? $"{value}: {result.Model}" : value, first.Deciding, ValuesOf(result, slice).FirstOrDefault(one => one.Value == value)?.Metrics)))])
                {
                    FromZero = first.Deciding.Unit == "%",
                });
            }

            var (headers, rows) = SliceTable(results, task, slice);
            report.Table(headers, rows, $"By {slice}: {Heading(first.Deciding)}");
        }

        foreach (var result in task)
        {
            foreach (var crossing in result.Crossings)
            {
                report.Chart(Map(result, crossing));
            }
        }
    }

    private static HeatMap Map(EvaluationTaskResult result, EvaluationCrossing crossing)
    {
        var metric = result.Deciding;
        List<string> columns = [.. ValuesOf(result, crossing.First).Select(value => value.Value)], rows = [.. ValuesOf(result, crossing.Second).Select(value => value.Value)];
        return new HeatMap($"{Capital(metric.Title)} of {result.Model} by {crossing.First} (columns) and {crossing.Second} (rows)", Heading(metric), columns, [.. rows.Select(row =>
        {
            double[] values = [.. columns.Select(column => crossing.Cells.FirstOrDefault(cell => cell.First == column && cell.Second == row)?.Metrics.GetValueOrDefault(metric.Name)?.Value * Scale(metric) ?? double.NaN)];
            return new HeatMapRow(row, values, string.Join("\n", columns.Zip(values, (column, value) => $"{crossing.First} {column}, {crossing.Second} {row}: {(double.IsNaN(value) ? "no examples" : value.ToString(FormatOf(metric, value), CultureInfo.InvariantCulture))}")));
        })])
        {
            Maximum = metric.Unit == "%" ? 100 : null,
            EmptyLabel = "no examples",
        };
    }

    /// <summary>The first metric of every task; those in per cent in one chart.</summary>
    private static IEnumerable<BarChart> Bars(EvaluationResults results, List<List<EvaluationTaskResult>> tasks)
    {
        foreach (var group in tasks.GroupBy(task => task[0].Deciding is { Unit: "%" } metric ? (metric.HigherIsBetter ? "%" : "% less") : task[0].Task))
        {
            var metrics = group.Select(task => task[0].Deciding).ToList();
            var titles = string.Join(", ", metrics.Select(metric => metric.Title).Distinct());
            yield return new BarChart(Capital(titles), metrics[0].Unit.Length > 0 ? metrics[0].Unit : titles, [.. group.SelectMany(task => task.Select(result =>
                Bar(results.Models.Count > 1 ? $"{result.Task}: {result.Model}" : result.Task, result.Deciding, result.Values)))])
            {
                FromZero = metrics[0].Unit == "%",
                Caption = (metrics[0].HigherIsBetter ? "More is better." : "Less is better.") + " Whiskers are one standard error to each side.",
            };
        }
    }

    private static ChartBar Bar(string label, TaskMetric metric, IReadOnlyDictionary<string, EvaluationStatistic>? values) => values?.GetValueOrDefault(metric.Name) is { } value
        ? new ChartBar(label, value.Value * Scale(metric), value.StandardError * Scale(metric), Text(metric, value))
        : new ChartBar(label, double.NaN, null, "no result");

    private static (List<string> Headers, List<IReadOnlyList<string>> Rows) Table(EvaluationResults results)
    {
        List<string> headers = ["task", "metric", .. results.Models.Select(model => model.Name), "examples"];
        List<IReadOnlyList<string>> rows = [];
        foreach (var task in ByTask(results))
        {
            foreach (var metric in task[0].Metrics.Where(metric => task.Any(result => result.Values.ContainsKey(metric.Name)) || metric == task[0].Deciding))
            {
                rows.Add([
                    task[0].Task,
                    Heading(metric),
                    .. results.Models.Select(model => OfModel(task, model)?.Values.GetValueOrDefault(metric.Name) is { } value ? Text(metric, value) : "—"),
                    string.Join(" / ", results.Models.Select(model => OfModel(task, model) is { } result ? Invariant($"{result.Examples:#,0}") + (result.IsComplete ? "" : " (partial)") : "—").Distinct()),
                ]);
            }
        }

        return (headers, rows);
    }

    private static (List<string> Headers, List<IReadOnlyList<string>> Rows) SliceTable(EvaluationResults results, List<EvaluationTaskResult> task, string slice)
    {
        var metric = task[0].Deciding;
        List<IReadOnlyList<string>> rows = [];
        foreach (var value in SliceValues(task, slice).Take(MostSliceRows))
        {
            rows.Add([
                value,
                .. results.Models.Select(model => OfModel(task, model) is { } result && ValuesOf(result, slice).FirstOrDefault(one => one.Value == value)?.Metrics.GetValueOrDefault(metric.Name) is { } statistic
                    ? Text(metric, statistic)
                    : "—"),
            ]);
        }

        return ([slice, .. results.Models.Select(model => model.Name)], rows);
    }

    private static IEnumerable<string> Notes(EvaluationResults results)
    {
        yield return "Values ± one standard error over the examples.";
        if (!results.IsComplete)
        {
            yield return "Not finished: it was stopped, so that these results are of the examples that were done and preliminary.";
        }
    }

    private static List<List<EvaluationTaskResult>> ByTask(EvaluationResults results) => [.. results.Tasks.GroupBy(result => result.Task).Select(task => task.ToList())];

    private static EvaluationTaskResult? OfModel(List<EvaluationTaskResult> task, EvaluatedModel model) => task.FirstOrDefault(result => result.Model == model.Name);

    /// <summary>The slices with several values.</summary>
    private static List<string> SliceNames(List<EvaluationTaskResult> task) => [.. task.SelectMany(result => result.Slices).Select(slice => slice.Name).Distinct().Where(name => SliceValues(task, name).Count > 1)];

    private static List<string> SliceValues(List<EvaluationTaskResult> task, string slice)
    {
        List<string> values = [.. task.SelectMany(result => ValuesOf(result, slice)).Select(value => value.Value).Distinct()];
        return SliceNumbers.Parse(values) is null ? values : [.. values.OrderBy(SliceNumbers.Parse)];
    }

    private static bool IsNumeric(List<EvaluationTaskResult> task, string slice) => SliceNumbers.Parse(SliceValues(task, slice)) is not null;

    private static IReadOnlyList<EvaluationSliceValue> ValuesOf(EvaluationTaskResult result, string slice) => result.Slices.FirstOrDefault(one => one.Name == slice)?.Values ?? [];

    private static string Heading(TaskMetric metric) => metric.Unit.Length > 0 ? $"{metric.Title}, {metric.Unit}" : metric.Title;

    private static double Scale(TaskMetric metric) => metric.Unit == "%" ? 100 : 1;

    private static string Text(TaskMetric metric, EvaluationStatistic value)
    {
        var format = FormatOf(metric, value.Value);
        return Format(value.Value) + (value.StandardError is { } error ? " ± " + Format(error) : "");

        string Format(double number) => (number * Scale(metric)).ToString(format, CultureInfo.InvariantCulture);
    }

    private static string FormatOf(TaskMetric metric, double value) => metric.Unit == "%" ? "0.00" : Math.Abs(value) switch { < 10 => "0.0000", < 1000 => "0.00", _ => "#,0.0" };

    private static string Capital(string text) => text.Length > 0 ? char.ToUpperInvariant(text[0]) + text[1..] : text;

    private static string Invariant(FormattableString text) => text.ToString(CultureInfo.InvariantCulture);
}
