using System.Diagnostics;
using System.Text.Json;
using System.Text.RegularExpressions;
using Loci.Cli.Terminal;
using Loci.Data;
using Loci.Memory.Aggregations;
using Loci.Memory.Store;
using Loci.Models;
using Loci.Numerics;
using Loci.Sessions;
using Xunit;

namespace Loci.Cli.Tests;

/// <summary>Memories in files: <c>loci read</c>, <c>ask</c>, <c>chat</c> and <c>inspect</c>.</summary>
public sealed class MemoryTests(TinyModels models) : IClassFixture<TinyModels>, IDisposable
{
    private readonly TemporaryFolder _folder = new();

    public void Dispose() => _folder.Dispose();

    [Fact]
    public void ReadingGoesOnWhereItStoppedAndEndsWithTheSameMemory()
    {
        File.WriteAllText(_folder.In("beginning.txt"), TinyModels.Text[..205]);
        var first = Read(_folder.In("beginning.txt"), "a.memory");
        Assert.Equal(0, first.ExitCode);
        Assert.Matches(@"tokens    206 \(206 of them read now, [\d,]+ tokens/s\)", first.Output);
        Assert.Matches(@"loss      \d\.\d{4} nats per token, \d\.\d{4} bits per byte", first.Output);
        Assert.Contains("cached    12 segments in each of 2 layers", first.Output, StringComparison.Ordinal);
        Assert.Matches(@"file      .*a\.memory, [\d.]+ [KM]iB", first.Output);

        var second = Read(models.TextPath, "a.memory");
        Assert.Equal(0, second.ExitCode);
        Assert.Contains("Going on behind the first 206 tokens", second.Error, StringComparison.Ordinal);
        Assert.Equal(0, Cli.RunWith(TinyModels.Text, "read", "-", "--model", models.Gated, "--into", _folder.In("b.memory"), "--no-loss").ExitCode);
        AssertSame("b.memory", "a.memory");

        var third = Read(models.TextPath, "a.memory");
        Assert.Equal(0, third.ExitCode);
        Assert.Contains("holds all of this text already", third.Error, StringComparison.Ordinal);

        File.WriteAllText(_folder.In("other.txt"), TinyModels.Text.Replace("Line 7", "Line x", StringComparison.Ordinal));
        Fails("holds another text, which differs from token 128 on", "read", _folder.In("other.txt"), "--model", models.Gated, "--into", _folder.In("a.memory"));
        Fails("holds this text and more", "read", _folder.In("beginning.txt"), "--model", models.Gated, "--into", _folder.In("a.memory"));
        Fails("stores cached states as float32, not int8", "read", models.TextPath, "--model", models.Gated, "--into", _folder.In("a.memory"), "--checkpoints", "int8");
        AssertSame("b.memory", "a.memory");
    }

    [Fact]
    public void TextsAreAppendedOnceAndMemoriesReplacedWhereAsked()
    {
        File.WriteAllText(_folder.In("one.txt"), "The first text, not very long.");
        File.WriteAllText(_folder.In("two.txt"), "The second text, which follows it.");
        File.WriteAllText(_folder.In("half.txt"), "The second te");
        Assert.Equal(0, CommandLine.Run(["read", _folder.In("one.txt"), "--model", models.Gated, "--into", _folder.In("a.memory")]));
        foreach (var name in new[] { "half.txt", "two.txt", "two.txt" })
        {
            Assert.Equal(0, CommandLine.Run(["read", _folder.In(name), "--model", models.Gated, "--into", _folder.In("a.memory"), "--append"]));
        }

        Open(models.Gated, "a.memory", session => Assert.Equal(
            (int[])[256, .. new ByteTokenizer().Encode("The first text, not very long."), 256, .. new ByteTokenizer().Encode("The second text, which follows it.")], session.Tokens.ToArray()));
        Assert.Equal(0, CommandLine.Run(["read", _folder.In("two.txt"), "--model", models.Gated, "--into", _folder.In("a.memory"), "--overwrite", "--checkpoints", "float16", "--no-rewind"]));
        Open(models.Gated, "a.memory", session =>
        {
            Assert.Equal(35, session.Position);
            Assert.Equal((StateFormat.Float16, false), (session.Options.Checkpoints, session.Options.KeepsReturns));
        });
    }

