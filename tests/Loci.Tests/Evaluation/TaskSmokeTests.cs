using System.Text.Json.Nodes;
using Loci.Data;
using Loci.Evaluation;
using Loci.Memory.Aggregations;
using Loci.Models;
using Loci.Numerics;
using Xunit;

namespace Loci.Tests.Evaluation;

/// <summary>Every task, with a real model, a few examples and short contexts: from data to numbers.</summary>
public sealed class TaskSmokeTests : IDisposable
{
    private readonly string _folder = Directory.CreateTempSubdirectory("tasks").FullName;

    public static TheoryData<string> Names { get; } = [.. EvaluationTasks.All.Select(task => task.Name)];

    public void Dispose() => Directory.Delete(_folder, recursive: true);

    [Theory]
    [MemberData(nameof(Names))]
    public void TaskRunsOnAModel(string name)
    {
        var task = EvaluationTasks.Find(name);
        ByteTokenizer tokenizer = new();
        using CpuDevice device = new(1);
        ModelConfiguration configuration = new()
        {
            VocabularySize = tokenizer.VocabularySize,
            Dimension = 8,
            Layers = 1,
            Heads = 1,
            Mixers = [new() { ChunkLength = 64, Cache = new() { Aggregation = "ssc", SegmentLength = 128 } }],
        };
        using LanguageModel model = new(configuration, device, 2);
        var options = Options(task);
        var result = Evaluator.Run(new LanguageEvaluationModel(model, tokenizer, "small"), task, options, cancellationToken: TestContext.Current.CancellationToken);
        Assert.True(result.IsComplete);
        Assert.InRange(result.Examples, 1, 40);
        Assert.NotEmpty(task.Metrics);
        foreach (var metric in task.Metrics)
        {
            var value = result.Values[metric.Name];
            Assert.True(double.IsFinite(value.Value), $"{metric.Name} is {value.Value}.");
            if (metric.Unit == "%")
            {
                Assert.InRange(value.Value, 0, 1);
            }
        }
    }

    private TaskOptions Options(EvaluationTask task)
    {
        var lengths = new[] { task.Name switch { "babilong" or "ruler-vt" => 2000, "ruler-cwe" => 2200, "ruler-fwe" => 1600, _ => 1000 } };
        var options = new TaskOptions { Samples = 2, Lengths = lengths, Depths = [0.5], DataPath = DataOf(task) };
        var settings = new Dictionary<string, string>();
        if (task.SettingNames.Contains("template"))
        {
            settings["template"] = "short";
        }

        if (task.SettingNames.Contains("context"))
        {
            settings["context"] = "1000";
        }

        return options with { Settings = settings };
    }

    private string? DataOf(EvaluationTask task)
    {
        if (task.DataSource is null)
        {
            return null;
        }

        switch (task.Name)
        {
            case "babi" or "babilong":
                Directory.CreateDirectory(Path.Combine(_folder, "en"));
                foreach (var number in Enumerable.Range(1, 20))
                {
                    Write($"en/qa{number}_some-facts_test.txt", "1 Xenia went to the cellar.\n2 Yorick ran to the attic.\n3 Where is Xenia?\tcellar\t1\n");
                }

                Directory.CreateDirectory(Path.Combine(_folder, "en-10k"));
                foreach (var file in Directory.GetFiles(Path.Combine(_folder, "en")))
                {
                    File.Copy(file, Path.Combine(_folder, "en-10k", Path.GetFileName(file)));
                }

                return _folder;
            case "lambada":
                return TaskFixture.PathOf("lambada_test_openai.jsonl");
            case "piqa":
                return TaskFixture.PathOf("piqa.jsonl");
            case "hellaswag":
                return TaskFixture.PathOf("hellaswag_val_full.txt");
            case "winogrande":
                return TaskFixture.PathOf("winogrande.jsonl");
            case "arc-easy":
                return TaskFixture.PathOf("arc_easy.jsonl");
            case "arc-challenge":
                return TaskFixture.PathOf("arc_challenge.jsonl");
            case "siqa":
                return TaskFixture.PathOf("siqa_dev_3choice.jsonl");
            case "boolq":
                return TaskFixture.PathOf("boolq.jsonl.gz");
            case "triviaqa":
                return TaskFixture.PathOf("triviaqa_sm_sub.jsonl");
            case "nq":
                return TaskFixture.PathOf("NQ-open.dev.jsonl");
            case "swde" or "fda":
                return Write("rows.jsonl", new JsonObject { ["doc_id"] = "1", ["file_name"] = "1", ["key"] = "colour", ["value"] = "blue", ["text"] = "Name: Xenia. Colour: blue. Size: large. Colour:" }.ToJsonString() + "\n");
            case "squad" or "drop":
                return Write("rows.jsonl", new JsonObject { ["doc_id"] = "1", ["context"] = "Xenia lives in Rome.", ["question"] = "Where does Xenia live?", ["text"] = "Xenia lives in Rome. Xenia's town is", ["value"] = "Rome", ["answers"] = new JsonArray("Rome") }.ToJsonString() + "\n");
            default:
                Assert.StartsWith("longbench-", task.Name, StringComparison.Ordinal);
                return Write("longbench.jsonl", new JsonObject
                {
                    ["input"] = "Where is Xenia?",
                    ["context"] = "Xenia is in Rome, and Yorick in Oslo.",
                    ["answers"] = new JsonArray("Rome"),
                    ["length"] = 8,
                    ["dataset"] = task.Name["longbench-".Length..],
                    ["language"] = "en",
                    ["all_classes"] = new JsonArray("Rome", "Oslo"),
                    ["_id"] = "1",
                }.ToJsonString() + "\n");
        }
    }

    private string Write(string name, string content)
    {
        var path = Path.Combine(_folder, name);
        File.WriteAllText(path, content);
        return path;
    }
}
