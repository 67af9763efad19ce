using System.Diagnostics;
using Loci.Cli.Commands;
using Loci.Models;
using Loci.Numerics;
using Loci.Sessions;
using Xunit;

namespace Loci.Cli.Tests.Terminal;

/// <summary>Signals while commands wait, load, build and read, with real processes.</summary>
public sealed class SignalTests(TinyModels models) : IClassFixture<TinyModels>, IDisposable
{
    private readonly TemporaryFolder _folder = new();

    public void Dispose() => _folder.Dispose();

    /// <summary>The commands that wait for standard input.</summary>
    internal static IEnumerable<string[]> Waiting(string model, string memory, string fresh) =>
    [
        ["generate", "--model", model, "--prompt", "-"],
        ["ask", "--model", model, "--memory", memory, "-"],
        ["read", "-", "--model", model, "--into", fresh],
        ["inspect", "--model", model, "--memory", memory, "--prompt", "-"],
    ];

    [Theory]
    [InlineData("INT", 130)]
    [InlineData("TERM", 143)]
    [InlineData("HUP", 129)]
    public void OneSignalEndsEveryCommandThatWaitsForInput(string signal, int code)
    {
        RequireSignals();
        var memory = Read();
        foreach (var arguments in Waiting(models.Gated, memory, _folder.In("new.memory")).Append(["chat", "--model", models.Gated]))
        {
            using var process = Cli.StartOpen(arguments);
            Thread.Sleep(1000);
            Cli.Signal(process, signal);
            Assert.Equal(code, Cli.Finish(process).ExitCode);
        }
    }

    [Theory]
    [InlineData("INT", 130)]
    [InlineData("TERM", 143)]
    [InlineData("HUP", 129)]
    public void OneSignalEndsAChatThatNobodyTypes(string signal, int code)
    {
        RequireSignals();
        using var process = Cli.StartOpen("chat", "--model", models.Plain, "--temperature", "0", "--tokens", "100000000");
        process.StandardInput.Write("one\ntwo\nthree\n");
        process.StandardInput.Flush();
        process.StandardOutput.Read(); // it writes, and does not end by itself
        Cli.Signal(process, signal);
        Assert.Equal(code, Cli.Finish(process).ExitCode);
    }

    [Fact]
    public void WeightsThatAreBeingMadeAreNoReasonToTrain()
    {
        RequireSignals();
        var run = _folder.In("run");
        using var process = Cli.Start("train", "--data", models.TextPath, "--tokenizer", "byte", "--size", "60M", "--out", run, "--steps", "1000000");
        while (process.StandardError.ReadLine() is { } line && !line.StartsWith("reading text: 100", StringComparison.Ordinal))
        {
        }

        Thread.Sleep(100);
        Cli.Signal(process, "INT");
        var result = Cli.Finish(process);
        Assert.Equal(130, result.ExitCode);
        Assert.True(!Directory.Exists(run) || result.Error.Contains("Stopped after step", StringComparison.Ordinal));
    }

    [Fact]
    public void SignalThatWasIgnoredStaysIgnored()
    {
        RequireSignals();
        using var process = Cli.StartInShell("trap '' HUP;", "", "generate", "--model", models.Plain, "--prompt", "-", "--tokens", "3");
        Thread.Sleep(1000);
        Cli.Signal(process, "HUP");
        Thread.Sleep(300);
        process.StandardInput.Write("hello");
        process.StandardInput.Close();
        var result = Cli.Finish(process);
        Assert.Equal(0, result.ExitCode);
        Assert.StartsWith("hello", result.Output, StringComparison.Ordinal);
    }

    [Fact]
    public void LongQuestionIsHeardAndForgotten()
    {
        RequireSignals();
        var memory = Read();
        var before = Tokens(memory);
        using var process = Cli.StartOpen("ask", "--model", models.Gated, "--memory", memory, "--keep", "-");
        process.StandardInput.Write(string.Concat(Enumerable.Repeat(TinyModels.Text, 5000)));
        process.StandardInput.Close();
        Thread.Sleep(4000);
        var begun = Stopwatch.GetTimestamp();
        Cli.Signal(process, "INT");
        var result = Cli.Finish(process);
        Assert.Equal((130, ""), (result.ExitCode, result.Output));
        Assert.StartsWith("reading: ", result.Error, StringComparison.Ordinal);
        Assert.True(Stopwatch.GetElapsedTime(begun) < TimeSpan.FromSeconds(20));
        Assert.Equal(before, Tokens(memory));
    }

    [Fact]
    public void ReadingInPiecesGivesTheSameBits()
    {
        using var device = new CpuDevice(1);
        using var model = LanguageModel.Load(models.Gated, device);
        int[] tokens = [.. Enumerable.Range(0, 1000).Select(i => i * 7919 % 257)];
        using var whole = model.CreateSession();
        using var pieces = model.CreateSession();
        var expected = new float[tokens.Length];
        whole.Read(tokens, expected);
        pieces.Read(tokens.AsSpan(0, 5));
        List<float> losses = [];
        Assert.Equal(995, SessionReader.Read(pieces, tokens.AsSpan(5), null, (_, some) => losses.AddRange(some), CancellationToken.None));
        Assert.Equal(whole.Logits, pieces.Logits);
        Assert.Equal(expected[5..], losses);
    }

    private string Read()
    {
        var memory = _folder.In("x.memory");
        Assert.Equal(0, Cli.Run("read", models.TextPath, "--model", models.Gated, "--into", memory).ExitCode);
        return memory;
    }

    private int[] Tokens(string memory)
    {
        using var device = new CpuDevice(1);
        using var model = LanguageModel.Load(models.Gated, device);
        using var session = Session.Open(model, memory, new SessionOpenOptions { IsReadOnly = true });
        return session.Tokens.ToArray();
    }

    private static void RequireSignals() => Assert.SkipWhen(OperatingSystem.IsWindows(), "Unix signals.");
}
