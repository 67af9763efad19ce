using System.Text.Json;
using Loci.Data;
using Loci.Evaluation;
using Xunit;

namespace Loci.Tests.Evaluation;

/// <summary>Tasks and models made by hand, so that every number can be worked out.</summary>
public sealed class EvaluatorTests
{
    [Fact]
    public void MeansAndErrorsAreThoseWorkedOutByHand()
    {
        // 1, 0, 0, 1, 1: mean 0.6, variance 0.3, error sqrt(0.3 / 5).
        var plain = EvaluationStatistic.Of([new(1), new(0), new(0), new(1), new(1)], MetricKind.Mean)!;
        Assert.Equal((0.6, 5), (plain.Value, plain.Examples));
        Assert.Equal(Math.Sqrt(0.06), plain.StandardError!.Value, 1e-12);

        // 2 with weight 1 and 4 with weight 3: mean 14 / 4; residuals times weights -1.5 and 1.5; error sqrt(2 / 1 * 4.5) / 4.
        var weighted = EvaluationStatistic.Of([new(2, 1), new(4, 3)], MetricKind.Mean)!;
        Assert.Equal(3.5, weighted.Value, 1e-12);
        Assert.Equal(0.75, weighted.StandardError!.Value, 1e-12);

        var exponential = EvaluationStatistic.Of([new(2, 1), new(4, 3)], MetricKind.ExponentialOfMean)!;
        Assert.Equal(Math.Exp(3.5), exponential.Value, 1e-9);
        Assert.Equal(0.75 * Math.Exp(3.5), exponential.StandardError!.Value, 1e-9);

        Assert.Equal(new EvaluationStatistic(7, null, 1), EvaluationStatistic.Of([new(7)], MetricKind.Mean));
        Assert.Null(EvaluationStatistic.Of([], MetricKind.Mean));
        Assert.Null(EvaluationStatistic.Of([new(7, 0)], MetricKind.Mean));
    }

    [Fact]
    public void WeightsAreAsIfExamplesStoodThereSoOften()
    {
        // The error of the mean of token losses grouped by documents is not that of single tokens, but the mean is.
        Random random = new(1);
        ExampleValue[] values = [.. Enumerable.Range(0, 20).Select(_ => new ExampleValue(random.NextDouble(), random.Next(1, 5)))];
        ExampleValue[] single = [.. values.SelectMany(value => Enumerable.Repeat(new ExampleValue(value.Value), (int)value.Weight))];
        Assert.Equal(EvaluationStatistic.Of(single, MetricKind.Mean)!.Value, EvaluationStatistic.Of(values, MetricKind.Mean)!.Value, 1e-12);
        ExampleValue[] scaled = [.. values.Select(value => value with { Weight = 10 * value.Weight })];
        Assert.Equal(EvaluationStatistic.Of(values, MetricKind.Mean)!.StandardError!.Value, EvaluationStatistic.Of(scaled, MetricKind.Mean)!.StandardError!.Value, 1e-12);
    }