    [Fact]
    public void OptionsOfAMemoryReachIt()
    {
        string[] arguments = ["read", models.TextPath, "--model", models.Plain, "--into", _folder.In("a.memory"), "--after-training", "ssc", "--segment-length", "32", "--top-k", "3", "--online-bias", "-1.5", "--gate-temperature", "2"];
        Assert.Equal(0, CommandLine.Run(arguments));
        Assert.Equal(0, CommandLine.Run(arguments));
        Open(models.Plain, "a.memory", session =>
            Assert.Equal(new AfterTrainingCache { Read = "ssc", SegmentLength = 32, TopK = 3, OnlineBias = -1.5f, Temperature = 2 }, session.Options.AfterTraining));
        Fails("another cache after training", [.. arguments[..^1], "3"]);
        Fails("this model has one", "read", models.TextPath, "--model", models.Gated, "--into", _folder.In("b.memory"), "--after-training", "mean");
        Fails("more than the budget of 20.0 KiB", "read", models.TextPath, "--model", models.Gated, "--into", _folder.In("b.memory"), "--memory-budget", "20K");
        Assert.Equal(0, CommandLine.Run(["read", models.TextPath, "--model", models.Sparse, "--into", _folder.In("c.memory"), "--memory-budget", "200K"]));
    }

    [Fact]
    public void AskingLeavesTheFileAsItIsUnlessAsked()
    {
        Assert.Equal(0, Read(models.TextPath, "a.memory").ExitCode);
        var before = File.ReadAllBytes(_folder.In("a.memory"));
        string[] arguments = ["ask", "--memory", _folder.In("a.memory"), "--model", models.Gated, "--tokens", "20", "--seed", "3"];
        var answer = Cli.Run([.. arguments, "Line 30 says"]);
        Assert.Equal(0, answer.ExitCode);
        Assert.Matches(@"^\d+ tokens?, [\d.]+ tokens/s, first after \d+\.\d\d s; position 6?5?\d\d, memory [\d.]+ [KM]iB \(and .*\), 3[67] segments in each of 2 layers\s*$", answer.Error);
        Assert.Equal(answer.Output, Cli.RunWith("Line 30 says", [.. arguments, "-"]).Output);
        Assert.Equal(before, File.ReadAllBytes(_folder.In("a.memory")));

        Assert.Equal(answer.Output, Cli.Run([.. arguments, "Line 30 says", "--keep"]).Output);
        Open(models.Gated, "a.memory", session =>
        {
            Assert.Equal("Line 30 says" + answer.Output[..^1], new ByteTokenizer().Decode(session.Tokens[577..]));
        });
    }

    [Fact]
    public void KilledWhileReadingAndGoneOnIsTheSameMemory()
    {
        var text = _folder.In("long.txt");
        File.WriteAllText(text, string.Concat(Enumerable.Repeat(TinyModels.Text, 12)));
        var begun = Stopwatch.GetTimestamp();
        Assert.Equal(0, Read(text, "straight.memory").ExitCode);
        var duration = Stopwatch.GetElapsedTime(begun);
        var seed = Environment.TickCount;
        Random random = new(seed);
        var killed = _folder.In("killed.memory");
        string[] arguments = ["read", text, "--model", models.Gated, "--into", killed];
        var kills = 0;
        for (var attempt = 0; attempt < 3; attempt++)
        {
            using var process = Cli.Start(arguments);
            if (attempt == 0)
            {
                for (var wait = 0; wait < 4000 && MemoryLength(killed) < 60_000 && !process.HasExited; wait++)
                {
                    Thread.Sleep(2);
                }
            }

            if (!process.WaitForExit(attempt == 0 ? 0 : (int)(duration.TotalMilliseconds * (0.3 + (0.6 * random.NextDouble())))))
            {
                process.Kill();
                process.WaitForExit();
                kills++;
            }
        }

        Assert.True(kills > 0);
        var last = Cli.Run(arguments);
        Assert.True(last.ExitCode == 0, $"seed {seed}: {last.Error}");
        AssertSame("straight.memory", "killed.memory");
    }

