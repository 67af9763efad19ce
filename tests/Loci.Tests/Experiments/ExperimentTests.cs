using Loci.Data;
using Loci.Evaluation.Experiments;
using Loci.Models;
using Loci.Training;
using Xunit;

namespace Loci.Tests.Experiments;

public sealed class ExperimentTests
{
    private const string Whole = """
        {
          // What everything is about.
          "name": "a test", "description": "of everything",
          "task": { "kind": "recall", "vocabularySize": 64, "length": 32, "pairs": [4, 8], "powerA": 0.5, "randomNonQueries": false, "curveRows": 2, "validationRows": 3, "testRows": 4, "evaluationSeed": 5 },
          "model": { "dimension": 16, "layers": 2, "heads": 2 },
          "arms": [
            { "label": "Base", "mixers": [ { "memory": "linear" } ] },
            { "label": "Hybrid (2)", "mixers": [ { "chunkLength": 8, "cache": { "aggregation": "grm", "segmentLength": 16 } }, { "memory": "attention" } ], "model": { "layers": 4 } },
          ],
          "training": { "tokens": 1000, "batch": 4, "accumulation": 2, "schedule": "wsd", "warmup": 1, "finalFraction": 0, "weightDecay": 0.01, "clip": 0.5, "evaluations": 2 },
          "seeds": [3, 18446744073709551615],
          "learningRates": [0.001, 1e-2]
        }
        """;

    private const string Least = """{ "name": "n", "task": { "kind": "language" }, "arms": [ { "label": "a", "mixers": [ {} ] } ], "training": { "steps": 5 } }""";

    [Fact]
    public void FileIsRead()
    {
        var experiment = Experiment.Parse(Whole);
        Assert.Equal(("a test", "of everything"), (experiment.Name, experiment.Description));
        var task = Assert.IsType<RecallTask>(experiment.Task);
        Assert.Equal((64, 32, 0.5, false, 2, 3, 4, 5UL), (task.VocabularySize, task.Length, task.PowerA, task.RandomNonQueries, task.CurveRows, task.ValidationRows, task.TestRows, task.EvaluationSeed));
        Assert.Equal([4, 8], task.Pairs);
        Assert.Equal(["Base", "Hybrid (2)"], experiment.Arms.Select(arm => arm.Label));
        var (plain, hybrid) = (experiment.Arms[0].Model, experiment.Arms[1].Model);
        Assert.Equal((16, 2, 2, "linear"), (plain.Dimension, plain.Layers, plain.Heads, plain.Mixers[0].Memory));
        Assert.Equal(new ModelConfiguration { VocabularySize = 2 }.NormEpsilon, plain.NormEpsilon);
        Assert.Equal((4, 2, "gated-linear", "grm", "attention"), (hybrid.Layers, hybrid.Mixers.Count, hybrid.Mixers[0].Memory, hybrid.Mixers[0].Cache.Aggregation, hybrid.Mixers[1].Memory));
        Assert.Equal(8, experiment.Runs.Count());
        Assert.Equal("hybrid-2-lr0.01-seed3", experiment.Runs.ElementAt(3).Name);

        var options = experiment.Training.ToOptions(32, 0.01, 3);
        Assert.Equal((4L, 4, 2, 32, 2, 3UL), (options.Steps!.Value, options.BatchRows, options.Accumulation, options.Context, options.EvaluateEvery, options.Seed)); // 1,000 tokens are 3.9 steps of 256
        Assert.Equal((ScheduleKind.WarmupStableDecay, 0.01, 1, 0.0), (options.LearningRate.Kind, options.LearningRate.Peak, options.LearningRate.WarmupSteps, options.LearningRate.FinalFraction));
        Assert.Equal((0.01f, 0.5f, 0.95f), (options.WeightDecay, options.MaximumGradientNorm, options.Beta2));
    }

