using System.Text.Json;
using Xunit;

namespace Loci.Cli.Tests;

/// <summary><c>loci import rwkv</c>, and what can be done with the folder it makes.</summary>
public sealed class ImportTests : IDisposable
{
    private static readonly string s_data = FindData();

    private readonly TemporaryFolder _folder = new();

    public void Dispose() => _folder.Dispose();

    [Theory]
    [InlineData("5v1-730K", "RWKV-5.1")]
    [InlineData("5v2-730K", "RWKV-5.2")]
    [InlineData("7v0-834K", "RWKV-7")]
    public void AnImportedModelWritesAndIsMeasured(string name, string architecture)
    {
        var model = _folder.In("model");
        var imported = Cli.Run("import", "rwkv", PathOf(name), "--into", model);
        Assert.Equal((0, ""), (imported.ExitCode, imported.Output));
        Assert.Contains(architecture, imported.Error, StringComparison.Ordinal);
        Assert.Equal(["config.json", "model.safetensors", "tokenizer.json"], Directory.GetFiles(model).Select(path => Path.GetFileName(path)).Order(StringComparer.Ordinal));

        string[] generate = ["generate", "--model", model, "--prompt", "\"in", "--tokens", "30", "--seed", "1", "--temperature", "0.5"];
        var written = Cli.Run(generate);
        Assert.Equal(0, written.ExitCode);
        Assert.StartsWith("\"in", written.Output, StringComparison.Ordinal);
        Assert.True(written.Output.Length > 10, written.Output);
        Assert.Equal(written.Output, Cli.Run([.. generate, "--threads", "2"]).Output);
        Assert.Equal(0, Cli.Run("generate", "--model", model, "--tokens", "3").ExitCode);

        var text = _folder.In("text.txt");
        File.WriteAllText(text, "It was the best of times, it was the worst of times, it was the age of wisdom, it was the age of foolishness.");
        var measured = Cli.Run("eval", "perplexity", "--model", model, "--data", text, "--context", "32", "--json");
        Assert.Equal(0, measured.ExitCode);
        using var json = JsonDocument.Parse(measured.Output);
        Assert.InRange(json.RootElement.GetProperty("loss").GetDouble(), 1, 4.5);
        var info = Cli.Run("info", "--model", model);
        Assert.Contains(architecture, info.Output, StringComparison.Ordinal);
        Assert.Contains("bytes, 256 tokens", info.Output, StringComparison.Ordinal);

        var again = Cli.Run("import", "rwkv", PathOf(name), "--into", model);
        Assert.Equal(1, again.ExitCode);
        Assert.Contains("holds a model already", again.Error, StringComparison.Ordinal);
    }

    [Fact]
    public void WhatIsWrongIsSaidInOneSentence()
    {
        Refused(1, "There is no file", "import", "rwkv", _folder.In("none.bin"), "--into", _folder.In("model"));
        File.WriteAllText(_folder.In("text.bin"), "This is not a model, though it is longer than a header.");
        Refused(1, "does not begin like one", "import", "rwkv", _folder.In("text.bin"), "--into", _folder.In("model"));
        Refused(2, "--into", "import", "rwkv", PathOf("5v2-730K"));
        Refused(2, "loci import needs a command: rwkv", "import");
        Assert.False(Directory.Exists(_folder.In("model")));

        void Refused(int code, string expected, params string[] arguments)
        {
            var result = Cli.Run(arguments);
            Assert.Equal(code, result.ExitCode);
            Assert.Contains(expected, result.Error, StringComparison.Ordinal);
            Assert.Single(result.Error.TrimEnd().Split('\n'));
        }
    }

    [Fact]
    public void TrainingAnImportedModelIsRefused()
    {
        var model = _folder.In("model");
        Assert.Equal(0, Cli.Run("import", "rwkv", PathOf("5v2-730K"), "--into", model).ExitCode);
        var text = _folder.In("text.txt");
        File.WriteAllText(text, string.Concat(Enumerable.Repeat("Some words to learn from. ", 200)));

        // The byte tokenizer of training has an end of text of its own.
        var configuration = Path.Combine(model, "config.json");
        File.WriteAllText(configuration, File.ReadAllText(configuration).Replace("\"vocabularySize\": 256", "\"vocabularySize\": 257", StringComparison.Ordinal));
        var trained = Cli.Run("train", "--data", text, "--tokenizer", "byte", "--config", configuration, "--out", _folder.In("run"), "--steps", "2", "--context", "32", "--batch", "1");
        Assert.Equal(1, trained.ExitCode);
        Assert.Contains("RWKV models are read, not trained", trained.Error, StringComparison.Ordinal);
    }

    private static string PathOf(string name) => Path.Combine(s_data, $"tiny-rwkv-{name}-FP32.bin");

    private static string FindData()
    {
        var folder = new DirectoryInfo(AppContext.BaseDirectory);
        while (!File.Exists(Path.Combine(folder.FullName, "Loci.slnx")))
        {
            folder = folder.Parent!;
        }

        return Path.Combine(folder.FullName, "tests", "Loci.Tests", "TestData", "rwkv");
    }
}