    [Fact]
    public void SignalSavesAndTheSameCommandGoesOn()
    {
        if (OperatingSystem.IsWindows())
        {
            Assert.Skip("Signals cannot be sent to another process on Windows.");
        }

        var text = _folder.In("long.txt");
        File.WriteAllText(text, string.Concat(Enumerable.Repeat(TinyModels.Text, 100)));
        var memory = _folder.In("stopped.memory");
        string[] arguments = ["read", text, "--model", models.Gated, "--into", memory, "--threads", "1"];
        using (var process = Cli.Start(arguments))
        {
            for (var wait = 0; wait < 4000 && MemoryLength(memory) < 60_000; wait++)
            {
                Thread.Sleep(2);
            }

            using (var kill = Process.Start("kill", ["-INT", $"{process.Id}"]))
            {
                kill.WaitForExit();
            }

            var stopped = Cli.Finish(process);
            Assert.Equal(130, stopped.ExitCode);
            Assert.Matches(@"Stopped behind [\d,]+ of 57,601 tokens, which .*stopped\.memory holds\. The same command goes on from there\.", stopped.Error);
            Assert.Contains("tokens    ", stopped.Output, StringComparison.Ordinal);
        }

        Open(models.Gated, "stopped.memory", session => Assert.True(new ByteTokenizer().Encode(File.ReadAllText(text)).AsSpan().StartsWith(session.Tokens[1..])));
    }

    [Fact]
    public void OneWriterOrManyReaders()
    {
        Assert.Equal(0, Read(models.TextPath, "a.memory").ExitCode);
        string[] ask = ["ask", "--memory", _folder.In("a.memory"), "--model", models.Gated, "--tokens", "3", "Line"];
        using var device = new CpuDevice(1);
        using var model = LanguageModel.Load(models.Gated, device);
        using (Session.Open(model, _folder.In("a.memory")))
        {
            foreach (var result in new[] { Read(models.TextPath, "a.memory"), Cli.Run(ask), Read(models.TextPath, "a.memory", "--overwrite") })
            {
                Assert.Equal(1, result.ExitCode);
                Assert.Matches(@"^error: .*a\.memory' is in use by another process; [^\n]*$", result.Error.Trim().Split('\n')[^1]);
                Assert.Equal("", result.Output);
            }
        }

        using (Session.Open(model, _folder.In("a.memory"), new() { IsReadOnly = true }))
        {
            Assert.Equal(0, Cli.Run(ask).ExitCode);
            Assert.Equal(1, Cli.Run([.. ask, "--keep"]).ExitCode);
        }
    }

    [Fact]
    public void FilesThatAreNoMemoriesOfTheModelAreNamed()
    {
        File.WriteAllText(_folder.In("text"), TinyModels.Text);
        Assert.Equal(0, Read(models.TextPath, "a.memory").ExitCode);
        Fails("There is no file", "ask", "--memory", _folder.In("none.memory"), "--model", models.Gated, "x");
        Fails("not a session file", "ask", "--memory", _folder.In("text"), "--model", models.Gated, "x");
        Fails("another model", "ask", "--memory", _folder.In("a.memory"), "--model", models.Sparse, "x");
        Fails("There is no folder", "ask", "--memory", _folder.In("a.memory"), "--model", _folder.In("none"), "x");
        Fails("is a folder", "chat", "--memory", _folder.Path, "--model", models.Gated);
        Fails("does not exist", "read", models.TextPath, "--model", models.Gated, "--into", _folder.In("none/a.memory"));
        Fails("no file or folder", "read", _folder.In("none.txt"), "--model", models.Gated, "--into", _folder.In("b.memory"));
        Fails("not a session file", "read", models.TextPath, "--model", models.Gated, "--into", _folder.In("text"));
        var damaged = File.ReadAllBytes(_folder.In("a.memory"));
        damaged[damaged.Length / 2] ^= 1;
        File.WriteAllBytes(_folder.In("damaged.memory"), damaged);
        Fails("damaged", "inspect", "--memory", _folder.In("damaged.memory"), "--model", models.Gated);
        Assert.False(File.Exists(_folder.In("b.memory")));
    }