    [Fact]
    public void ExamplesAreAskedJudgedAndTakenApart()
    {
        // Every kind of request in one example; the model answers with the number in the text.
        List<EvaluatedExample> examples = [];
        List<EvaluationProgress> progress = [];
        Numbers model = new();
        var result = Evaluator.Run(model, new Sums(600), new TaskOptions { Seed = 4 }, new Reporter(progress.Add), examples.Add, TestContext.Current.CancellationToken);
        Assert.Equal((true, 600, "sums", "numbers"), (result.IsComplete, result.Examples, result.Task, result.Model));
        Assert.Equal(Enumerable.Range(0, 600), examples.Select(example => example.Index));
        Assert.All(examples, example => Assert.Equal(3 * example.Index, example.Values["sum"].Value));
        Assert.Equal(3 * 299.5, result.Values["sum"].Value, 1e-9);
        Assert.Equal(1, result.Values["right"].Value);
        Assert.Equal(0, result.Values["right"].StandardError);
        Assert.False(result.Values.ContainsKey("never"));
        Assert.Equal(300, result.Values["even"].Examples);
        Assert.Equal(3 * 299.0, result.Values["even"].Value, 1e-9);
        Assert.True(model.Calls > 3, "All 600 examples were asked at once.");
        Assert.Equal(600, progress[^1].Examples);
        Assert.Equal(progress.Select(told => told.Examples).Order(), progress.Select(told => told.Examples));
        Assert.All(progress, told => Assert.Equal(600, told.Total));

        // Numbers ascend, names stay in the order in which they come.
        Assert.Equal(["kind", "length", "depth"], result.Slices.Select(slice => slice.Name));
        Assert.Equal(["zero", "one", "two"], result.Slices[0].Values.Select(value => value.Value));
        Assert.Equal(["128", "1024"], result.Slices[1].Values.Select(value => value.Value));
        Assert.Equal(["0", "0.5"], result.Slices[2].Values.Select(value => value.Value));
        var ones = examples.Where(example => example.Index % 3 == 1).Select(example => example.Values["sum"]).ToList();
        Assert.Equal(EvaluationStatistic.Of(ones, MetricKind.Mean), result.Slices[0].Values[1].Metrics["sum"]);

        var crossing = Assert.Single(result.Crossings);
        Assert.Equal(("length", "depth"), (crossing.First, crossing.Second));
        Assert.Equal([("128", "0"), ("128", "0.5"), ("1024", "0")], crossing.Cells.Select(cell => (cell.First, cell.Second))); // one pair never comes
        Assert.Equal(600, crossing.Cells.Sum(cell => cell.Metrics["sum"].Examples));
    }

    [Fact]
    public void WhatWasDoneBeforeAStopIsKept()
    {
        using CancellationTokenSource source = new();
        Numbers model = new() { StopAfter = (300, source) };
        var result = Evaluator.Run(model, new Sums(600), new TaskOptions(), null, null, source.Token);
        Assert.False(result.IsComplete);
        Assert.InRange(result.Examples, 1, 599);
        Assert.Equal(3 * (result.Examples - 1) / 2.0, result.Values["sum"].Value, 1e-9);

        using CancellationTokenSource before = new();
        before.Cancel();
        result = Evaluator.Run(model, new Sums(600), new TaskOptions(), null, null, before.Token);
        Assert.Equal((false, 0, 0), (result.IsComplete, result.Examples, result.Values.Count));
    }

    [Fact]
    public void ModelsWithoutATokenizerAreTold()
    {
        Assert.Contains("has no tokenizer", Assert.Throws<LociException>(() => Evaluator.Run(new Numbers(), new Sums(1) { IsText = true }, new TaskOptions(), cancellationToken: TestContext.Current.CancellationToken)).Message, StringComparison.Ordinal);
    }

    [Fact]
    public void ResultsComeBackFromJson()
    {
        var results = Results();
        var json = results.ToJson();
        var again = EvaluationResults.FromJson(json);
        Assert.Equal(json, again.ToJson());
        Assert.Equal(results.Tasks[1].Values["sum"], again.Tasks[1].Values["sum"]);
        Assert.Equal(results.Tasks[1].Crossings[0].Cells[2].Metrics["even"], again.Tasks[1].Crossings[0].Cells[2].Metrics["even"]);
        Assert.Equal(results.Tasks[0].Metrics, again.Tasks[0].Metrics);
        using (var document = JsonDocument.Parse(json))
        {
            Assert.Equal(3 * 2.5, document.RootElement.GetProperty("tasks")[0].GetProperty("values").GetProperty("sum").GetProperty("value").GetDouble());
        }

        Assert.Contains("results.json", Assert.Throws<LociException>(() => EvaluationResults.FromJson("{}")).Message, StringComparison.Ordinal);
        Assert.Throws<LociException>(() => EvaluationResults.FromJson("no"));
    }

    [Fact]
    public void ExamplesAreLinesOfJson()
    {
        List<string> lines = [];
        Evaluator.Run(new Numbers(), new Sums(2), new TaskOptions(), null, example => lines.Add(example.ToJson()), TestContext.Current.CancellationToken);
        Assert.Equal(
            """{"task":"sums","model":"numbers","index":1,"slices":{"kind":"one","length":"128","depth":"0.5"},"values":{"sum":3,"right":{"value":1,"weight":2}},"requests":[{"kind":"log-likelihood","context":"what is »1«?","continuation":"1","response":{"logProbability":1,"isGreedy":true,"tokens":1}},{"kind":"rolling","text":[1],"response":{"logProbability":1,"tokens":1}},{"kind":"generation","context":"1","until":["\n"],"maximumTokens":5,"response":{"text":"1","tokens":[1]}}]}""",
            lines[1]);
    }

