using System.Buffers.Binary;
using System.Diagnostics;
using System.Runtime.InteropServices;
using System.Text;
using System.Text.Json;
using System.Text.Json.Nodes;
using Loci.Data;
using Loci.Evaluation.Experiments;
using Loci.Formats;
using Loci.Memory;
using Loci.Memory.Aggregations;
using Loci.Memory.Routing;
using Loci.Models;
using Loci.Numerics;
using Loci.Sessions;
using Loci.Sessions.Storage;
using Loci.Tests.Models;
using Loci.Training;
using Xunit;
using static Loci.Tests.Training.TrainingFixture;

namespace Loci.Tests.Formats;

/// <summary>
/// Whatever number a file holds, reading it works or fails with one sentence, soon and in little memory: every number of small
/// valid files is replaced by each of a list of numbers, and of other things that are none.
/// </summary>
public sealed class NumbersInFilesTests : IDisposable
{
    private const long MostBytes = 256L << 20;

    private static readonly TimeSpan s_longest = TimeSpan.FromSeconds(20);

    private static readonly string[] s_values =
    [
        "0", "-1", "1", "2147483647", "2147483648", "1000000000", "2000000000", "9007199254740992",
        "9223372036854775807", "18446744073709551615", "1e308", "-1e308", "1e-46", "0.5",
        "\"NaN\"", "\"Infinity\"", "null", "\"text\"", "[]", "[1]", "{}", "true",
    ];

    private static readonly int[] s_integers = [0, -1, 1, int.MaxValue, int.MinValue, 1_000_000_000, 2_000_000_000, 65_536];

    private static readonly long[] s_longs = [0, -1, 1, int.MaxValue, 1L << 31, 1L << 53, 1L << 62, long.MaxValue, long.MinValue];

    private readonly Folder _folder = new();
    private readonly CpuDevice _device = new(1);

    public void Dispose()
    {
        _device.Dispose();
        _folder.Dispose();
    }

    [Fact]
    public void ModelConfiguration() => CheckConfiguration(Configuration);

    [Fact]
    public void DeepModelConfiguration()
    {
        MixerConfiguration titans = new() { Memory = "titans", ChunkLength = 4, Deep = new() { Decay = true, Momentum = true } };
        MixerConfiguration sparse = new()
        {
            ChunkLength = 4,
            Cache = new()
            {
                Aggregation = "ssc",
                SegmentLength = 8,
                Start = Loci.Memory.Segments.SegmentStart.Checkpoint,
                Router = new() { OnlineBias = 1, Keys = RouterKeys.Projected },
            },
        };
        CheckConfiguration((Configuration with { Mixers = [titans, sparse] }));
    }

    [Fact]
    public void RwkvConfiguration()
    {
        var configuration = Configuration with
        {
            Architecture = ModelArchitecture.Rwkv7,
            Ranks = new RwkvRanks(2, 2, 2, 2),
            Dropout = 0,
            TiedEmbeddings = false,
            Mixers = [],
        };
        CheckConfiguration(configuration);
    }

    [Fact]
    public void ConfigurationOfSavedWeights()
    {
        var folder = SaveModel();
        var path = Path.Combine(folder, "config.json");
        Check(File.ReadAllText(path), folder, json =>
        {
            File.WriteAllText(path, json);
            using var model = LanguageModel.Load(folder, _device);
            Use(model);
        });
    }

    [Fact]
    public void WeightsOfAModel()
    {
        var folder = SaveModel();
        var path = Path.Combine(folder, "model.safetensors");
        CheckHeader(path, path, () =>
        {
            using var model = LanguageModel.Load(folder, _device);
            Use(model);
        });
    }

    [Fact]
    public void Checkpoint()
    {
        var run = MakeRun();
        var path = Path.Combine(run, "checkpoint.safetensors");
        CheckHeader(path, path, () => ResumeRun(run));
    }

