using System.Text.Json;
using Loci.Cli.Terminal;
using Loci.Data;
using Loci.Formats;
using Xunit;

namespace Loci.Cli.Tests;

public sealed class CommandTests(TrainedModel trained) : IClassFixture<TrainedModel>, IDisposable
{
    private readonly TemporaryFolder _folder = new();

    public void Dispose() => _folder.Dispose();

    [Fact]
    public void TrainingShowsWhatItDoesAndSaves()
    {
        Assert.Equal(0, trained.Training.ExitCode);
        var shown = trained.Training.Error;
        foreach (var part in new[]
        {
            "parameters: gated-linear with GRM, segments of 64", "vocabulary 257", "36 documents", "4 documents", "30 steps of 64 tokens", "cosine", "cpu (1 thread",
            "step 10: validation loss", "bits per byte", "100.0%", "tokens/s", "Done: 30 steps", "loci generate --model",
        })
        {
            Assert.Contains(part, shown, StringComparison.Ordinal);
        }

        foreach (var name in new[] { "model.safetensors", "config.json", "tokenizer.json", "training.json", "checkpoint.safetensors", "metrics.jsonl" })
        {
            Assert.True(File.Exists(Path.Combine(trained.Folder, name)), name);
        }
    }

    [Fact]
    public void GenerationDependsOnTheSeedAlone()
    {
        string[] arguments = ["generate", "--model", trained.Folder, "--prompt", "Paragraph", "--tokens", "60", "--temperature", "1"];
        var first = Cli.Run([.. arguments, "--seed", "1"]);
        Assert.Equal(0, first.ExitCode);
        Assert.StartsWith("Paragraph", first.Output, StringComparison.Ordinal);
        Assert.True(first.Output.Length > 20);
        Assert.Equal(first.Output, Cli.Run([.. arguments, "--seed", "1", "--threads", "2"]).Output);
        Assert.NotEqual(first.Output, Cli.Run([.. arguments, "--seed", "2"]).Output);
        var greedy = Cli.Run([.. arguments[..^1], "0", "--seed", "1"]);
        Assert.Equal(greedy.Output, Cli.Run([.. arguments[..^1], "0", "--seed", "2"]).Output);
    }

    [Fact]
    public void RoundedWeightsWriteAndAreMeasured()
    {
        string[] generate = ["generate", "--model", trained.Folder, "--prompt", "Paragraph", "--tokens", "20", "--seed", "1", "--weights", "int8"];
        Assert.StartsWith("Paragraph", Cli.Run(generate).Output, StringComparison.Ordinal);
        string[] evaluate = ["eval", "perplexity", "--model", trained.Folder, "--data", trained.TextPath, "--separator", "blank-line", "--json"];
        using var exact = JsonDocument.Parse(Cli.Run(evaluate).Output);
        using var rounded = JsonDocument.Parse(Cli.Run([.. evaluate, "--weights", "int8"]).Output);
        double expected = exact.RootElement.GetProperty("loss").GetDouble(), actual = rounded.RootElement.GetProperty("loss").GetDouble();
        Assert.NotEqual(expected, actual);
        Assert.Equal(expected, actual, 0.01);
    }

    [Fact]
    public void PerplexityIsReportedAsTextAndJson()
    {
        string[] arguments = ["eval", "perplexity", "--model", trained.Folder, "--data", trained.TextPath, "--separator", "blank-line", "--context", "32"];
        var text = Cli.Run(arguments);
        Assert.Equal(0, text.ExitCode);
        Assert.Contains("word perplexity", text.Output, StringComparison.Ordinal);
        var json = Cli.Run([.. arguments, "--json", "--batch", "1"]);
        using var document = JsonDocument.Parse(json.Output);
        var root = document.RootElement;
        var loss = root.GetProperty("loss").GetDouble();
        var corpus = TokenizedCorpus.Encode(Corpus.Open(trained.TextPath, DocumentSeparator.BlankLine), new ByteTokenizer(), cancellationToken: TestContext.Current.CancellationToken);
        Assert.Equal(corpus.TokenCount + corpus.DocumentCount, root.GetProperty("tokens").GetInt64());
        Assert.InRange(loss, 1, 5.55);
        Assert.Equal(loss * root.GetProperty("tokens").GetInt64() / Math.Log(2) / corpus.ByteCount, root.GetProperty("bits_per_byte").GetDouble(), 1e-9);
        Assert.Equal(6, root.GetProperty("positions").GetArrayLength());
        Assert.Contains(FormattableString.Invariant($"{loss:0.0000} nats"), text.Output, StringComparison.Ordinal);
    }

