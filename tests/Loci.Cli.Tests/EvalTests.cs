using System.Diagnostics;
using System.Text.Json;
using Loci.Cli.Terminal;
using Loci.Models;
using Loci.Numerics;
using Xunit;

namespace Loci.Cli.Tests;

/// <summary><c>loci eval</c> on tiny models.</summary>
public sealed class EvalTests : IDisposable
{
    private readonly TemporaryFolder _folder = new();

    public EvalTests()
    {
        // Models of token ids alone, without a tokenizer.
        Save("first", 5);
        Save("second", 6);
    }

    public void Dispose() => _folder.Dispose();

    [Fact]
    public void ModelsStandBesideEachOtherInTablesPageAndJson()
    {
        string[] arguments =
        [
            "eval", "mqar", "--model", _folder.In("first"), _folder.In("second"), "--samples", "4", "--lengths", "16,32", "--set", "mqar.pairs=2,4", "--seed", "3", "--threads", "1", "--out", _folder.In("out/new"),
            "--examples", _folder.In("examples.jsonl"),
        ];
        var result = Cli.Run(arguments);
        Assert.Equal(0, result.ExitCode);
        Assert.StartsWith("| task | metric | first | second | examples |\n", result.Output, StringComparison.Ordinal);
        Assert.Contains("mqar by pairs: Accuracy, %", result.Output, StringComparison.Ordinal);
        Assert.Contains("mqar by distance: Accuracy, %", result.Output, StringComparison.Ordinal);
        Assert.Contains("| mqar | Loss, nats | ", result.Output, StringComparison.Ordinal);
        Assert.Contains("mqar: second", result.Error, StringComparison.Ordinal);
        Assert.Equal(result.Output, File.ReadAllText(_folder.In("out/new/results.md")));
        var page = File.ReadAllText(_folder.In("out/new/report.html"));
        Assert.Contains("Accuracy by length", page, StringComparison.Ordinal);
        Assert.Contains("</html>", page, StringComparison.Ordinal);
        var lines = File.ReadAllLines(_folder.In("examples.jsonl"));
        Assert.Equal(2 * 2 * 4 * (2 + 4), lines.Length);
        using (var json = JsonDocument.Parse(File.ReadAllText(_folder.In("out/new/results.json"))))
        {
            Assert.True(json.RootElement.GetProperty("isComplete").GetBoolean());
            Assert.Equal(2, json.RootElement.GetProperty("tasks").GetArrayLength());
            Assert.Equal(48, json.RootElement.GetProperty("tasks")[1].GetProperty("examples").GetInt32());
            Assert.Equal("second", json.RootElement.GetProperty("tasks")[1].GetProperty("model").GetString());
            var losses = lines.Select(line => JsonDocument.Parse(line).RootElement).Where(line => line.GetProperty("model").GetString() == "second").Average(line => line.GetProperty("values").GetProperty("loss").GetDouble());
            Assert.Equal(losses, json.RootElement.GetProperty("tasks")[1].GetProperty("values").GetProperty("loss").GetProperty("value").GetDouble(), 1e-9);
        }

        // The same again on several threads and as JSON: the same numbers.
        var again = Cli.Run(["eval", "mqar", "--model", _folder.In("first"), "--samples", "4", "--lengths", "16,32", "--set", "mqar.pairs=2,4", "--seed", "3", "--threads", "3", "--json"]);
        Assert.Equal(0, again.ExitCode);
        using var printed = JsonDocument.Parse(again.Output);
        using var saved = JsonDocument.Parse(File.ReadAllText(_folder.In("out/new/results.json")));
        Assert.Equal(saved.RootElement.GetProperty("tasks")[0].GetProperty("values").ToString(), printed.RootElement.GetProperty("tasks")[0].GetProperty("values").ToString());
    }

    [Fact]
    public void CachesAfterTrainingChangeWhatIsMeasured()
    {
        string[] arguments = ["eval", "mqar", "--model", _folder.In("first"), "--samples", "2", "--set", "mqar.length=48", "--set", "mqar.pairs=4"];
        var plain = Cli.Run(arguments);
        var cached = Cli.Run([.. arguments, "--after-training", "grm", "--segment-length", "8"]);
        Assert.Equal((0, 0), (plain.ExitCode, cached.ExitCode));
        Assert.NotEqual(plain.Output, cached.Output);
    }