    [Fact]
    public void StateOfACheckpoint()
    {
        var run = MakeRun();
        var path = Path.Combine(run, "checkpoint.safetensors");
        var bytes = File.ReadAllBytes(path);
        foreach (var (name, count) in ((string, int)[])[("trainer.state", 12), ("run.state", 3)])
        {
            long position;
            using (var file = SafetensorsFile.Open(path))
            {
                position = file.Find(name).Position;
            }

            for (var i = 0; i < count; i++)
            {
                foreach (var value in s_longs)
                {
                    var mutated = bytes.ToArray();
                    BinaryPrimitives.WriteInt64LittleEndian(mutated.AsSpan((int)position + (8 * i)), value);
                    File.WriteAllBytes(path, mutated);
                    Attempt($"{name}[{i}] = {value}", null, () => ResumeRun(run));
                }
            }

            File.WriteAllBytes(path, bytes);
        }
    }

    [Fact]
    public void DescriptionOfARun()
    {
        var run = MakeRun(Options with { Epochs = 3, EvaluationTokens = 20, TimeLimit = TimeSpan.FromHours(1) });
        var path = Path.Combine(run, "training.json");
        Check(File.ReadAllText(path), path, json =>
        {
            File.WriteAllText(path, json);
            ResumeRun(run);
        }, "\"10675199.02:48:05.4775807\"", "\"-1.00:00:00\"");
    }

    [Fact]
    public void Metrics()
    {
        var run = MakeRun();
        var path = Path.Combine(run, "metrics.jsonl");
        var lines = File.ReadAllLines(path);
        Check(lines[1], path, json =>
        {
            File.WriteAllLines(path, [lines[0], json, .. lines[2..]]);
            _ = MetricsLog.Read(path);
            ResumeRun(run);
        });
    }

    [Theory]
    [InlineData("recall-small.json")]
    [InlineData("needle-16k.json")]
    [InlineData("wikitext-2-small.json")]
    [InlineData("recall-deep.json")]
    public void ExperimentFile(string name)
    {
        var json = File.ReadAllText(Path.Combine(Samples, name));
        JsonDocumentOptions options = new() { CommentHandling = JsonCommentHandling.Skip, AllowTrailingCommas = true };
        var plain = JsonNode.Parse(json, documentOptions: options)!;
        var path = _folder.In(name);
        Check(plain.ToJsonString(), path, mutated =>
        {
            File.WriteAllText(path, mutated);
            var experiment = Experiment.Load(path);
            _ = experiment.RunCount;
            _ = experiment.Runs.Take(3).ToList();
        });
    }

    [Fact]
    public void ResultsOfAnExperiment()
    {
        var file = _folder.In("experiment.json");
        File.WriteAllText(file, """
            { "name": "x",
              "task": { "kind": "recall", "vocabularySize": 32, "length": 16, "pairs": [2],
                "curveRows": 2, "validationRows": 2, "testRows": 2 },
              "training": { "steps": 2, "batch": 2 }, "model": { "dimension": 8, "layers": 1, "heads": 1 },
              "arms": [{ "label": "a", "mixers": [{ "memory": "gated-linear" }] }] }
            """);
        var experiment = Experiment.Load(file);
        var task = ((RecallTask)experiment.Task).Prepare();
        var folder = _folder.In("out");
        new ExperimentRunner(experiment, task, folder, 1).Run(TestContext.Current.CancellationToken);
        var path = Directory.GetFiles(folder, "result.json", SearchOption.AllDirectories).Single();
        Check(File.ReadAllText(path), path, json =>
        {
            File.WriteAllText(path, json);
            var finished = new ExperimentRunner(experiment, task, folder, 1).Finished();
            ExperimentReport.Save(folder, experiment, task, ExperimentResults.Create(experiment, task, finished));
        });
    }

    [Fact]
    public void RwkvModelFile()
    {
        var bytes = File.ReadAllBytes(RwkvModels.PathOf("5v2-730K"));
        var path = _folder.In("model.bin");
        for (var i = 1; i < 20; i++)
        {
            foreach (var value in s_integers)
            {
                var mutated = bytes.ToArray();
                BinaryPrimitives.WriteInt32LittleEndian(mutated.AsSpan(4 * i), value);
                File.WriteAllBytes(path, mutated);
                Attempt($"number {i} = {value}", path, () => RwkvFile.Load(path, _device).Dispose());
            }
        }
    }