    [Fact]
    public void InfoSaysWhatAModelIs()
    {
        var info = Cli.Run("info", "--model", trained.Folder);
        Assert.Equal((0, ""), (info.ExitCode, info.Error));
        Assert.Contains("gated-linear with GRM", info.Output, StringComparison.Ordinal);
        Assert.Contains("30 steps", info.Output, StringComparison.Ordinal);
    }

    [Fact]
    public void TokenizerIsLearnedAndUsed()
    {
        var file = _folder.In("tokenizer.json");
        var learned = Cli.Run("tokenizer", "train", "--data", trained.TextPath, "--vocabulary", "300", "--out", file);
        Assert.Equal(0, learned.ExitCode);
        Assert.Equal(300, TokenizerFile.Load(file).VocabularySize);
        Assert.DoesNotContain("The text gives", learned.Error, StringComparison.Ordinal);
        var arguments = TrainedModel.TrainArguments(trained.TextPath, _folder.In("run"));
        arguments[Array.IndexOf(arguments, "byte")] = file;
        arguments[Array.IndexOf(arguments, "30")] = "2";
        Assert.Equal(0, Cli.Run(arguments).ExitCode);
        Assert.Equal(File.ReadAllText(file), File.ReadAllText(_folder.In("run/tokenizer.json")));
    }

    [Fact]
    public void LittleTextGivesFewTokensAndIsSaid()
    {
        File.WriteAllText(_folder.In("text.txt"), "ab ab ab"); // " a", " ab" and "ab", of which one each twice
        var learned = Cli.Run("tokenizer", "train", "--data", _folder.In("text.txt"), "--vocabulary", "30000", "--out", _folder.In("tokenizer.json"));
        var made = TokenizerFile.Load(_folder.In("tokenizer.json")).VocabularySize;
        Assert.Equal((0, 259), (learned.ExitCode, made));
        Assert.Contains("learning tokens: 100.0% (2 of 2 tokens)", learned.Error, StringComparison.Ordinal);
        Assert.Contains("The text gives 259 of the 30,000 tokens that were asked for: no other pair stands in it twice. More text gives more.", learned.Error, StringComparison.Ordinal);
        Assert.EndsWith("tokenizer.json: 259 tokens\n", learned.Error, StringComparison.Ordinal);
    }

    [Fact]
    public void ConfigurationFileIsTheModel()
    {
        File.Copy(Path.Combine(trained.Folder, "config.json"), _folder.In("model.json"));
        var run = _folder.In("run");
        var training = Cli.Run("train", "--data", trained.TextPath, "--out", run, "--tokenizer", "byte", "--config", _folder.In("model.json"), "--steps", "1", "--context", "16");
        Assert.Equal(0, training.ExitCode);
        Assert.Equal(File.ReadAllText(_folder.In("model.json")), File.ReadAllText(Path.Combine(run, "config.json")));
    }

    [Fact]
    public void MissingFilesAreNamed()
    {
        Fails("there-is-none", "generate", "--model", _folder.In("there-is-none"));
        Fails("config.json is missing", "generate", "--model", _folder.Path);
        Fails("there-is-none.txt", "train", "--data", _folder.In("there-is-none.txt"), "--out", _folder.In("run"), "--steps", "1");
        Fails("there-is-none.json", "train", "--data", trained.TextPath, "--out", _folder.In("run"), "--steps", "1", "--tokenizer", _folder.In("there-is-none.json"));
        Fails("there-is-none.json", "train", "--data", trained.TextPath, "--out", _folder.In("run"), "--steps", "1", "--config", _folder.In("there-is-none.json"));
        Fails("no training run", "train", "--resume", _folder.In("there-is-none"));
        Fails("there-is-none.gz", "eval", "perplexity", "--model", trained.Folder, "--data", _folder.In("there-is-none.gz"));
        Fails("there-is-none", "tokenizer", "train", "--data", trained.TextPath, "--out", _folder.In("there-is-none/tokenizer.json"));
        Assert.False(Directory.Exists(_folder.In("run")));
    }