    [Fact]
    public void WhatIsLeftOutHasItsDefault()
    {
        var experiment = Experiment.Parse(Least);
        var task = Assert.IsType<LanguageTask>(experiment.Task);
        Assert.Equal((null, "bpe:4096", 4096, 512, DocumentSeparator.File), (task.Training, task.Tokenizer, task.VocabularyToLearn, task.Context, task.Separator));
        Assert.Equal(new ExperimentTraining { Steps = 5 }, experiment.Training);
        Assert.Equal([0UL], experiment.Seeds);
        Assert.Equal([0.002], experiment.LearningRates);
        Assert.Equal(0, experiment.Training.ToOptions(512, 0.1, 0).LearningRate.WarmupSteps);
        Assert.Equal(100, (experiment.Training with { Steps = 5000 }).ToOptions(512, 0.1, 0).LearningRate.WarmupSteps);
    }

    [Theory]
    [InlineData("{", "not valid JSON")]
    [InlineData("[]", "not a JSON object")]
    [InlineData("{}", "no name")]
    [InlineData("\"name\": \"a test\"|\"name\": \" \"", "name is empty")]
    [InlineData("\"name\": \"a test\"|\"name\": 5", "name")]
    [InlineData("\"name\": \"a test\"|\"name\": \"x\", \"tusk\": 1", "no setting 'tusk' in an experiment's file: use name, ")]
    [InlineData("\"kind\": \"recall\"|\"kind\": \"recoil\"", "'recoil': use recall, language or needle")]
    [InlineData("\"kind\": \"recall\", |", "does not say what it is")]
    [InlineData("\"powerA\"|\"power\"", "no setting 'power' in an experiment's task: use vocabularySize, ")]
    [InlineData("\"powerA\": 0.5|\"powerA\": \"x\"", "'powerA' in the experiment's task")]
    [InlineData("\"pairs\": [4, 8]|\"pairs\": [9]", "9 pairs")]
    [InlineData("\"curveRows\": 2|\"curveRows\": 4", "3 validation")]
    [InlineData("\"heads\": 2|\"heads\": 3", "arm 'Base' is not a model")]
    [InlineData("\"heads\": 2|\"vocabularySize\": 2", "vocabulary comes from the task")]
    [InlineData("\"heads\": 2|\"head\": 2", "arm 'Base' is not a model")]
    [InlineData("\"memory\": \"linear\"|\"memory\": \"elephant\"", "elephant")]
    [InlineData("\"label\": \"Base\", |", "has no label")]
    [InlineData("\"Hybrid (2)\"|\"base!\"", "'Base' and 'base!'")]
    [InlineData("\"label\": \"Base\", \"mixers\"|\"label\": \"Base\", \"mixer\"", "no setting 'mixer'")]
    [InlineData("\"model\": { \"layers\": 4 }|\"model\": { \"mixers\": [] }", "mixers are what the arms differ in")]
    [InlineData("\"tokens\": 1000, |", "no end")]
    [InlineData("\"tokens\": 1000|\"tokens\": 1000, \"steps\": 2", "two ends")]
    [InlineData("\"tokens\": 1000|\"tokens\": 0", "0 tokens")]
    [InlineData("\"batch\": 4|\"batch\": 0", "batch (0)")]
    [InlineData("\"schedule\": \"wsd\"|\"schedule\": \"sine\"", "'schedule' in the experiment's training")]
    [InlineData("\"evaluations\": 2|\"evaluations\": 0", "0 points")]
    [InlineData("[3, 18446744073709551615]|[3, 3]", "seeds")]
    [InlineData("[3, 18446744073709551615]|[-3]", "seeds")]
    [InlineData("[0.001, 1e-2]|[0]", "learning rate is 0")]
    [InlineData("[0.001, 1e-2]|[]", "learningRates")]
    [InlineData("\"seeds\"|\"sweepSeeds\": 3, \"seeds\"", "sweepSeeds is 3: give the number of seeds, from 1 to 2")]
    [InlineData("\"seeds\"|\"sweepSeeds\": \"all\", \"seeds\"", "sweepSeeds is \"all\"")]
    [InlineData("\"seeds\"|\"keepModels\": 1, \"seeds\"", "keepModels is 1: use true or false")]
    public void FileThatCannotBeIsExplained(string change, string part)
    {
        var text = change.Split('|') is [var from, var to] ? Whole.Replace(from, to, StringComparison.Ordinal) : change;
        Assert.NotEqual(Whole, text);
        var message = Assert.Throws<LociException>(() => Experiment.Parse(text)).Message;
        Assert.Contains(part, message, StringComparison.Ordinal);
        Assert.DoesNotContain('\n', message);
    }