    [Fact]
    public void TokenizerOfAModel()
    {
        var tokenizer = BpeTrainer.Train(
            Corpus.FromTexts("text", Texts), new BpeTrainerOptions { VocabularySize = 262 },
            cancellationToken: TestContext.Current.CancellationToken);
        var path = _folder.In("tokenizer.json");
        var text = Encoding.UTF8.GetString(TokenizerFile.Write(tokenizer));
        Check(text, null, json =>
        {
            File.WriteAllText(path, json);
            _ = TokenizerFile.Load(path).Encode(Texts[0]);
        });
    }

    [Fact]
    public void SessionOfAModel()
    {
        using var model = new LanguageModel(Configuration, _device);
        var path = _folder.In("text.memory");
        using (var session = model.CreateSession())
        {
            session.Read(Bytes.Encode(Texts[0]));
            session.SaveAs(path);
        }

        var whole = File.ReadAllBytes(path);
        // The header, whose numbers a program that writes checksums could get wrong.
        for (var i = 8; i < 64; i += sizeof(int))
        {
            foreach (var value in s_integers)
            {
                BinaryPrimitives.WriteInt32LittleEndian(whole.AsSpan(i), BinaryPrimitives.ReadInt32LittleEndian(whole.AsSpan(i)));
                var mutated = whole.ToArray();
                BinaryPrimitives.WriteInt32LittleEndian(mutated.AsSpan(i), value);
                File.WriteAllBytes(path, mutated);
                Attempt($"byte {i} = {value}", path, () => Open(model, path));
            }
        }

        // What lies behind the numbers of the last commit, with checksums that are right.
        byte[] online;
        File.WriteAllBytes(path, whole);
        using (var file = SessionFile.Open(path, false))
        {
            online = file.Online.ToArray();
        }

        var numbers = 1 + BinaryPrimitives.ReadInt32LittleEndian(online);
        for (var i = 0; i < numbers; i++)
        {
            foreach (var value in s_integers)
            {
                var mutated = online.ToArray();
                BinaryPrimitives.WriteInt32LittleEndian(mutated.AsSpan(i * sizeof(int)), value);
                File.WriteAllBytes(path, whole);
                using (var file = SessionFile.Open(path, true))
                {
                    file.Begin();
                    file.Commit(mutated);
                }

                Attempt($"online number {i} = {value}", path, () => Open(model, path));
            }
        }
    }

    [Fact]
    public void MetadataOfASession()
    {
        using var model = new LanguageModel(Configuration with { Mixers = [new MixerConfiguration { ChunkLength = 4 }] }, _device);
        var path = _folder.In("text.memory");
        SessionOptions options = new() { AfterTraining = new() { Read = "ssc", SegmentLength = 8 } };
        using (var session = model.CreateSession(options))
        {
            session.Read(Bytes.Encode(Texts[0]));
            session.SaveAs(path);
        }

        byte[] metadata, online;
        long[] rowBytes;
        using (var file = SessionFile.Open(path, false))
        {
            (metadata, online) = (file.Metadata.ToArray(), file.Online.ToArray());
            rowBytes = [.. Enumerable.Range(0, file.StreamCount).Select(file.RowBytes)];
        }

        Check(Encoding.UTF8.GetString(metadata), path, json =>
        {
            using (var file = SessionFile.Create(path, Encoding.UTF8.GetBytes(json), rowBytes, true))
            {
                file.Begin();
                file.Commit(online);
            }

            Open(model, path);
        });
    }

