using System.Collections.Concurrent;
using System.Text;
using System.Text.Json;
using System.Text.RegularExpressions;
using Loci.Data;
using Loci.Evaluation.Experiments;
using Loci.Evaluation.Tasks.Ruler;
using Loci.Models;
using Loci.Numerics;
using Loci.Tests.Training;
using Xunit;

namespace Loci.Tests.Experiments;

public sealed class ExperimentRunnerTests : IDisposable
{
    private const string Text = """
        {
          "name": "small",
          "task": { "kind": "recall", "vocabularySize": 40, "length": 32, "pairs": [2, 4], "curveRows": 2, "validationRows": 4, "testRows": 4 },
          "model": { "dimension": 16, "layers": 1, "heads": 2, "dropout": 0.1 },
          "arms": [
            { "label": "base", "mixers": [ { "chunkLength": 8 } ] },
            { "label": "grm", "mixers": [ { "chunkLength": 8, "cache": { "aggregation": "grm", "segmentLength": 8 } } ] }
          ],
          "training": { "steps": 12, "batch": 2, "evaluations": 3 },
          "seeds": [0, 1],
          "learningRates": [0.01]
        }
        """;

    private readonly TrainingFixture.Folder _folder = new();

    public void Dispose() => _folder.Dispose();

    [Fact]
    public void FinishedRunsAreNotDoneAgain()
    {
        Observer observer = new();
        var first = Run(Text, "out", observer);
        Assert.Equal(["base", "grm", "base", "grm"], first.Select(result => result.Arm));
        Assert.Equal([0UL, 0UL, 1UL, 1UL], first.Select(result => result.Seed));
        Assert.All(first, result =>
        {
            Assert.Equal((ExperimentRunStatus.Complete, 12L, 12L * 64, 0L), (result.Status, result.Steps, result.Tokens, result.SkippedSteps));
            Assert.Equal(["accuracy", "loss"], result.Test.Keys.Order());
            Assert.Equal([4L, 8L, 12L], result.ValidationCurve.Select(point => point.Step));
            Assert.Equal(12, result.TrainingCurve.Count);
            Assert.Equal(["Accuracy by number of pairs", "Accuracy by distance"], result.Breakdowns.Select(breakdown => breakdown.Title));
            Assert.True(result.TrainingSeconds > 0);
        });
        Assert.Equal(4, observer.Started.Count);
        Assert.Equal(4 * 12 * 64, observer.Tokens);
        Assert.Empty(Directory.GetFiles(_folder.In("out"), "checkpoint.safetensors", SearchOption.AllDirectories));

        Observer again = new();
        var second = Run(Text, "out", again);
        Assert.Empty(again.Started);
        Assert.Equal(first.Select(Essence), second.Select(Essence));

        // A new seed is run, the others are not.
        var more = Run(Text.Replace("[0, 1]", "[1, 0, 7]", StringComparison.Ordinal), "out", again);
        Assert.Equal(6, more.Count);
        Assert.All(again.Started, run => Assert.Equal(7UL, run.Seed));
    }

    [Fact]
    public void RunsAtOnceComeToTheSame() => Assert.Equal(Run(Text, "one", parallel: 1).Select(Essence), Run(Text, "three", parallel: 3).Select(Essence));

    [Fact]
    public void ModelsOfOneSeedSeeTheSameBatches()
    {
        var twins = Run(Text.Replace("\"aggregation\": \"grm\"", "\"aggregation\": \"none\"", StringComparison.Ordinal), "twins");
        Assert.Equal(twins[0].TrainingCurve.Select(point => point.Values["loss"]), twins[1].TrainingCurve.Select(point => point.Values["loss"]));
        Assert.Equal(twins[0].Test["loss"], twins[1].Test["loss"]);
        Assert.NotEqual(twins[0].Test["loss"], twins[2].Test["loss"]);
    }