    [Theory]
    [InlineData("bpe:many")]
    [InlineData("bpe:12")]
    [InlineData("")]
    public void TokenizerThatCannotBeIsExplained(string tokenizer) => Assert.Contains(
        "tokenizer",
        Assert.Throws<LociException>(() => Experiment.Parse(Least.Replace("\"language\"", $"\"language\", \"tokenizer\": \"{tokenizer}\"", StringComparison.Ordinal))).Message,
        StringComparison.Ordinal);

    [Fact]
    public void MissingFileIsNamed() =>
        Assert.Contains("there-is-none.json", Assert.Throws<LociException>(() => Experiment.Load("there-is-none.json")).Message, StringComparison.Ordinal);

    [Fact]
    public void SamplesAreRead()
    {
        var folder = AppContext.BaseDirectory;
        while (!Directory.Exists(Path.Combine(folder, "samples")))
        {
            folder = Path.GetDirectoryName(folder)!;
        }

        var samples = Directory.GetFiles(Path.Combine(folder, "samples", "experiments"), "*.json");
        Assert.NotEmpty(samples);
        Assert.All(samples, sample => Assert.Equal(Path.GetFileNameWithoutExtension(sample), Experiment.Load(sample).Name));
    }

    [Theory]
    [InlineData("α", "α")]
    [InlineData("Модель 2", "модель-2")]
    [InlineData("日本", "日本")]
    [InlineData("हिन्दी", "हिन्दी")]
    [InlineData("e\u0301", "e\u0301")]
    [InlineData("GRM, k=4 (soup)", "grm-k-4-soup")]
    [InlineData("../x", "x")]
    [InlineData("a/b", "a-b")]
    public void Labels_of_any_script_name_a_folder(string label, string folder)
    {
        var run = Assert.Single(Labelled(label).Runs);
        Assert.Equal(folder + "-lr0.002-seed0", run.Name);
        Assert.StartsWith(label, run.Title, StringComparison.Ordinal);
    }

    [Fact]
    public void Labels_without_letters_and_long_ones_name_folders_of_their_own()
    {
        string[] labels = ["🙂", "∞", new('я', 300), new string('я', 300) + "2"];
        string[] names = [.. Labelled(labels).Runs.Select(run => run.Name)];
        Assert.Equal(4, names.Distinct().Count());
        Assert.All(names, name => Assert.InRange(System.Text.Encoding.UTF8.GetByteCount(name), 16, 130));
        Assert.Matches("^[0-9a-f]{16}-lr", names[0]);
        Assert.StartsWith("яяяя", names[2], StringComparison.Ordinal);
    }

    [Theory]
    [InlineData("α", "Α")]
    [InlineData("a b", "a-b")]
    public void Labels_that_would_share_a_folder_are_refused(string first, string second) =>
        Assert.Contains("would share a folder", Assert.Throws<LociException>(() => Labelled(first, second)).Message, StringComparison.Ordinal);

    private static Experiment Labelled(params string[] labels) => Experiment.Parse($$"""
        {
          "name": "n", "task": { "kind": "language" }, "training": { "steps": 1, "batch": 1 },
          "arms": [ {{string.Join(", ", labels.Select(label => $$"""{ "label": {{System.Text.Json.JsonSerializer.Serialize(label)}}, "mixers": [ {} ] }"""))}} ]
        }
        """);
}
