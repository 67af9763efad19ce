using System.Text.Json;
using System.Xml.Linq;
using Loci.Evaluation.Experiments;
using Loci.Evaluation.Reporting;
using Loci.Tests.Training;
using Xunit;

namespace Loci.Tests.Experiments;

public sealed class ExperimentReportTests
{
    private static readonly Experiment Experiment = Experiment.Parse("""
        {
          "name": "made-up <b>", "description": "numbers that were made up",
          "task": { "kind": "recall", "vocabularySize": 40, "length": 32, "pairs": [2, 4] },
          "model": { "dimension": 16, "layers": 1, "heads": 2 },
          "arms": [ { "label": "base", "mixers": [ {} ] }, { "label": "grm | x", "mixers": [ { "cache": { "aggregation": "grm" } } ] }, { "label": "none", "mixers": [ {} ] } ],
          "training": { "steps": 12 },
          "seeds": [0, 1, 2],
          "learningRates": [0.001, 0.002, 0.004]
        }
        """);

    private static readonly IPreparedTask Task = ((RecallTask)Experiment.Task).Prepare();

    [Fact]
    public void MeanAndStandardErrorAreThoseByHand()
    {
        var statistic = ExperimentStatistic.Of([1, 2, 6])!;
        Assert.Equal(3, statistic.Mean, 1e-12);
        Assert.Equal(Math.Sqrt(7 / 3.0), statistic.StandardError!.Value, 1e-12); // the variance is (4 + 1 + 9) / 2
        Assert.Equal(new ExperimentStatistic(4, null, 1), ExperimentStatistic.Of([4]));
        Assert.Null(ExperimentStatistic.Of([]));
    }

    [Fact]
    public void LearningRateIsChosenOnTheValidationExamples()
    {
        var arm = Results().Arms[0];
        Assert.Equal(0.002, arm.LearningRate); // although 0.001 has the best test results
        var chosen = arm.Rates[1];
        Assert.Equal((3, 0), (chosen.Finished, chosen.Diverged));
        Assert.Equal(0.6, chosen.Validation["accuracy"].Mean, 1e-12);
        Assert.Equal(0.5, chosen.Reported["accuracy"].Mean, 1e-12);
        Assert.Equal(0.1 / Math.Sqrt(3), chosen.Reported["accuracy"].StandardError!.Value, 1e-12);
        Assert.Equal(200, arm.TokensPerSecond!.Value, 1e-9);
    }

    [Fact]
    public void DivergedRunsAreCountedAndNotChosen()
    {
        var arm = Results().Arms[1];
        Assert.Equal(0.001, arm.LearningRate); // although the two that did not diverge at 0.002 were better
        Assert.Equal((3, 1, 2), (arm.Rates[1].Finished, arm.Rates[1].Diverged, arm.Rates[1].Validation["accuracy"].Count));
        Assert.Equal(0, arm.Rates[2].Finished);
        Assert.Null(Results().Arms[2].LearningRate);
    }

    [Fact]
    public void ArmsAreComparedWithTheOneTheyName()
    {
        const string Arms = """
            {
              "name": "x", "task": { "kind": "recall", "vocabularySize": 40, "length": 32, "pairs": [2, 4] }, "model": { "dimension": 16, "layers": 1, "heads": 2 },
              "arms": [ { "label": "other", "mixers": [ {} ] }, { "label": "base", "mixers": [ {} ] }, { "label": "grm | x", "against": "base", "mixers": [ { "cache": { "aggregation": "grm" } } ] } ],
              "training": { "steps": 12 }, "seeds": [0, 1, 2], "learningRates": [0.001, 0.002, 0.004]
            }
            """;
        var experiment = Experiment.Parse(Arms);
        var results = ExperimentResults.Create(experiment, Task, [.. Results().Runs, .. Results().Runs.Where(run => run.Arm == "base").Select(run => run with { Arm = "other" })]);
        var text = ExperimentReport.ToMarkdown(experiment, results);
        Assert.Contains("grm | x less base: accuracy -20.00 ± 5.77 percentage points", text, StringComparison.Ordinal);
        Assert.Contains("base less other: accuracy 0.00 ± 0.00 percentage points", text, StringComparison.Ordinal);
        Assert.Contains("'none', which is not another arm", Assert.Throws<LociException>(() => Experiment.Parse(Arms.Replace("\"against\": \"base\"", "\"against\": \"none\"", StringComparison.Ordinal))).Message, StringComparison.Ordinal);
    }

    [Fact]
    public void MarkdownSaysAll()
    {
        var text = ExperimentReport.ToMarkdown(Experiment, Results());
        var lines = text.Split('\n');
        Assert.Equal("| model | accuracy, % | loss, nats per query | parameters | learning rate | seeds | tokens | tokens/s |", lines[0]);
        Assert.Equal("| base | 50.00 ± 5.77 | 1.0000 ± 0.0000 | 1,000 | 0.002 | 3 | 12,000 | 200 |", lines[2]);
        Assert.Equal("| grm \\| x | 30.00 ± 0.00 | 1.0000 ± 0.0000 | 1,100 | 0.001 | 3 | 12,000 | 200 |", lines[3]);
        Assert.Equal("| none | — | — | — | — | — | — | — |", lines[4]);
        Assert.Contains("Not finished: 15 of 27 runs", text, StringComparison.Ordinal);
        Assert.Contains("grm | x less base: accuracy -20.00 ± 5.77 percentage points, seed by seed.", text, StringComparison.Ordinal);
        Assert.Contains("10.0 % more parameters", text, StringComparison.Ordinal);
        Assert.Contains("1 of 3 runs diverged at the learning rate 0.002", text, StringComparison.Ordinal);
        Assert.Contains("grm | x: the best learning rate, 0.001, is at the end of those tried", text, StringComparison.Ordinal);
    }

