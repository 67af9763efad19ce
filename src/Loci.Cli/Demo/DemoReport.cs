using System.Globalization;
using Loci.Cli.Terminal;
using Loci.Evaluation;
using Loci.Evaluation.Reporting;
using Loci.Formats;
using Loci.Training;

namespace Loci.Cli.Demo;

/// <summary>The demo's result as one HTML file.</summary>
internal static class DemoReport
{
    /// <summary>Writes the report.</summary>
    /// <param name="plan">What was done.</param>
    /// <param name="comparison">How the models compare.</param>
    /// <param name="sample">What the cached model wrote.</param>
    /// <param name="times">How long each model was trained, in the order of <see cref="DemoModel.Both"/>.</param>
    /// <param name="device">What it ran on.</param>
    /// <exception cref="LociException">The file cannot be written.</exception>
    public static void Save(DemoPlan plan, DemoComparison comparison, string sample, IReadOnlyList<TimeSpan> times, string device)
    {
        var (plain, cached) = (comparison.Base, comparison.Cached);
        List<Log> logs = [.. DemoModel.Both.Select(model => new Log(model.Name, MetricsLog.Read(Path.Combine(plan.FolderOf(model), "metrics.jsonl"))))];
        var report = new HtmlReport("A memory that grows, on Shakespeare", "Two recurrent language models that differ in one thing: base has a memory of fixed size, grm also keeps the memories of past segments.")
        {
            Footer = Invariant($"Written by loci demo: {plan.Steps:#,0} steps of {plan.StepTokens:#,0} tokens, seed {plan.Seed}, {device}."),
        };
        report
            .Facts(
                ("base, bits per byte", Invariant($"{DemoComparison.BitsPerByte(plain.Held):0.0000}")),
                ("grm, bits per byte", Invariant($"{DemoComparison.BitsPerByte(cached.Held):0.0000}")),
                ("difference", Invariant($"{comparison.Difference:+0.0000;-0.0000;0.0000}")),
                ("noise (two standard errors)", double.IsNaN(comparison.StandardError) ? "unknown" : Invariant($"±{2 * comparison.StandardError:0.0000}")))
            .Paragraph(string.Join(' ', comparison.Verdict()))
            .Paragraph(Invariant($"The held-out text is the last tenth, which neither model saw in training, read in windows of {plan.Context:#,0} tokens with an empty memory at the start of each. Lower is better."))
            .Heading("By position")
            .Paragraph(Invariant($"How well a token is predicted, by how much of the window was read before it. Segments are {plan.SegmentLength} tokens long: in the first one there is nothing to look back to, and what the cache can add comes after it."))
            .Chart(PositionChart(comparison))
            .Chart(DifferenceChart(comparison))
            .Table(["position", "base", "grm", "difference"], PositionRows(comparison), "Held-out bits per byte")
            .Heading("Training")
            .Chart(LossChart(plan, logs))
            .Chart(EvaluationChart(logs))
            .Table(["model", "parameters", "training, seconds", "memory of a sequence, KiB"], CostRows(comparison, times), Invariant($"What they cost; the memory is that after {plan.Context:#,0} tokens"))
            .Heading("What grm writes")
            .Preformatted(sample, $"It goes on from “{plan.Prompt}”.")
            .Heading("Do it again")
            .Paragraph("The same models come out, to the last bit and with any number of threads:")
            .Preformatted(string.Join("\n\n", DemoModel.Both.Select(model => Shell.Command(["loci", .. plan.TrainArguments(model, "runs/" + model.Name)]))))
            .Paragraph("Measure a model, or let it write:")
            .Preformatted(
                $"loci eval perplexity --model {Shell.Quote(plan.FolderOf(DemoModel.Cached))} --data {Shell.Quote(plan.ValidationPath)} --positions linear\n"
                + Invariant($"loci generate --model {Shell.Quote(plan.FolderOf(DemoModel.Cached))} --prompt {Shell.Quote(plan.Prompt)} --tokens {plan.SampleTokens} --seed {plan.Seed}"))
            .Paragraph("Without an installed loci, write dotnet run -c Release --project src/Loci.Cli -- in its place.")
            .Save(plan.ReportPath);
    }