    [Theory]
    [InlineData(1)]
    [InlineData(4)]
    [InlineData(11)]
    public void StoppedRunGoesOnAsIfNothingHadHappened(int steps)
    {
        var straight = Run(Text, "straight");
        using (CancellationTokenSource stop = new())
        {
            Observer observer = new() { StopAfter = (steps, stop) };
            Assert.Empty(Run(Text, "stopped", observer, parallel: 1, stop.Token));
        }

        Assert.Single(Directory.GetFiles(_folder.In("stopped"), "checkpoint.safetensors", SearchOption.AllDirectories));
        Observer rest = new();
        Assert.Equal(straight.Select(Essence), Run(Text, "stopped", rest, parallel: 1).Select(Essence));
        Assert.Equal((4 * 12 * 64) - (steps * 64), rest.Tokens);
        Assert.Empty(Directory.GetFiles(_folder.In("stopped"), "checkpoint.safetensors", SearchOption.AllDirectories));
    }

    [Theory]
    [InlineData("\"pairs\": [2, 4]", "\"pairs\": [2]", "another task")]
    [InlineData("\"steps\": 12", "\"steps\": 13", "other training settings")]
    [InlineData("\"segmentLength\": 8", "\"segmentLength\": 16", "another model under the label 'grm'")]
    public void ResultsThatCannotBeComparedAreNotMixed(string from, string to, string part)
    {
        Run(Text, "out");
        var changed = Text.Replace(from, to, StringComparison.Ordinal);
        Assert.Contains(part, Assert.Throws<LociException>(() => Run(changed, "out")).Message, StringComparison.Ordinal);

        // A checkpoint counts too.
        using CancellationTokenSource stop = new();
        Run(Text, "stopped", new Observer { StopAfter = (14, stop) }, parallel: 1, stop.Token);
        File.Delete(Directory.GetFiles(_folder.In("stopped"), "result.json", SearchOption.AllDirectories).Single());
        Assert.Contains(part, Assert.Throws<LociException>(() => Run(changed, "stopped")).Message, StringComparison.Ordinal);
    }

    [Fact]
    public void DivergedRunsAreRecorded()
    {
        var results = Run(Text.Replace("[0.01]", "[0.01, 1e30]", StringComparison.Ordinal).Replace("\"steps\": 12", "\"steps\": 40", StringComparison.Ordinal), "out");
        Assert.Equal(8, results.Count);
        Assert.All(results, result => Assert.Equal(result.LearningRate > 1 ? ExperimentRunStatus.Diverged : ExperimentRunStatus.Complete, result.Status));
        Assert.All(results.Where(result => result.LearningRate > 1), result =>
        {
            Assert.True(result.SkippedSteps > 10);
            Assert.True(result.Steps < 40);
        });
    }

    [Fact]
    public void DamagedResultIsNamed()
    {
        Run(Text, "out");
        var file = Directory.GetFiles(_folder.In("out"), "result.json", SearchOption.AllDirectories).Order().First();
        File.WriteAllText(file, "{");
        Assert.Contains(file, Assert.Throws<LociException>(() => Run(Text, "out")).Message, StringComparison.Ordinal);
    }

    // A run whose folder was removed is done again, as the messages say; a report without any of its runs is one that was lost.
    [Fact]
    public void LostRunsAreNotABeginning()
    {
        var first = Run(Text, "out");
        var results = Path.Combine(_folder.In("out"), "results.json");
        File.WriteAllText(results, "{}");
        var runs = Path.Combine(_folder.In("out"), "runs");
        Directory.Delete(Directory.GetDirectories(runs)[0], recursive: true);
        Observer observer = new();
        Assert.Equal(first.Select(Essence), Run(Text, "out", observer).Select(Essence));
        Assert.Single(observer.Started);

        Directory.Delete(runs, recursive: true);
        Assert.Contains("has lost its runs", Assert.Throws<LociException>(() => Run(Text, "out")).Message, StringComparison.Ordinal);
        Assert.Equal("{}", File.ReadAllText(results));
        File.Delete(results);
        Assert.Equal(first.Select(Essence), Run(Text, "out").Select(Essence));
    }