    [Fact]
    public void TablesAndPageHaveAllModels()
    {
        var results = Results();
        var text = EvaluationReport.ToMarkdown(results);
        Assert.Equal(
            ["| task | metric | small | large \\| new | examples |", "|---|---|---:|---:|---:|", "| sums | sum, tokens | 7.5000 ± 2.2913 | 28.50 ± 3.97 | 6 / 20 |", "| sums | right, % | 100.00 ± 0.00 | 100.00 ± 0.00 | 6 / 20 |"],
            text.Split('\n')[..4]);
        Assert.Contains("sums by length: sum, tokens\n\n| length | small | large \\| new |\n|---|---:|---:|\n| 128 | ", text, StringComparison.Ordinal);
        Assert.DoesNotContain("preliminary", text, StringComparison.Ordinal);
        var html = EvaluationReport.CreatePage(results).ToHtml();
        foreach (var part in new[] { "Evaluation", "Sum by length", "Sum by kind", "Right by depth", "Sum of small by length (columns) and depth (rows)", "Sum of large | new by length", "by hand" })
        {
            Assert.Contains(part, html, StringComparison.Ordinal);
        }

        var partial = results with { IsComplete = false, Tasks = [results.Tasks[0] with { IsComplete = false }] };
        text = EvaluationReport.ToMarkdown(partial);
        Assert.Contains("| 7.5000 ± 2.2913 | — | 6 (partial) / — |", text, StringComparison.Ordinal);
        Assert.Contains("preliminary", text, StringComparison.Ordinal);
        Assert.Contains("6 (partial)", EvaluationReport.CreatePage(partial).ToHtml(), StringComparison.Ordinal);

        // Without a single example there is a page as well.
        var nothing = Evaluator.Run(new Numbers(), new Sums(0), new TaskOptions(), cancellationToken: TestContext.Current.CancellationToken);
        var empty = results with { Tasks = [nothing], Models = [new("numbers", null, null, "")] };
        Assert.Contains("| sums | sum, tokens | — | 0 |", EvaluationReport.ToMarkdown(empty), StringComparison.Ordinal);
        Assert.Contains("</html>", EvaluationReport.CreatePage(empty).ToHtml(), StringComparison.Ordinal);
    }

    [Theory]
    [InlineData("12", 12)]
    [InlineData("0.25", 0.25)]
    [InlineData("-3", -3)]
    [InlineData("16-31", 16)]
    [InlineData("1e3", 1000)]
    [InlineData("qa-1", double.NaN)]
    [InlineData("3-shot", double.NaN)]
    [InlineData("", double.NaN)]
    [InlineData("Infinity", double.NaN)]
    public void SliceValuesAreNumbersOrNot(string text, double expected) => Assert.Equal(expected, SliceNumbers.Parse(text));

    [Fact]
    public void TasksHaveNamesOfTheirOwn()
    {
        Assert.Equal(EvaluationTasks.All.Count, EvaluationTasks.All.Select(task => task.Name).Distinct().Count());
        Assert.All(EvaluationTasks.All, task =>
        {
            Assert.Matches("^[a-z0-9-]+$", task.Name);
            Assert.Matches("^[a-z0-9-]+$", task.Group);
            Assert.NotEmpty(task.Metrics);
            Assert.Same(task, EvaluationTasks.Find(task.Name));
            Assert.DoesNotContain(task.Name, new[] { "list", "perplexity", "all" });
            Assert.Equal(task.Metrics.Count, task.Metrics.Select(metric => metric.Name).Distinct().Count());
        });
        Assert.Contains("mqar", Assert.Throws<LociException>(() => EvaluationTasks.Find("there-is-none")).Message, StringComparison.Ordinal);
    }

    private static EvaluationResults Results()
    {
        var small = Evaluator.Run(new Numbers(), new Sums(6), new TaskOptions { Lengths = [128, 1024], Settings = new Dictionary<string, string> { ["a"] = "b" } }) with { Model = "small" };
        var large = Evaluator.Run(new Numbers(), new Sums(20), new TaskOptions()) with { Model = "large | new" };
        return new EvaluationResults
        {
            Version = "1",
            IsComplete = true,
            Tasks = [small, large],
            Models = [new("small", "runs/small", 12, "a model"), new("large | new", null, null, "")],
        };
    }