    [Fact]
    public void ChatsAreKeptTakenBackAndCopied()
    {
        string[] arguments = ["chat", "--model", models.Gated, "--memory", _folder.In("a.memory"), "--tokens", "10", "--seed", "1", "--temperature", "0"];
        var copy = _folder.In("copy.memory");
        var chat = Cli.RunWith($"Hello there\n/save {copy}\n\nAnd again\n/rewind\n/memory\n/rewind 2\n/rewind @5\n/rewind @x\n/save {copy}\n/dance\n/help\n/quit\nnever read\n", arguments);
        Assert.Equal(0, chat.ExitCode);
        foreach (var part in new[]
        {
            "[0 tokens read, memory", "0 segments in each of 2 layers]", "copy.memory holds all", "Back at position", "read again.", "layer 1: 1 segment, live memory of the last", "lengths 16",
            "There is only 1 exchange to forget", "Back at position 5;", "takes a number of exchanges", "error: There is already a file", "There is no command /dance", "/rewind N",
        })
        {
            Assert.Contains(part, chat.Error, StringComparison.Ordinal);
        }

        var answer = chat.Output.Split('\n')[0];
        Open(models.Gated, "copy.memory", session => Assert.StartsWith("Hello there\n" + answer, new ByteTokenizer().Decode(session.Tokens), StringComparison.Ordinal));
        Open(models.Gated, "a.memory", session => Assert.Equal((int[])[256, .. new ByteTokenizer().Encode("Hell")], session.Tokens.ToArray()));

        // The end of the input ends a chat too, and the next one goes on where it ended.
        Assert.Contains("[5 tokens read", Cli.RunWith("o there\n", arguments).Error, StringComparison.Ordinal);
        Open(models.Gated, "a.memory", session => Assert.StartsWith("Hello there\n", new ByteTokenizer().Decode(session.Tokens), StringComparison.Ordinal));
        Assert.Contains("lives in memory only", Cli.RunWith("/save", "chat", "--model", models.Gated).Error, StringComparison.Ordinal);
    }

    [Fact]
    public void InspectingShowsWhatAMemoryHolds()
    {
        Assert.Equal(0, CommandLine.Run(["read", models.TextPath, "--model", models.Gated, "--into", _folder.In("a.memory"), "--checkpoints", "int8"]));
        string[] arguments = ["inspect", "--model", models.Gated, "--memory", _folder.In("a.memory")];
        var text = Cli.Run(arguments);
        Assert.Equal((0, ""), (text.ExitCode, text.Error));
        foreach (var part in new[] { "tokens       577", "checkpoints  int8", "36 segments in each of 2 layers", "All 2 layers", "0  0-15               Line 0 says <0>", "live  576-576" })
        {
            Assert.Contains(part, text.Output, StringComparison.Ordinal);
        }

        using var document = JsonDocument.Parse(Cli.Run([.. arguments, "--json"]).Output);
        var root = document.RootElement;
        Assert.Equal((577, "int8", 2), (root.GetProperty("tokens").GetInt32(), root.GetProperty("checkpoints").GetString(), root.GetProperty("layers").GetArrayLength()));
        var segments = root.GetProperty("layers")[1].GetProperty("segments");
        Assert.Equal(Enumerable.Range(0, 36).Select(i => (16 * i, 16)), segments.EnumerateArray().Select(segment => (segment.GetProperty("start").GetInt32(), segment.GetProperty("length").GetInt32())));
    }