    [Fact]
    public void FailureOfARunEndsTheExperiment()
    {
        Assert.Contains("broken", Assert.Throws<LociException>(() => Run(Text, "out", new Observer { Breaks = true })).Message, StringComparison.Ordinal);
    }

    [Fact]
    public void FolderIsUsedByOneAtATime()
    {
        Observer observer = new() { During = () => Assert.Contains("another process", Assert.Throws<LociException>(() => Run(Text, "out")).Message, StringComparison.Ordinal) };
        Run(Text, "out", observer, parallel: 1);
    }

    [Fact]
    public void LanguageModelsAreCompared()
    {
        var text = Text[..Text.IndexOf("\"task\"", StringComparison.Ordinal)] + "\"task\": { \"kind\": \"language\", \"tokenizer\": \"byte\", \"context\": 24, \"curveTokens\": 30 },"
            + Text[Text.IndexOf("\"model\"", StringComparison.Ordinal)..];
        var experiment = Experiment.Parse(text);
        var task = ((LanguageTask)experiment.Task).Prepare(TrainingFixture.Bytes, TrainingFixture.Text, TrainingFixture.Validation, TrainingFixture.Encode("early to rise"));
        var results = new ExperimentRunner(experiment, task, _folder.In("out"), 2).Run(TestContext.Current.CancellationToken);
        Assert.All(results, result =>
        {
            Assert.Equal(["bits_per_byte", "loss", "word_perplexity"], result.Test.Keys.Order());
            Assert.InRange(result.Test["loss"], 2, 5.6);
            Assert.NotEqual(result.Test["loss"], result.Validation["loss"]);
        });

        // Without test text the validation text is reported; other text is refused.
        var other = ((LanguageTask)experiment.Task).Prepare(TrainingFixture.Bytes, TrainingFixture.Text, TrainingFixture.Validation, null);
        Assert.False(other.HasTest);
        Assert.Contains("other text", Assert.Throws<LociException>(() => new ExperimentRunner(experiment, other, _folder.In("out"), 2).Run(TestContext.Current.CancellationToken)).Message, StringComparison.Ordinal);
        Assert.All(new ExperimentRunner(experiment, other, _folder.In("other"), 2).Run(TestContext.Current.CancellationToken), result => Assert.Same(result.Validation, result.Reported));
    }

    [Fact]
    public void OtherSeedsTakeTheRateThatWasBestOnTheSweptOnes()
    {
        var text = Text.Replace("[0.01]", "[0.01, 0.05, 0.2], \"sweepSeeds\": 1", StringComparison.Ordinal).Replace("[0, 1]", "[4, 5, 6]", StringComparison.Ordinal);
        var experiment = Experiment.Parse(text);
        Assert.Equal(2 * (3 + 2), experiment.RunCount);
        var runs = Run(text, "sweep");
        Assert.Equal(10, runs.Count);
        var results = ExperimentResults.Create(experiment, ((RecallTask)experiment.Task).Prepare(), runs);
        Assert.Equal(10, results.Planned);
        foreach (var arm in results.Arms)
        {
            var swept = runs.Where(run => run.Arm == arm.Label && run.Seed == 4).ToList();
            Assert.Equal([0.01, 0.05, 0.2], swept.Select(run => run.LearningRate).Order());
            Assert.Equal(swept.MaxBy(run => run.Validation["accuracy"])!.LearningRate, arm.LearningRate);
            Assert.All(runs.Where(run => run.Arm == arm.Label && run.Seed != 4), run => Assert.Equal(arm.LearningRate, run.LearningRate));
            Assert.Equal(3, arm.Rates.Single(rate => rate.LearningRate == arm.LearningRate).Finished);
        }

        Observer again = new();
        Assert.Equal(10, Run(text, "sweep", again).Count);
        Assert.Empty(again.Started);
    }