    [Fact]
    public void TokenThatTheModelDoesNotHaveIsRefused()
    {
        using var model = new LanguageModel(Configuration, _device);
        var path = _folder.In("text.memory");
        using (var session = model.CreateSession())
        {
            session.Read(Bytes.Encode(Texts[0]));
            session.SaveAs(path);
        }

        using (var file = SessionFile.Open(path, true))
        {
            var online = file.Online.ToArray();
            file.Begin();
            file.Keep(0, file.RowCount(0) - 1);
            file.AppendRows(0, BitConverter.GetBytes(int.MaxValue));
            file.Commit(online);
        }

        Assert.Contains("does not fit this model", Assert.Throws<LociException>(() => Open(model, path)).Message, StringComparison.Ordinal);
    }

    [Fact]
    public void ModelThatTheMachineCannotHoldIsRefusedWithItsSize()
    {
        // A layer has 5 D^2 + 3 D (43,712) + 2,343,040 parameters, D being 16,384; embedding and head have 257 D each, the last norm D.
        var configuration = Configuration with
        {
            Dimension = 16_384,
            Layers = 4096,
            Heads = 128,
            FeedForward = 0,
            Mixers = [new MixerConfiguration()],
        };
        var begun = GC.GetAllocatedBytesForCurrentThread();
        var message = Assert.Throws<LociException>(() => new LanguageModel(configuration, _device)).Message;
        Assert.Matches(
            @"^A model of 14,307,551,657,984 parameters needs 52\.1 TiB of memory for its weights, "
                + @"and this machine has .+iB: choose a smaller model\.$",
            message);
        Assert.InRange(GC.GetAllocatedBytesForCurrentThread() - begun, 0, MostBytes);
    }

    [Fact]
    public void SentenceNamesFileAndSetting()
    {
        var folder = SaveModel();
        var path = Path.Combine(folder, "config.json");
        File.WriteAllText(path, Configuration.ToJson().Replace("\"layers\": 2", "\"layers\": \"two\"", StringComparison.Ordinal));
        var message = Assert.Throws<LociException>(() => LanguageModel.Load(folder, _device)).Message;
        Assert.Equal(
            $"{path}: The model configuration is not valid: the value of 'layers' is not one that this setting can have.", message);
    }

    private static string Samples => Path.Combine(Root(), "samples", "experiments");

    private static string Root()
    {
        var folder = AppContext.BaseDirectory;
        while (!File.Exists(Path.Combine(folder, "Loci.slnx")))
        {
            folder = Path.GetDirectoryName(folder)!;
        }

        return folder;
    }

    private static void Open(LanguageModel model, string path)
    {
        using var session = Session.Open(model, path, new SessionOpenOptions { IsReadOnly = true });
        session.Read([1, 2, 3]);
    }

    private static void Use(LanguageModel model)
    {
        using var session = model.CreateSession();
        session.Read([1, 0, 1]);
    }

    private void CheckConfiguration(ModelConfiguration configuration)
    {
        var path = _folder.In("config.json");
        Check(configuration.ToJson(), path, json =>
        {
            File.WriteAllText(path, json);
            using var model = new LanguageModel(Loci.Models.ModelConfiguration.Load(path), _device);
            Use(model);
        });
    }

    private string SaveModel()
    {
        var folder = _folder.In("model");
        using var model = Model(_device);
        model.Save(folder);
        return folder;
    }

    private string MakeRun(TrainingOptions? options = null)
    {
        var folder = _folder.In("run");
        using var model = Model(_device);
        using var run = TrainingRun.Start(folder, model, Bytes, Text, Validation, (options ?? Options) with { Steps = 2 });
        run.Run(TestContext.Current.CancellationToken);
        return folder;
    }

    private void ResumeRun(string folder)
    {
        using var model = TrainingRun.CreateModel(folder, _device);
        var options = TrainingRun.ReadDescription(folder).Training;
        using var run = TrainingRun.Resume(folder, model, TrainingRun.LoadTokenizer(folder), Text, Validation, options);
    }

