using Loci.Formats;
using Xunit;

namespace Loci.Cli.Tests;

/// <summary>Runs that go on, or are told why they cannot.</summary>
public sealed class ResumeTests : IClassFixture<TrainedModel>, IDisposable
{
    private readonly TrainedModel _trained;
    private readonly TemporaryFolder _folder = new();
    private readonly string _run;

    public ResumeTests(TrainedModel trained)
    {
        _trained = trained;
        _run = _folder.In("run");
        Directory.CreateDirectory(_run);
        foreach (var file in Directory.GetFiles(trained.Folder, "*", SearchOption.AllDirectories))
        {
            var copy = Path.Combine(_run, Path.GetRelativePath(trained.Folder, file));
            Directory.CreateDirectory(Path.GetDirectoryName(copy)!);
            File.Copy(file, copy);
        }
    }

    public void Dispose() => _folder.Dispose();

    [Fact]
    public void LostCheckpointIsNotABeginning()
    {
        File.Delete(Path.Combine(_run, "checkpoint.safetensors"));
        var before = Contents();
        var result = Cli.Run("train", "--resume", _run);
        Assert.Equal(1, result.ExitCode);
        Assert.Equal(
            $"error: The run in {_run} has lost its checkpoint.safetensors and cannot go on where it stopped: "
            + "put that file back, or start a new run from the weights of its model: "
            + "loci train --from takes this folder, --out another one.", result.Error.TrimEnd());
        Assert.Equal(before, Contents());
    }

    [Fact]
    public void EarlierEndIsRefusedWithTheNumbers()
    {
        var before = Contents();
        var result = Cli.Run("train", "--resume", _run, "--steps", "20");
        Assert.Equal(1, result.ExitCode);
        Assert.Equal(
            $"error: The run in {_run} has trained for 30 steps already and cannot end after 20: choose a later end, or leave the end out.",
            result.Error.TrimEnd());
        Assert.Equal(before, Contents());
    }

    [Fact]
    public void LongerCosineSaysWhereTheLearningRateGoes()
    {
        var result = Cli.Run("train", "--resume", _run, "--steps", "31", "--threads", "1");
        Assert.Equal(0, result.ExitCode);
        // The last of 31 steps has a tenth of the peak, as had the last of 30.
        Assert.DoesNotContain("learning rate rises", result.Error, StringComparison.Ordinal);

        result = Cli.Run("train", "--resume", _run, "--steps", "60", "--threads", "1");
        Assert.Equal(0, result.ExitCode);
        // Warm-up 3, step 31 of 60: 2e-3 (1 - 0.9 (1 - cos(pi 28 / 56)) / 2) = 1.1e-3.
        Assert.Contains("the run's learning rate rises from 2.00e-4 to 1.10e-3 at step 32", result.Error, StringComparison.Ordinal);
        Assert.Contains("--schedule constant", result.Error, StringComparison.Ordinal);
    }

    [Fact]
    public void NewRunStartsFromAModel()
    {
        var other = _folder.In("other");
        var result = Cli.Run(
            "train", "--from", _run, "--data", _trained.TextPath, "--separator", "blank-line", "--out", other, "--context", "32",
            "--batch", "2", "--steps", "5", "--threads", "1");
        Assert.Equal(0, result.ExitCode);
        // Where the first model ended, not where it began (5.5).
        Assert.True(FirstLoss(other) < FirstLoss(_run) - 1, $"{FirstLoss(other)} after {FirstLoss(_run)}");
        foreach (var name in new[] { "config.json", "tokenizer.json" })
        {
            Assert.Equal(File.ReadAllText(Path.Combine(_run, name)), File.ReadAllText(Path.Combine(other, name)));
        }

        static double FirstLoss(string run) =>
            MetricsLog.Read(Path.Combine(run, "metrics.jsonl")).First(record => record.Kind == MetricsKind.Step).Loss!.Value;
    }

    [Theory]
    [InlineData("--size", "tiny")]
    [InlineData("--tokenizer", "byte")]
    [InlineData("--dropout", "0.1")]
    public void ModelToStartFromIsWhole(string option, string value)
    {
        var result = Cli.Run(
            "train", "--from", _run, "--data", _trained.TextPath, "--out", _folder.In("other"), "--steps", "5", option, value);
        Assert.Equal(2, result.ExitCode);
        Assert.Contains($"{option} cannot be given with it", result.Error, StringComparison.Ordinal);
    }

    [Theory]
    [InlineData("config.json")]
    [InlineData("tokenizer.json")]
    [InlineData("model.safetensors")]
    public void ModelToStartFromLacksAFile(string name)
    {
        File.Delete(Path.Combine(_run, name));
        var result = Cli.Run("train", "--from", _run, "--data", _trained.TextPath, "--out", _folder.In("other"), "--steps", "5");
        Assert.Equal(1, result.ExitCode);
        Assert.Contains(name, result.Error, StringComparison.Ordinal);
        Assert.False(Path.Exists(_folder.In("other")));
    }

    private SortedDictionary<string, string> Contents() => new(Directory.GetFiles(_run, "*", SearchOption.AllDirectories)
        .ToDictionary(file => Path.GetRelativePath(_run, file), file => Convert.ToHexString(File.ReadAllBytes(file))));
}