    [Fact]
    public void ModelsAreKeptWhereAsked()
    {
        var text = Text.Replace("\"seeds\"", "\"keepModels\": true, \"seeds\"", StringComparison.Ordinal);
        var experiment = Experiment.Parse(text);
        var task = ((RecallTask)experiment.Task).Prepare();
        var runs = Run(text, "kept");
        foreach (var (run, result) in experiment.Runs.Zip(runs))
        {
            using CpuDevice device = new(1);
            using var model = LanguageModel.Load(Path.Combine(_folder.In("kept"), "runs", run.Name, "model"), device);
            Assert.Equal(result.Test, task.Measure(model, ExperimentSet.Test, TestContext.Current.CancellationToken).Values);
        }

        Run(Text, "not");
        Assert.Empty(Directory.GetFiles(_folder.In("not"), "model.safetensors", SearchOption.AllDirectories));
    }

    [Fact]
    public void NeedlesAreLearnedShortAndMeasuredLong()
    {
        const string Needles = """
            {
              "name": "needles",
              "task": {
                "kind": "needle", "needles": ["niah-single-2", "niah-single-1"], "trainingNeedles": ["niah-single-2"], "keys": "Numbers", "digits": 2, "length": 160, "trainingLengths": [80, 160],
                "curriculumRows": 8, "testLengths": [160, 300], "depths": [0, 1], "testExamples": 2, "validationExamples": 3, "tokenizer": "byte"
              },
              "model": { "dimension": 16, "layers": 1, "heads": 2 },
              "arms": [ { "label": "ssc", "mixers": [ { "chunkLength": 16, "cache": { "aggregation": "ssc", "segmentLength": 32 } } ] } ],
              "training": { "steps": 8, "batch": 2, "evaluations": 2 }
            }
            """;
        var experiment = Experiment.Parse(Needles);
        var needle = (NeedleTask)experiment.Task;
        var task = needle.Prepare(new ByteTokenizer(), HaystackText.Shipped);
        var result = Assert.Single(new ExperimentRunner(experiment, task, _folder.In("needles"), 1).Run(TestContext.Current.CancellationToken));
        Assert.Equal(["accuracy", "accuracy_160", "accuracy_300", "accuracy_niah-single-1", "accuracy_niah-single-2", "loss"], result.Test.Keys.Order());
        Assert.InRange(result.Test["loss"], 2, 7);
        Assert.Equal(2 * 2 * 2, result.Breakdowns[0].Points[0].Count);
        Assert.Contains(result.Breakdowns, breakdown => breakdown.Title == "Accuracy by depth, 300 tokens" && breakdown.Points.Count == 2);

        // What is predicted is the answer and nothing else, and short examples come before long ones.
        var batches = task.CreateBatches(3);
        TokenBatch batch = new(1, 160);
        batches.Next(batch);
        Assert.Equal([0, 80], batch.SequenceStarts.ToArray());
        var predicted = Enumerable.Range(0, 80).Where(i => batch.Targets[i] != TokenBatch.Ignored).ToList();
        Assert.Equal(Enumerable.Range(predicted[0], predicted.Count), predicted);
        var text = Encoding.ASCII.GetString([.. batch.Inputs.AsSpan(1, predicted[0]).ToArray().Select(token => (byte)token)]);
        var answer = Encoding.ASCII.GetString([.. predicted.Select(i => (byte)batch.Targets[i])]);
        var key = Regex.Match(text, @"\nThe number for (\d\d) is$").Groups[1].Value;
        Assert.Contains($"The number for {key} is{answer}.", text, StringComparison.Ordinal);
        HashSet<int> lengths = [];
        for (var row = 0; row < 60; row++)
        {
            batches.Next(batch);
            lengths.Add(batch.SequenceStarts.Length);
        }

        Assert.Equal([1, 2], lengths.Order());
        Assert.Contains("testLengths", Assert.Throws<LociException>(() => Experiment.Parse(Needles.Replace("[160, 300]", "[]", StringComparison.Ordinal))).Message, StringComparison.Ordinal);
        foreach (var (once, twice) in new[] { ("[160, 300]", "[160, 160]"), ("[0, 1]", "[0, 1, 1.0]") })
        {
            var failure = Assert.Throws<LociException>(() => Experiment.Parse(Needles.Replace(once, twice, StringComparison.Ordinal)));
            Assert.Contains("name one twice", failure.Message, StringComparison.Ordinal);
        }
        Assert.Contains("no needle task 'niah-single-9'", Assert.Throws<LociException>(() => Experiment.Parse(Needles.Replace("niah-single-1", "niah-single-9", StringComparison.Ordinal))).Message, StringComparison.Ordinal);
    }