    [Fact]
    public void DamagedModelIsNamed()
    {
        Copy("model.safetensors", "config.json", "tokenizer.json");
        var weights = _folder.In("model.safetensors");
        var whole = File.ReadAllBytes(weights);
        File.WriteAllBytes(weights, whole[..(whole.Length / 2)]);
        Fails("model.safetensors", "generate", "--model", _folder.Path);
        File.WriteAllBytes(weights, [.. whole[..^4], .. BitConverter.GetBytes(float.NaN)]);
        Fails("NaN", "generate", "--model", _folder.Path);
        File.WriteAllBytes(weights, whole);
        File.WriteAllText(_folder.In("config.json"), File.ReadAllText(_folder.In("config.json")).Replace("\"dimension\": 32", "\"dimension\": 64", StringComparison.Ordinal));
        Fails("shape", "eval", "perplexity", "--model", _folder.Path, "--data", trained.TextPath);
        File.WriteAllText(_folder.In("config.json"), "{");
        Fails("not valid", "info", "--model", _folder.Path);
    }

    [Fact]
    public void DamagedCheckpointIsNamed()
    {
        CopyRun(trained.Folder, _folder.In("run"));
        var checkpoint = _folder.In("run/checkpoint.safetensors");
        File.WriteAllBytes(checkpoint, File.ReadAllBytes(checkpoint)[..1000]);
        Fails("checkpoint.safetensors", "train", "--resume", _folder.In("run"));
    }

    [Fact]
    public void ChangedTextIsRefused()
    {
        CopyRun(trained.Folder, _folder.In("run"));
        File.WriteAllText(_folder.In("other.txt"), TrainedModel.Text.Replace("everybody", "nobody", StringComparison.Ordinal));
        Fails("not what the run", "train", "--resume", _folder.In("run"), "--data", _folder.In("other.txt"), "--steps", "40");
    }

    [Fact]
    public void FolderThatCannotBeWrittenIsNamed()
    {
        File.WriteAllText(_folder.In("file"), "");
        Fails("file", "train", "--data", trained.TextPath, "--tokenizer", "byte", "--size", "tiny", "--out", _folder.In("file/run"), "--steps", "1");
        Fails("already holds", "train", "--data", trained.TextPath, "--out", trained.Folder, "--steps", "1");
    }

    [Theory]
    [InlineData("--dimension", "33", "heads")]
    [InlineData("--memory", "elephant", "elephant")]
    [InlineData("--size", "giant", "giant")]
    [InlineData("--segment-length", "100", "multiple of the chunk")]
    public void ModelThatCannotBeIsExplained(string option, string value, string part)
    {
        List<string> arguments = [.. TrainedModel.TrainArguments(trained.TextPath, _folder.In("run"))];
        var place = arguments.IndexOf(option);
        if (place >= 0)
        {
            arguments.RemoveRange(place, 2);
        }

        var failure = Assert.Throws<UsageException>(() => CommandLine.Run([.. arguments, option, value]));
        Assert.Contains(part, failure.Message, StringComparison.Ordinal);
        Assert.False(Directory.Exists(_folder.In("run")));
    }

    // In this process, where what a command throws is what the door turns into its one sentence and exit code 1.
    private static void Fails(string part, params string[] arguments)
    {
        var failure = Assert.Throws<LociException>(() => CommandLine.Run(arguments));
        Assert.Contains(part, failure.Message, StringComparison.Ordinal);
        using StringWriter error = new();
        Assert.Equal(1, Door.Report(failure, error, debug: false));
        Assert.Single(error.ToString().TrimEnd().Split('\n'));
    }

    private void Copy(params string[] names)
    {
        foreach (var name in names)
        {
            File.Copy(Path.Combine(trained.Folder, name), _folder.In(name));
        }
    }

    private static void CopyRun(string from, string to)
    {
        Directory.CreateDirectory(to);
        foreach (var file in Directory.EnumerateFiles(from))
        {
            File.Copy(file, Path.Combine(to, Path.GetFileName(file)));
        }
    }
}