    [Fact]
    public void SignalStopsAndWhatWasDoneIsShown()
    {
        if (OperatingSystem.IsWindows())
        {
            Assert.Skip("Signals cannot be sent to another process on Windows.");
        }

        using var process = Cli.Start(
            "eval", "mqar", "--model", _folder.In("first"), _folder.In("second"), "--samples", "1000000", "--set", "mqar.length=16", "--set", "mqar.pairs=4", "--out", _folder.In("out"), "--examples", _folder.In("examples.jsonl"));
        for (var wait = 0; wait < 4000 && !(File.Exists(_folder.In("examples.jsonl")) && new FileInfo(_folder.In("examples.jsonl")).Length > 0); wait++)
        {
            Thread.Sleep(5);
        }

        using (var kill = Process.Start("kill", ["-INT", $"{process.Id}"]))
        {
            kill.WaitForExit();
        }

        var result = Cli.Finish(process);
        Assert.Equal(130, result.ExitCode);
        Assert.Contains("Stopped: the results are of what was done until then.", result.Error, StringComparison.Ordinal);
        Assert.Contains("(partial)", result.Output, StringComparison.Ordinal);
        Assert.Contains("preliminary", result.Output, StringComparison.Ordinal);
        Assert.Equal(result.Output, File.ReadAllText(_folder.In("out/results.md")));
        using var json = JsonDocument.Parse(File.ReadAllText(_folder.In("out/results.json")));
        Assert.False(json.RootElement.GetProperty("isComplete").GetBoolean());
        var task = Assert.Single(json.RootElement.GetProperty("tasks").EnumerateArray());
        Assert.Equal(File.ReadAllLines(_folder.In("examples.jsonl")).Length, task.GetProperty("examples").GetInt32());
        Assert.DoesNotContain("   at ", result.Error, StringComparison.Ordinal);
    }

    [Fact]
    public void ListShowsTheTasks()
    {
        var list = Cli.Run("eval", "list");
        Assert.Equal((0, ""), (list.ExitCode, list.Error));
        foreach (var part in new[] { "mqar: Multi-query associative recall", "arXiv 2312.04927", "Accuracy, Loss", "ships with Loci or is generated", "mqar.pairs" })
        {
            Assert.Contains(part, list.Output, StringComparison.Ordinal);
        }

        var help = Cli.Run("eval", "--help");
        Assert.Equal((0, ""), (help.ExitCode, help.Error));
        foreach (var part in new[] { "TASK", "--model", "--data", "--haystack", "--samples", "--lengths", "--depths", "--seed", "--set", "--out", "--examples", "--json", "--after-training", "--weights", "list", "perplexity", "loci eval list" })
        {
            Assert.Contains(part, help.Output, StringComparison.Ordinal);
        }
    }

    [Theory]
    [InlineData("eval", "or a command: list, perplexity, routing.")]
    [InlineData("eval mqar", "loci eval needs a model: give its folder with --model FOLDER.")]
    [InlineData("eval mqr --model MODEL", "There is no task 'mqr'; did you mean mqar? See loci eval list.")]
    [InlineData("eval perplexty --model MODEL", "There is no task 'perplexty'; did you mean perplexity?")]
    [InlineData("eval speed --model MODEL", "There is no task 'speed'. See loci eval list.")]
    [InlineData("eval mqar --modl MODEL", "There is no option '--modl' here; did you mean --model?")]
    [InlineData("eval mqar --model MODEL MODEL/", "twice; give it once")]
    [InlineData("eval mqar --model MODEL --samples 0", "--samples takes a whole number of at least 1, not '0'")]
    [InlineData("eval mqar --model MODEL --lengths 1024,x", "--lengths takes whole numbers of tokens of at least 1 such as 1024,4096 or 1K,4K, not '1024,x'.")]
    [InlineData("eval mqar --model MODEL --lengths 3000M", "--lengths takes")]
    [InlineData("eval mqar --model MODEL --lengths 1K,1K", "--lengths gives 1K twice; give it once.")]
    [InlineData("eval mqar --model MODEL --depths 0,0.5,.5", "--depths gives 0.5 twice; give it once.")]
    [InlineData("eval mqar mqar --model MODEL", "The task mqar is named twice; name it once.")]
    [InlineData("eval ruting --model MODEL", "There is no task 'ruting'; did you mean routing?")]
    [InlineData("eval mqar --model MODEL --depths 0,1.5", "--depths takes numbers from 0 to 1 such as 0,0.5,1, not '0,1.5'.")]
    [InlineData("eval mqar --model MODEL --data path", "--data takes TASK=PATH, not 'path'.")]
    [InlineData("eval mqar --model MODEL --data mqr=path", "There is no task 'mqr'; did you mean mqar?")]
    [InlineData("eval mqar --model MODEL --data mqar=a --data mqar=b", "--data gives mqar twice")]
    [InlineData("eval mqar --model MODEL --set pairs=4", "--set takes TASK.NAME=VALUE, not 'pairs=4'.")]
    [InlineData("eval mqar --model MODEL --set mqar.pars=4", "The task mqar has no setting 'pars'; did you mean pairs?")]
    [InlineData("eval mqar --model MODEL --set mqar.colour=4", "The task mqar has no setting 'colour': use vocabulary, length, pairs, power, random-non-queries.")]
    [InlineData("eval mqar --model MODEL --set mqar.pairs=4 --set mqar.pairs=8", "--set gives mqar.pairs twice")]
    [InlineData("eval mqar --model MODEL --top-k 3", "--top-k needs --after-training")]
    [InlineData("eval --model MODEL mqar", "name the task first, as in loci eval mqar --model FOLDER.")]
    [InlineData("eval mqar --model MODEL --sample 3", "There is no option '--sample' here; did you mean --samples?")]
    public void WrongCommandLineIsOneSentence(string line, string part)
    {
        string[] arguments = [.. line.Split(' ').Select(argument => argument.Replace("MODEL", _folder.In("first"), StringComparison.Ordinal))];
        var failure = Assert.Throws<UsageException>(() => CommandLine.Run(arguments));
        Assert.Contains(part, failure.Message, StringComparison.Ordinal);
        using StringWriter error = new();
        Assert.Equal(2, Door.Report(failure, error, debug: false));
        Assert.Single(error.ToString().TrimEnd().Split('\n'));
    }