    /// <summary>Replaces every number of a JSON text.</summary>
    private static void Check(string json, string? named, Action<string> read, params string[] more)
    {
        List<JsonNode?> leaves = [];
        var root = JsonNode.Parse(json)!;
        Collect(root, leaves);
        var count = 0;
        for (var i = 0; i < leaves.Count; i++)
        {
            if (leaves[i]!.GetValueKind() != JsonValueKind.Number && more.Length == 0)
            {
                continue;
            }

            count++;
            foreach (var value in s_values.Concat(more))
            {
                var copy = JsonNode.Parse(json)!;
                List<JsonNode?> nodes = [];
                Collect(copy, nodes);
                var path = nodes[i]!.GetPath();
                nodes[i]!.ReplaceWith(JsonNode.Parse(value));
                Attempt($"{path} = {value}", named, () => read(copy.ToJsonString()));
            }
        }

        Assert.True(count > 0, json);
    }

    private static void Collect(JsonNode node, List<JsonNode?> leaves)
    {
        var children = node is JsonObject fields ? fields.Select(field => field.Value) : node.AsArray();
        foreach (var child in children)
        {
            if (child is JsonValue)
            {
                leaves.Add(child);
            }
            else if (child is not null)
            {
                Collect(child, leaves);
            }
        }
    }

    /// <summary>Replaces every number of a safetensors header, and its length.</summary>
    private static void CheckHeader(string path, string named, Action read)
    {
        var bytes = File.ReadAllBytes(path);
        var length = (int)BinaryPrimitives.ReadInt64LittleEndian(bytes);
        var data = bytes[(8 + length)..];
        var header = Encoding.UTF8.GetString(bytes.AsSpan(8, length)).TrimEnd();
        foreach (var value in s_longs)
        {
            var mutated = bytes.ToArray();
            BinaryPrimitives.WriteInt64LittleEndian(mutated, value);
            File.WriteAllBytes(path, mutated);
            Attempt($"length of the header = {value}", named, read);
        }

        // One tensor of each kind and place is enough: the first, the last and those that hold whole numbers.
        var root = JsonNode.Parse(header)!.AsObject();
        string[] names = [.. root.Select(field => field.Key).Where(name => name != "__metadata__")];
        var states = names.Where(name => name.EndsWith(".state", StringComparison.Ordinal));
        foreach (var name in states.Append(names[0]).Append(names[^1]).Distinct())
        {
            Check(root[name]!.ToJsonString(), named, json =>
            {
                var copy = JsonNode.Parse(header)!.AsObject();
                copy[name] = JsonNode.Parse(json);
                var text = Encoding.UTF8.GetBytes(copy.ToJsonString());
                using MemoryStream stream = new();
                stream.Write(BitConverter.GetBytes((long)text.Length));
                stream.Write(text);
                stream.Write(data);
                File.WriteAllBytes(path, stream.ToArray());
                read();
            });
        }
    }

    private static void Attempt(string what, string? named, Action read)
    {
        var allocated = GC.GetAllocatedBytesForCurrentThread();
        var begun = Stopwatch.GetTimestamp();
        try
        {
            read();
        }
        catch (LociException exception)
        {
            Assert.True(!exception.Message.Contains('\n', StringComparison.Ordinal), $"{what}: {exception.Message}");
            Assert.True(exception.Message.Length is > 20 and < 600, $"{what}: {exception.Message}");
            // The machine's memory and a model's sizes are said without the file; everything else names it.
            Assert.True(
                named is null || exception.Message.Contains(named, StringComparison.Ordinal)
                || exception.Message.StartsWith("A model of", StringComparison.Ordinal)
                || exception.Message.StartsWith("The tensor", StringComparison.Ordinal), $"{what}: {exception.Message}");
        }
        catch (Exception exception) when (exception is not Xunit.Sdk.IAssertionException)
        {
            Assert.Fail($"{what}: {exception}");
        }

        allocated = GC.GetAllocatedBytesForCurrentThread() - allocated;
        Assert.True(allocated < MostBytes, $"{what} allocates {allocated >> 20} MiB");
        Assert.True(Stopwatch.GetElapsedTime(begun) < s_longest, $"{what} takes {Stopwatch.GetElapsedTime(begun)}");
    }
}