    [Fact]
    public void TestTextIsReadInLongerWindows()
    {
        var text = Text[..Text.IndexOf("\"task\"", StringComparison.Ordinal)] + "\"task\": { \"kind\": \"language\", \"tokenizer\": \"byte\", \"context\": 16, \"testContext\": 40, \"curveTokens\": 30 },"
            + Text[Text.IndexOf("\"model\"", StringComparison.Ordinal)..];
        var experiment = Experiment.Parse(text);
        var test = TrainingFixture.Encode(string.Concat(Enumerable.Repeat("early to rise ", 12)));
        var task = ((LanguageTask)experiment.Task).Prepare(TrainingFixture.Bytes, TrainingFixture.Text, TrainingFixture.Validation, test);
        using CpuDevice device = new(1);
        using LanguageModel model = new(experiment.Arms[1].Model with { VocabularySize = task.VocabularySize }, device, 1);
        var points = task.Measure(model, ExperimentSet.Test, TestContext.Current.CancellationToken).Breakdowns.Single().Points;
        Assert.Equal(39, points[^1].To);
        Assert.Equal(15, task.Measure(model, ExperimentSet.Validation, TestContext.Current.CancellationToken).Breakdowns.Single().Points[^1].To);
        Assert.Contains("testContext", Assert.Throws<LociException>(() => Experiment.Parse(text.Replace("\"testContext\": 40", "\"testContext\": 0", StringComparison.Ordinal))).Message, StringComparison.Ordinal);
    }

    private IReadOnlyList<ExperimentRunResult> Run(string text, string folder, Observer? observer = null, int parallel = 2, CancellationToken? stop = null)
    {
        var experiment = Experiment.Parse(text);
        return new ExperimentRunner(experiment, ((RecallTask)experiment.Task).Prepare(), _folder.In(folder), parallel, observer).Run(stop ?? TestContext.Current.CancellationToken);
    }

    /// <summary>A result without what depends on the clock.</summary>
    private static string Essence(ExperimentRunResult result) => JsonSerializer.Serialize(result with { TrainingSeconds = 0 }, ExperimentJson.Default.ExperimentRunResult);

    private sealed class Observer : IExperimentObserver
    {
        private long _tokens;
        private int _steps;

        public ConcurrentQueue<ExperimentRun> Started { get; } = [];

        public long Tokens => _tokens;

        public (int Steps, CancellationTokenSource Stop)? StopAfter { get; init; }

        public bool Breaks { get; init; }

        public Action? During { get; init; }

        public void OnStarted(ExperimentRun run, long tokens) => Started.Enqueue(run);

        public void OnStep(ExperimentRun run, long tokens, double loss)
        {
            Interlocked.Add(ref _tokens, tokens);
            var steps = Interlocked.Increment(ref _steps);
            if (steps == StopAfter?.Steps)
            {
                StopAfter.Value.Stop.Cancel();
            }

            if (steps == 5)
            {
                During?.Invoke();
                if (Breaks)
                {
                    throw new LociException("The disk is broken.");
                }
            }
        }

        public void OnFinished(ExperimentRun run, ExperimentRunResult result)
        {
        }
    }
}