    [Theory]
    [InlineData(false)]
    [InlineData(true)]
    public void InspectingShowsWhichSegmentsTokensRead(bool isSparse)
    {
        var model = isSparse ? models.Sparse : models.Gated;
        Assert.Equal(0, CommandLine.Run(["read", models.TextPath, "--model", model, "--into", _folder.In("a.memory")]));
        var before = File.ReadAllBytes(_folder.In("a.memory"));
        var page = _folder.In("reads.html");
        string[] arguments = ["inspect", "--model", model, "--memory", _folder.In("a.memory"), "--prompt", "Line 30 says <900>.\n"];
        var shown = Cli.Run([.. arguments, "--html", page]);
        Assert.Equal(0, shown.ExitCode);
        Assert.Matches(@"\n +577  L +0\.\d{3}   \d+: 0\.\d{3}  ", shown.Output);
        Assert.Contains("The 20 of 37 segments with the largest mean gates", shown.Output, StringComparison.Ordinal);
        Assert.Equal(20, Regex.Count(shown.Output, @"\n +\d+  \d+-\d+ +0\.\d{3} +\d+\.\d % +\d+\.\d %  \S"));
        var html = File.ReadAllText(page);
        foreach (var part in new[] { "Mean gate of every segment in every layer", "Layer 1", "a.memory, 20 tokens from position 577 on", "L 577", "576-591", "live", "not there yet", "Line 0 says &lt;0&gt;" })
        {
            Assert.Contains(part, html, StringComparison.Ordinal);
        }

        using var document = JsonDocument.Parse(Cli.Run([.. arguments, "--json"]).Output);
        foreach (var layer in document.RootElement.GetProperty("layers").EnumerateArray())
        {
            Assert.Equal(37, layer.GetProperty("segments").GetArrayLength());
            Assert.Equal(20, layer.GetProperty("reads").GetArrayLength());
            foreach (var read in layer.GetProperty("reads").EnumerateArray())
            {
                var gates = read.GetProperty("gates").EnumerateArray().ToList();
                Assert.Equal(37, gates.Count);
                Assert.Equal(read.GetProperty("position").GetInt32() < 592, gates[36].ValueKind == JsonValueKind.Null);
                var values = gates.Where(gate => gate.ValueKind == JsonValueKind.Number).Select(gate => gate.GetDouble()).ToList();
                Assert.Equal(1, values.Sum() + read.GetProperty("live").GetDouble(), 1e-5);
                Assert.Equal(isSparse, values.Count(gate => gate > 0) <= 4); // two a head
            }
        }

        var one = Cli.Run("inspect", "--model", model, "--text", models.TextPath, "--tokens", "20", "--layer", "1");
        Assert.Contains("Gates of layer 1", one.Output, StringComparison.Ordinal);
        Assert.Contains("  557  ", one.Output, StringComparison.Ordinal);
        Assert.DoesNotContain("  556  ", one.Output, StringComparison.Ordinal);
        Assert.Equal(before, File.ReadAllBytes(_folder.In("a.memory")));
    }

    [Fact]
    public void ModelsWithoutGatesSaySo()
    {
        File.WriteAllText(_folder.In("short.txt"), TinyModels.Text[..40]);
        var whole = Cli.Run("inspect", "--model", models.Gated, "--text", _folder.In("short.txt")).Output;
        Assert.Matches(@"position  token +live +0 +1\r?\n +0  <\|endoftext\|> +1\.000\r?\n", whole);
        Assert.Matches(@"\n +40  . +0\.\d{3} +0\.\d{3} +0\.\d{3}\r?\n", whole);
        Fails("reads cached states through gates", "inspect", "--model", models.Residual, "--text", models.TextPath);
        Fails("there is no cache", "inspect", "--model", models.Plain, "--text", models.TextPath);
        var failure = Assert.Throws<UsageException>(() => CommandLine.Run(["inspect", "--model", models.Gated, "--text", models.TextPath, "--layer", "2"]));
        Assert.Contains("numbered 0 to 1", failure.Message, StringComparison.Ordinal);
    }

    private CliResult Read(string text, string memory, params string[] more) => Cli.Run(["read", text, "--model", models.Gated, "--into", _folder.In(memory), .. more]);

    private static long MemoryLength(string path) => File.Exists(path) ? new FileInfo(path).Length : 0;

    private void Open(string folder, string memory, Action<Session> check)
    {
        using var device = new CpuDevice(1);
        using var model = LanguageModel.Load(folder, device);
        using var session = Session.Open(model, _folder.In(memory), new() { IsReadOnly = true });
        check(session);
    }

    private void AssertSame(string expected, string actual) => Open(models.Gated, expected, one => Open(models.Gated, actual, other =>
    {
        Assert.Equal(one.Tokens.ToArray(), other.Tokens.ToArray());
        Assert.Equal(one.Segments, other.Segments);
        Assert.Equal(one.Logits.ToArray(), other.Logits.ToArray());
        one.Rewind(100);
        other.Rewind(100);
        Assert.Equal(one.Logits.ToArray(), other.Logits.ToArray());
    }));

    private static void Fails(string part, params string[] arguments)
    {
        var failure = Assert.Throws<LociException>(() => CommandLine.Run(arguments));
        Assert.Contains(part, failure.Message, StringComparison.Ordinal);
    }
}