    private sealed class Reporter(Action<EvaluationProgress> report) : IProgress<EvaluationProgress>
    {
        public void Report(EvaluationProgress value) => report(value);
    }

    /// <summary>Answers every request with the number in it.</summary>
    private sealed class Numbers : IEvaluationModel
    {
        public string Name => "numbers";

        public Tokenizer? Tokenizer => null;

        public int VocabularySize => 10;

        public int Calls { get; private set; }

        public (int Requests, CancellationTokenSource Source)? StopAfter { get; init; }

        private int _requests;

        public IReadOnlyList<LogLikelihood> LogLikelihoods(IReadOnlyList<LogLikelihoodRequest> requests, IProgress<int>? progress = null, CancellationToken cancellationToken = default) =>
            Answer(requests, request => new LogLikelihood(double.Parse(request.Continuation.Text!), true, 1), progress, cancellationToken);

        public IReadOnlyList<RollingLogLikelihood> RollingLogLikelihoods(IReadOnlyList<RollingRequest> requests, IProgress<int>? progress = null, CancellationToken cancellationToken = default) =>
            Answer(requests, request => new RollingLogLikelihood([-request.Text.Tokens.Span[0]]), progress, cancellationToken);

        public IReadOnlyList<Generation> GenerateUntil(IReadOnlyList<GenerationRequest> requests, IProgress<int>? progress = null, CancellationToken cancellationToken = default) =>
            Answer(requests, request => new Generation(request.Context.Text!, [1]), progress, cancellationToken);

        private List<TResponse> Answer<TRequest, TResponse>(IReadOnlyList<TRequest> requests, Func<TRequest, TResponse> answer, IProgress<int>? progress, CancellationToken cancellationToken)
        {
            Calls++;
            List<TResponse> responses = [];
            foreach (var request in requests)
            {
                cancellationToken.ThrowIfCancellationRequested();
                responses.Add(answer(request));
                progress?.Report(responses.Count);
                if (++_requests >= 3 * StopAfter?.Requests)
                {
                    StopAfter!.Value.Source.Cancel();
                }
            }

            return responses;
        }
    }

    /// <summary>Example i asks for i in three ways.</summary>
    private sealed class Sums(int count) : EvaluationTask
    {
        public bool IsText { get; init; }

        public override string Name => "sums";

        public override string Title => "Sums";

        public override string Description => "Adds up.";

        public override string Source => "by hand";

        public override bool NeedsTokenizer => IsText;

        public override IReadOnlyList<TaskMetric> Metrics => [new("sum", "sum", "tokens"), new("right", "right"), new("even", "even", ""), new("never", "never")];

        public override IEnumerable<EvaluationExample> Load(IEvaluationModel model, TaskOptions options) => [.. Enumerable.Range(0, count).Select(i => new Example(i))];

        private sealed class Example(int number) : EvaluationExample
        {
            public override IReadOnlyList<EvaluationRequest> Requests =>
            [
                new LogLikelihoodRequest($"what is »{number}«?", $"{number}"), new RollingRequest(new EvaluationText(new[] { number })), new GenerationRequest($"{number}", ["\n"], 5),
            ];

            public override IReadOnlyList<(string Slice, string Value)> Slices =>
                [("kind", (number % 3) switch { 0 => "zero", 1 => "one", _ => "two" }), ("length", number % 4 == 0 ? "1024" : "128"), ("depth", number % 4 == 1 ? "0.5" : "0")];

            public override IReadOnlyDictionary<string, ExampleValue> Score(IReadOnlyList<EvaluationResponse> responses)
            {
                var (first, second, third) = ((LogLikelihood)responses[0], (RollingLogLikelihood)responses[1], (Generation)responses[2]);
                var sum = first.LogProbability + second.LogProbability + double.Parse(third.Text);
                Dictionary<string, ExampleValue> values = new() { ["sum"] = new(sum), ["right"] = new(first.LogProbability == number && third.Text == $"{number}" ? 1 : 0, 2) };
                if (number % 2 == 0)
                {
                    values["even"] = new(sum);
                }

                return values;
            }
        }
    }
}