    private static LineChart PositionChart(DemoComparison comparison) => new(
        "Held-out bits per byte by position",
        "position in the window (tokens)",
        "bits per byte",
        [PositionSeries(DemoModel.Base.Name, comparison.Base), PositionSeries(DemoModel.Cached.Name, comparison.Cached)]);

    private static ChartSeries PositionSeries(string name, DemoMeasurement measurement)
    {
        var positions = measurement.Held.Positions;
        return new ChartSeries(name, [.. positions.Select(Middle)], [.. positions.Select(position => position.BitsPerByte ?? double.NaN)]);
    }

    private static LineChart DifferenceChart(DemoComparison comparison)
    {
        var plain = comparison.Base.Held.Positions;
        var cached = comparison.Cached.Held.Positions;
        double[] x = [.. plain.Select(Middle)];
        return new LineChart("What the growing memory changes, by position", "position in the window (tokens)", "bits per byte, grm less base", [
            new ChartSeries("grm less base", x, [.. plain.Zip(cached, (a, b) => b.BitsPerByte - a.BitsPerByte ?? double.NaN)]),
            new ChartSeries("no difference", x, new double[x.Length]),
        ])
        {
            Caption = "Below the line the growing memory helps. Single points scatter more than the mean of all.",
        };
    }

    private static double Middle(PositionLoss position) => (position.From + position.To + 1) / 2.0;

    private static LineChart LossChart(DemoPlan plan, List<Log> logs) => new(
        "Training loss", "step", "nats per token", [.. logs.Select(log => log.Series(MetricsKind.Step, record => record.Loss, plan.Steps / 80.0))])
    {
        Caption = "Both models see the same tokens in the same order. The curves are averaged over neighbouring steps.",
    };

    private static LineChart EvaluationChart(List<Log> logs) => new(
        "Held-out bits per byte during training",
        "step",
        "bits per byte",
        [.. logs.Select(log => log.Series(MetricsKind.Evaluation, record => record.Values?.GetValueOrDefault("bits_per_byte", double.NaN), 0))]);

    private static List<IReadOnlyList<string>> PositionRows(DemoComparison comparison) =>
        [.. comparison.Rows().Select(row => (string[])[row.Positions, Invariant($"{row.Base:0.0000}"), Invariant($"{row.Cached:0.0000}"), DemoComparison.Percent(row.Base, row.Cached)])];

    private static List<IReadOnlyList<string>> CostRows(DemoComparison comparison, IReadOnlyList<TimeSpan> times) =>
    [
        CostRow(DemoModel.Base, comparison.Base, times[0]),
        CostRow(DemoModel.Cached, comparison.Cached, times[1]),
    ];

    private static string[] CostRow(DemoModel model, DemoMeasurement measurement, TimeSpan time) =>
        [model.Name, Invariant($"{measurement.Parameters:#,0}"), Invariant($"{time.TotalSeconds:#,0}"), Invariant($"{measurement.MemoryBytes / 1024.0:#,0}")];

    private static string Invariant(FormattableString text) => text.ToString(CultureInfo.InvariantCulture);

    /// <summary>What a run wrote down about itself.</summary>
    private sealed record Log(string Name, IReadOnlyList<MetricsRecord> Records)
    {
        public ChartSeries Series(MetricsKind kind, Func<MetricsRecord, double?> value, double halfLife)
        {
            List<MetricsRecord> records = [.. Records.Where(record => record.Kind == kind)];
            return new ChartSeries(Name, [.. records.Select(record => (double)record.Step)], [.. records.Select(record => value(record) ?? double.NaN)]) { SmoothingHalfLife = halfLife };
        }
    }
}
