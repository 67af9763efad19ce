using System.Diagnostics;
using Loci.Formats;
using Xunit;

namespace Loci.Cli.Tests;

/// <summary>Training that is killed at any moment, or stopped in good order, and resumed.</summary>
public sealed class CrashTests : IDisposable
{
    private const int Steps = 150;

    private readonly TemporaryFolder _folder = new();
    private readonly string _text;

    public CrashTests()
    {
        _text = _folder.In("text.txt");
        File.WriteAllText(_text, TrainedModel.Text);
    }

    public void Dispose() => _folder.Dispose();

    [Fact]
    public void KilledAtAnyMomentAndResumedIsTheSameRun()
    {
        var begun = Stopwatch.GetTimestamp();
        Assert.Equal(0, Cli.Run(Arguments("straight")).ExitCode);
        var duration = Stopwatch.GetElapsedTime(begun);
        var seed = Environment.TickCount;
        Random random = new(seed);
        var run = _folder.In("killed");
        var kills = 0;
        for (var attempt = 0; attempt < 12; attempt++)
        {
            using var process = Start();
            // Not read to its end: the pipe is large enough for what a killed process says.
            if (!process.WaitForExit((int)(duration.TotalMilliseconds * (0.1 + (0.9 * random.NextDouble())))))
            {
                process.Kill();
                process.WaitForExit();
                kills++;
            }
        }

        using (var last = Start())
        {
            var result = Cli.Finish(last);
            Assert.True(result.ExitCode == 0, $"seed {seed}: {result.Error}");
        }

        Assert.True(kills > 0);
        AssertSame(_folder.In("straight"), run, $"seed {seed}");

        Process Start() => Cli.Start(File.Exists(Path.Combine(run, "training.json")) ? ["train", "--resume", run, "--threads", "1"] : Arguments("killed"));
    }

    [Theory]
    [InlineData("INT", 130)]
    [InlineData("TERM", 143)]
    [InlineData("HUP", 129)]
    public void SignalSavesAndSaysHowToGoOn(string signal, int code)
    {
        if (OperatingSystem.IsWindows())
        {
            Assert.Skip("Signals cannot be sent to another process on Windows.");
        }

        Assert.Equal(0, Cli.Run(Arguments("straight")).ExitCode);
        var run = _folder.In("stopped");
        using (var process = Cli.Start(Arguments("stopped")))
        {
            var metrics = Path.Combine(run, "metrics.jsonl");
            for (var wait = 0; wait < 2000 && (!File.Exists(metrics) || new FileInfo(metrics).Length < 400); wait++)
            {
                Thread.Sleep(5);
            }

            // Twice, as timeout(1) and terminals that are closed do: that is still one request.
            using (var kill = Process.Start("/bin/sh", ["-c", $"kill -{signal} {process.Id}; kill -{signal} {process.Id}"]))
            {
                kill.WaitForExit();
            }

            var stopped = Cli.Finish(process);
            Assert.Equal(code, stopped.ExitCode);
            Assert.Contains($"loci train --resume {run}", stopped.Error, StringComparison.Ordinal);
        }

        Assert.Equal(0, Cli.Run("train", "--resume", run).ExitCode);
        AssertSame(_folder.In("straight"), run, signal);
    }

    // Each signal falls on another place between evaluations (every 7 steps) and checkpoints (every 5).
    [Fact]
    public void StoppedByEverySignalInTurnIsTheSameRun()
    {
        if (OperatingSystem.IsWindows())
        {
            Assert.Skip("Signals cannot be sent to another process on Windows.");
        }

        Assert.Equal(0, Cli.Run(Arguments("straight")).ExitCode);
        var run = _folder.In("stopped");
        (string, int)[] stops = [("INT", 3), ("KILL", 16), ("TERM", 28), ("KILL", 41), ("INT", 55), ("TERM", 69), ("KILL", 84)];
        foreach (var (signal, step) in stops)
        {
            using var process = Cli.Start(step == 3 ? Arguments("stopped") : ["train", "--resume", run, "--threads", "1"]);
            WaitForStep(run, step, process);
            using (var kill = Process.Start("kill", [$"-{signal}", $"{process.Id}"]))
            {
                kill.WaitForExit();
            }

            Assert.Contains(Cli.Finish(process).ExitCode, signal == "KILL" ? [137] : (int[])[130, 143]);
        }

        Assert.Equal(0, Cli.Run("train", "--resume", run).ExitCode);
        AssertSame(_folder.In("straight"), run, "INT, KILL and TERM in turn");
    }

    private static void WaitForStep(string run, int step, Process process)
    {
        var metrics = Path.Combine(run, "metrics.jsonl");
        while (!process.HasExited && !(File.Exists(metrics) && MetricsLog.Read(metrics).Any(IsThere)))
        {
            Thread.Sleep(2);
        }

        bool IsThere(MetricsRecord record) => record.Kind == MetricsKind.Step && record.Step >= step;
    }

    private string[] Arguments(string name)
    {
        var arguments = TrainedModel.TrainArguments(_text, _folder.In(name));
        arguments[Array.IndexOf(arguments, "--steps") + 1] = $"{Steps}";
        return [.. arguments, "--eval-every", "7", "--save-every", "5"];
    }

    private static void AssertSame(string expected, string actual, string what)
    {
        Assert.True(File.ReadAllBytes(Path.Combine(expected, "model.safetensors")).AsSpan().SequenceEqual(File.ReadAllBytes(Path.Combine(actual, "model.safetensors"))), $"{what}: model.safetensors");
        using var left = SafetensorsFile.Open(Path.Combine(expected, "checkpoint.safetensors"));
        using var right = SafetensorsFile.Open(Path.Combine(actual, "checkpoint.safetensors"));
        Assert.Equal(left.Metadata.OrderBy(pair => pair.Key), right.Metadata.OrderBy(pair => pair.Key));
        Assert.Equal(State(left, "trainer.state", 12), State(right, "trainer.state", 12));
        Assert.Equal(State(left, "run.state", 3), State(right, "run.state", 3));
        foreach (var tensor in left.Tensors.Where(tensor => tensor.Type == TensorElementType.Float32))
        {
            var one = new float[tensor.ElementCount];
            var other = new float[tensor.ElementCount];
            left.ReadFloat(tensor.Name, one);
            right.ReadFloat(tensor.Name, other);
            Assert.True(one.AsSpan().SequenceEqual(other), $"{what}: {tensor.Name}");
        }

        Assert.Equal(Metrics(expected), Metrics(actual));

        static long[] State(SafetensorsFile file, string name, int count)
        {
            var state = new long[count];
            file.ReadInt64(name, state);
            if (count > 7)
            {
                state[7] = 0; // the time spent
            }

            return state;
        }

        static List<string> Metrics(string run) => [.. MetricsLog.Read(Path.Combine(run, "metrics.jsonl"))
            .Where(record => record.Kind is MetricsKind.Step or MetricsKind.Evaluation)
            .Select(record => $"{record.Kind} {record.Step} {record.Tokens} {record.Loss:R} {record.LearningRate:R} "
                + $"{record.GradientNorm:R}")];
    }
}