    [Theory]
    [InlineData("eval mqar --model FOLDER/first --set mqar.pairs=many", "The setting pairs of the task mqar takes whole numbers")]
    [InlineData("eval mqar --model FOLDER/first --set mqar.pairs=4,8,4", "The setting pairs of the task mqar takes each number once, not '4,8,4'.")]
    [InlineData("eval mqar --model FOLDER/first --lengths 7", "A row of 7 tokens")]
    [InlineData("eval mqar --model FOLDER/first --set mqar.power=0", "The power of the queries' places is 0")]
    public void SettingsThatCannotBeAreUsageErrors(string line, string part)
    {
        string[] arguments = [.. line.Split(' ').Select(word => word.Replace("FOLDER", _folder.Path, StringComparison.Ordinal))];
        var failure = Assert.Throws<LociException>(() => CommandLine.Run(arguments));
        Assert.Contains(part, failure.Message, StringComparison.Ordinal);
        using StringWriter error = new();
        Assert.Equal(2, Door.Report(failure, error, debug: false));
        Assert.Single(error.ToString().TrimEnd().Split('\n'));
    }

    [Theory]
    [InlineData("eval mqar --model FOLDER/none", "There is no folder")]
    [InlineData("eval mqar --model FOLDER", "config.json is missing")]
    [InlineData("eval mqar --model FOLDER/first --data mqar=FOLDER/none", "There is no file or folder")]
    [InlineData("eval mqar --model FOLDER/first --haystack FOLDER/none", "There is no file or folder")]
    [InlineData("eval mqar --model FOLDER/first --set mqar.vocabulary=500", "the model 90")]
    [InlineData("eval mqar --model FOLDER/first --out FOLDER/first/config.json/out", "cannot be made")]
    [InlineData("eval mqar --model FOLDER/first --examples FOLDER/none/examples.jsonl", "cannot be written")]
    [InlineData("eval perplexity --model FOLDER/first --data FOLDER/first/config.json", "tokenizer.json is missing")]
    [InlineData("generate --model FOLDER/first --prompt x", "tokenizer.json is missing")]
    public void WhatIsMissingIsNamed(string line, string part)
    {
        string[] arguments = [.. line.Split(' ').Select(argument => argument.Replace("FOLDER", _folder.Path, StringComparison.Ordinal))];
        var failure = Assert.Throws<LociException>(() => CommandLine.Run(arguments));
        Assert.Contains(part, failure.Message, StringComparison.Ordinal);
        using StringWriter error = new();
        Assert.Equal(1, Door.Report(failure, error, debug: false));
        Assert.Single(error.ToString().TrimEnd().Split('\n'));
    }

    private void Save(string name, ulong seed)
    {
        using CpuDevice device = new(1);
        using LanguageModel model = new(new ModelConfiguration { VocabularySize = 90, Dimension = 16, Layers = 1, Heads = 2, Mixers = [new() { ChunkLength = 8 }] }, device, seed);
        model.Save(_folder.In(name));
    }
}