    [Fact]
    public void PageIsWellFormedAndHasTablesAndCharts()
    {
        var html = ExperimentReport.CreatePage(Experiment, Task, Results()).ToHtml();
        var body = XElement.Parse(html[html.IndexOf("<main>", StringComparison.Ordinal)..(html.IndexOf("</main>", StringComparison.Ordinal) + 7)]);
        Assert.Equal("made-up <b>", body.Element("h1")!.Value);
        Assert.Equal(["Results", "Taken apart", "Learning curves", "Learning rates", "How it was done"], body.Elements("h2").Select(heading => heading.Value));
        var charts = body.Descendants("h3").Select(heading => heading.Value).ToList();
        Assert.Equal(
            [
                "Accuracy (test)", "Loss (test)", "Accuracy by distance", "Accuracy during training (validation)", "Loss during training (validation)",
                "Training loss", "Accuracy by learning rate (validation)",
            ],
            charts);
        Assert.Contains("base", body.Descendants("svg").First().Value, StringComparison.Ordinal);
        Assert.Contains("diverged", body.Descendants("table").Last().Value, StringComparison.Ordinal);
        Assert.Contains("arXiv 2312.04927", body.Value, StringComparison.Ordinal);
    }

    [Fact]
    public void FilesAreWritten()
    {
        using TrainingFixture.Folder folder = new();
        ExperimentReport.Save(folder.Path, Experiment, Task, Results());
        using var json = JsonDocument.Parse(File.ReadAllText(folder.In("results.json")));
        Assert.Equal(0.002, json.RootElement.GetProperty("arms")[0].GetProperty("learningRate").GetDouble());
        Assert.Equal(15, json.RootElement.GetProperty("runs").GetArrayLength());
        Assert.Equal(ExperimentReport.ToMarkdown(Experiment, Results()), File.ReadAllText(folder.In("results.md")));
        Assert.True(File.Exists(folder.In("report.html")));

        // Nothing finished is a report too.
        ExperimentReport.Save(folder.Path, Experiment, Task, ExperimentResults.Create(Experiment, Task, []));
        Assert.Contains("0 of 27", File.ReadAllText(folder.In("report.html")), StringComparison.Ordinal);
    }

    [Theory]
    [InlineData(true)]
    [InlineData(false)]
    public void BarsHaveTheLengthOfTheirValues(bool fromZero)
    {
        var html = new HtmlReport("t").Chart(new BarChart("b", "v", [new ChartBar("one", 25, 5, "25 ± 5"), new ChartBar("two", 50, null, "50"), new ChartBar("three", double.NaN, null, "none")]) { FromZero = fromZero }).ToHtml();
        var body = XElement.Parse(html[html.IndexOf("<main>", StringComparison.Ordinal)..(html.IndexOf("</main>", StringComparison.Ordinal) + 7)]);
        var svg = body.Descendants("svg").First();
        double[] widths = [.. svg.Descendants("rect").Select(bar => double.Parse(bar.Attribute("width")!.Value, System.Globalization.CultureInfo.InvariantCulture))];
        Assert.Equal(fromZero ? 2 : 0, widths.Length);
        if (fromZero)
        {
            Assert.Equal(2 * widths[0], widths[1], 0.2);
        }

        Assert.Equal(fromZero ? 0 : 2, svg.Descendants("circle").Count());
        Assert.Single(svg.Descendants("path"), path => path.Attribute("class")!.Value == "w");
        Assert.Contains("none", svg.Value, StringComparison.Ordinal);
    }

    private static ExperimentResults Results()
    {
        List<ExperimentRunResult> runs = [];
        foreach (var seed in new ulong[] { 0, 1, 2 })
        {
            runs.Add(Run("base", 0.001, seed, 0.5, 0.9));
            runs.Add(Run("base", 0.002, seed, 0.6, 0.4 + (0.1 * seed)));
            runs.Add(Run("base", 0.004, seed, 0.1, 0.1));
            runs.Add(Run("grm | x", 0.001, seed, 0.3, 0.3));
            runs.Add(Run("grm | x", 0.002, seed, 0.9, 0.9) with { Status = seed == 1 ? ExperimentRunStatus.Diverged : ExperimentRunStatus.Complete });
        }

        return ExperimentResults.Create(Experiment, Task, runs);
    }

    private static ExperimentRunResult Run(string arm, double rate, ulong seed, double validation, double test) => new()
    {
        Format = ExperimentRunResult.FormatName,
        Arm = arm,
        LearningRate = rate,
        Seed = seed,
        Status = ExperimentRunStatus.Complete,
        Parameters = arm == "base" ? 1000 : 1100,
        Steps = 12,
        SkippedSteps = 0,
        Tokens = 12000,
        TrainingSeconds = 60,
        Validation = new Dictionary<string, double> { ["accuracy"] = validation, ["loss"] = 1 },
        Test = new Dictionary<string, double> { ["accuracy"] = test, ["loss"] = 1 },
        Breakdowns = [new ExperimentBreakdown("Accuracy by distance", "tokens", "accuracy", [new ExperimentPoint(1, 1, 5, 0.5), new ExperimentPoint(2, 3, 5, 0.4)])],
        TrainingCurve = [new ExperimentCurvePoint(6, 6000, new Dictionary<string, double> { ["loss"] = 2 }), new ExperimentCurvePoint(12, 12000, new Dictionary<string, double> { ["loss"] = 1 })],
        ValidationCurve = [new ExperimentCurvePoint(12, 12000, new Dictionary<string, double> { ["loss"] = 1, ["accuracy"] = validation })],
        Identity = new Dictionary<string, string>(),
        Version = "1",
        Device = "cpu",
    };
}
