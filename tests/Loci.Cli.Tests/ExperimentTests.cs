using System.Diagnostics;
using System.Text.Json;
using Loci.Cli.Terminal;
using Xunit;

namespace Loci.Cli.Tests;

/// <summary>Experiments of a few steps through the command line.</summary>
public sealed class ExperimentTests : IDisposable
{
    private const string Recall = """
        {
          "name": "tiny recall", // as small as can be
          "task": { "kind": "recall", "vocabularySize": 40, "length": 32, "pairs": [4], "curveRows": 2, "validationRows": 4, "testRows": 4 },
          "model": { "dimension": 16, "layers": 1, "heads": 2 },
          "arms": [
            { "label": "base", "mixers": [ { "chunkLength": 8 } ] },
            { "label": "grm", "mixers": [ { "chunkLength": 8, "cache": { "aggregation": "grm", "segmentLength": 8 } } ] },
          ],
          "training": { "steps": 6, "batch": 2, "evaluations": 2 },
          "seeds": [0, 1],
          "learningRates": [0.01, 0.02]
        }
        """;

    private const string Language = """
        {
          "name": "tiny text",
          "task": { "kind": "language", "training": "train.txt", "tokenizer": "bpe:300", "separator": "blankLine", "context": 16 },
          "model": { "dimension": 16, "layers": 1, "heads": 2 },
          "arms": [ { "label": "base", "mixers": [ { "chunkLength": 8 } ] } ],
          "training": { "tokens": 100, "batch": 2 }
        }
        """;

    private readonly TemporaryFolder _folder = new();

    public void Dispose() => _folder.Dispose();

    [Fact]
    public void ExperimentIsRunReportedAndNotDoneAgain()
    {
        File.WriteAllText(_folder.In("recall.json"), Recall);
        string[] arguments = ["experiment", _folder.In("recall.json"), "--out", _folder.In("out"), "--parallel", "2"];
        var first = Cli.Run(arguments);
        Assert.Equal((0, true), (first.ExitCode, first.Error.Contains("100.0%", StringComparison.Ordinal)));
        foreach (var part in new[] { "recall of 4 pairs in 32 tokens", "base: ", "parameters", "8: 2 models x 2 learning rates x 2 seeds, 384 tokens each, 2 at once", "8 of 8: ", "report.html" })
        {
            Assert.Contains(part, first.Error, StringComparison.Ordinal);
        }

        Assert.StartsWith("| model | accuracy, % |", first.Output, StringComparison.Ordinal);
        Assert.Equal(first.Output, File.ReadAllText(_folder.In("out/results.md")));
        using (var json = JsonDocument.Parse(File.ReadAllText(_folder.In("out/results.json"))))
        {
            Assert.Equal(8, json.RootElement.GetProperty("runs").GetArrayLength());
        }

        Assert.Contains("</html>", File.ReadAllText(_folder.In("out/report.html")), StringComparison.Ordinal);
        var second = Cli.Run(arguments);
        Assert.Equal(first.Output, second.Output);
        Assert.Contains("8 of 8 runs are finished there", second.Error, StringComparison.Ordinal);
        Assert.DoesNotContain("8 of 8: ", second.Error, StringComparison.Ordinal);

        File.WriteAllText(_folder.In("recall.json"), Recall.Replace("\"pairs\": [4]", "\"pairs\": [3]", StringComparison.Ordinal));
        var mixed = Cli.Run(arguments);
        Assert.Equal(1, mixed.ExitCode);
        Assert.Contains("another task", mixed.Error, StringComparison.Ordinal);
        Assert.DoesNotContain("   at ", mixed.Error, StringComparison.Ordinal);
    }

    [Fact]
    public void TextComesFromTheFileOrTheCommandLine()
    {
        File.WriteAllText(_folder.In("train.txt"), TrainedModel.Text); // beside the experiment
        File.WriteAllText(_folder.In("held.txt"), TrainedModel.Text[..400]);
        File.WriteAllText(_folder.In("text.json"), Language);
        var result = Cli.Run("experiment", _folder.In("text.json"), "--out", _folder.In("out"), "--data", $"validation={_folder.In("held.txt")}", "--data", $"test={_folder.In("held.txt")}");
        Assert.Equal(0, result.ExitCode);
        Assert.StartsWith("| model | loss, nats per token | bits per byte | word perplexity |", result.Output, StringComparison.Ordinal);
        Assert.Contains("vocabulary 300", result.Error, StringComparison.Ordinal);
        Assert.True(File.Exists(_folder.In("out/tokenizer.json")));

        // Without test text the runs are not the same.
        var other = Cli.Run("experiment", _folder.In("text.json"), "--out", _folder.In("out"), "--data", $"validation={_folder.In("held.txt")}");
        Assert.Equal(1, other.ExitCode);
        Assert.Contains("on other text", other.Error, StringComparison.Ordinal);
    }

    [Fact]
    public void SignalSavesAndTheSameCommandGoesOn()
    {
        if (OperatingSystem.IsWindows())
        {
            Assert.Skip("Signals cannot be sent to another process on Windows.");
        }

        var text = Recall.Replace("\"steps\": 6", "\"steps\": 1500", StringComparison.Ordinal).Replace("[0, 1]", "[0]", StringComparison.Ordinal).Replace("[0.01, 0.02]", "[0.01]", StringComparison.Ordinal);
        File.WriteAllText(_folder.In("recall.json"), text);
        var straight = Cli.Run(Arguments("straight"));
        Assert.Equal(0, straight.ExitCode);
        using (var process = Cli.Start(Arguments("stopped")))
        {
            for (var wait = 0; wait < 2000 && !Directory.Exists(_folder.In("stopped/runs")); wait++)
            {
                Thread.Sleep(5);
            }

            Thread.Sleep(150);
            using (var kill = Process.Start("kill", ["-INT", $"{process.Id}"]))
            {
                kill.WaitForExit();
            }

            var stopped = Cli.Finish(process);
            Assert.Equal(130, stopped.ExitCode);
            Assert.Contains("The same command goes on from here", stopped.Error, StringComparison.Ordinal);
        }

        Assert.Equal(0, Cli.Run(Arguments("stopped")).ExitCode);
        Assert.Equal(Losses("straight"), Losses("stopped"));

        string[] Arguments(string folder) => ["experiment", _folder.In("recall.json"), "--out", _folder.In(folder), "--parallel", "1"];

        List<string> Losses(string folder)
        {
            using var json = JsonDocument.Parse(File.ReadAllText(_folder.In($"{folder}/results.json")));
            return [.. json.RootElement.GetProperty("runs").EnumerateArray().Select(run => run.GetProperty("test").ToString() + run.GetProperty("trainingCurve") + run.GetProperty("validationCurve"))];
        }
    }

    [Theory]
    [InlineData("experiment", "FILE")]
    [InlineData("experiment FILE --data text.txt", "--data takes KEY=PATH")]
    [InlineData("experiment FILE --data tests=text.txt", "--data takes KEY=PATH")]
    [InlineData("experiment FILE --data test=a --data test=b", "gives test twice")]
    [InlineData("experiment FILE --data test=a", "makes its own examples")]
    [InlineData("experiment FILE --parallel 0", "--parallel takes a whole number from 1")]
    [InlineData("experiment FILE --out", "--out")]
    [InlineData("experiment FILE --seed 3", "There is no option '--seed' here")]
    public void WrongCommandLineIsOneSentence(string line, string part)
    {
        File.WriteAllText(_folder.In("recall.json"), Recall);
        string[] arguments = [.. line.Split(' ').Select(argument => argument == "FILE" ? _folder.In("recall.json") : argument)];
        Assert.Contains(part, Assert.Throws<UsageException>(() => CommandLine.Run(arguments)).Message, StringComparison.Ordinal);
        Assert.Single(Directory.GetFileSystemEntries(_folder.Path));
    }

    [Fact]
    public void FilesThatCannotBeAreNamed()
    {
        Fails("there-is-none.json", "experiment", _folder.In("there-is-none.json"));
        File.WriteAllText(_folder.In("bad.json"), Recall.Replace("\"seeds\"", "\"seedz\"", StringComparison.Ordinal));
        Fails("'seedz'", "experiment", _folder.In("bad.json"), "--out", _folder.In("out"));
        File.WriteAllText(_folder.In("text.json"), Language);
        Fails("train.txt", "experiment", _folder.In("text.json"), "--data", $"validation={_folder.In("held.txt")}", "--out", _folder.In("out"));
        File.WriteAllText(_folder.In("train.txt"), TrainedModel.Text);
        Assert.Contains("--data validation=PATH", Assert.Throws<UsageException>(() => CommandLine.Run(["experiment", _folder.In("text.json"), "--out", _folder.In("out")])).Message, StringComparison.Ordinal);
        File.WriteAllText(_folder.In("file"), "");
        File.WriteAllText(_folder.In("recall.json"), Recall);
        Fails("file", "experiment", _folder.In("recall.json"), "--out", _folder.In("file/out"));
        Assert.False(Directory.Exists(_folder.In("out")));

        static void Fails(string part, params string[] arguments)
        {
            var failure = Assert.Throws<LociException>(() => CommandLine.Run(arguments));
            Assert.Contains(part, failure.Message, StringComparison.Ordinal);
            using StringWriter error = new();
            Assert.Equal(1, Door.Report(failure, error, debug: false));
            Assert.Single(error.ToString().TrimEnd().Split('\n'));
        }
    }
}
