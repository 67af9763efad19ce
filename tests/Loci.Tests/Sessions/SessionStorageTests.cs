using Loci.Memory.Segments;
using Loci.Memory.Store;
using Loci.Models;
using Loci.Numerics;
using Loci.Sessions;
using Loci.Tests.Models;
using Xunit;

namespace Loci.Tests.Sessions;

/// <summary>Sessions in files: taken up with the same bits, after a crash too, with checkpoints left on the disk, and refused where they do not fit.</summary>
public sealed class SessionStorageTests : IDisposable
{
    private readonly string _folder = Directory.CreateTempSubdirectory("loci-session-").FullName;

    public static TheoryData<string, string, SegmentKind, SegmentStart> Combinations() => IdentityTests.Combinations();

    public void Dispose() => Directory.Delete(_folder, true);

    [Theory]
    [MemberData(nameof(Combinations))]
    public void ASessionGoesOnFromItsFileWithTheSameBits(string memory, string aggregation, SegmentKind kind, SegmentStart start)
    {
        using var device = new CpuDevice(1);
        using var model = IdentityTests.Sharpened(IdentityTests.Configuration(memory, aggregation, kind, start), device);
        int[] tokens = IdentityTests.Tokens(61, 31);
        var path = Path.Combine(_folder, "a.memory");
        using var whole = model.CreateSession();
        whole.Read(tokens);

        // In a file from the start, stopped in the middle of a segment and taken up twice.
        using (var session = model.CreateSession())
        {
            session.SaveAs(path);
            session.Read(tokens.AsSpan(0, 27));
            session.Save();
        }

        using (var session = Session.Open(model, path))
        {
            Assert.Equal(27, session.Position);
            Assert.Equal(tokens[..27], session.Tokens.ToArray());
            session.Read(tokens.AsSpan(27, 16));
            session.Save();
        }

        using (var session = Session.Open(model, path))
        {
            session.Read(tokens.AsSpan(43));
            Assert.Equal(whole.Logits.ToArray(), session.Logits.ToArray());
            Assert.Equal(whole.Segments, session.Segments);
            session.Rewind(30);
            session.Read(tokens.AsSpan(30));
            Assert.Equal(whole.Logits.ToArray(), session.Logits.ToArray());
            session.Save();
        }

        using (var session = Session.Open(model, path, new() { IsReadOnly = true }))
        {
            Assert.Equal(whole.Logits.ToArray(), session.Logits.ToArray());
            Assert.Null(session.Path);
            session.Read(tokens);
        }

        using var last = Session.Open(model, path);
        Assert.Equal(tokens.Length, last.Position);
    }

    /// <summary>A process that dies leaves the last finished segment, whatever it had read of the open one.</summary>
    [Theory]
    [InlineData("gated-linear", "ssc", SegmentKind.Constant, SegmentStart.Checkpoint)]
    [InlineData("titans", "grm", SegmentKind.Constant, SegmentStart.Checkpoint)]
    [InlineData("dla", "soup", SegmentKind.Logarithmic, SegmentStart.Independent)]
    [InlineData("swla", "residual", SegmentKind.Logarithmic, SegmentStart.Independent)]
    public void ACrashLosesAtMostTheOpenSegment(string memory, string aggregation, SegmentKind kind, SegmentStart start)
    {
        using var device = new CpuDevice(1);
        using var model = IdentityTests.Sharpened(IdentityTests.Configuration(memory, aggregation, kind, start), device);
        int[] tokens = IdentityTests.Tokens(60, 41);
        string path = Path.Combine(_folder, "a.memory"), copy = Path.Combine(_folder, "copy.memory");
        var segment = kind == SegmentKind.Constant ? 8 : 4;
        using var session = model.CreateSession();
        session.SaveAs(path);
        foreach (var length in (ReadOnlySpan<int>)[5, 8, 9, 16, 23, 37, 60])
        {
            session.Read(tokens.AsSpan(session.Position, length - session.Position));
            Copy(path, copy); // as the dead process leaves it
            using var survivor = Session.Open(model, copy);
            Assert.Equal(length / segment * segment, survivor.Position);
            survivor.Read(tokens.AsSpan(survivor.Position));
            using var fresh = model.CreateSession();
            fresh.Read(tokens);
            Assert.Equal(fresh.Logits.ToArray(), survivor.Logits.ToArray());
        }
    }

    [Fact]
    public void ModelsWithoutSegmentsAreSavedEvery256Tokens()
    {
        using var device = new CpuDevice(1);
        using var model = IdentityTests.Sharpened(IdentityTests.Configuration("mamba2", "none", SegmentKind.Constant, SegmentStart.Checkpoint), device);
        string path = Path.Combine(_folder, "a.memory"), copy = Path.Combine(_folder, "copy.memory");
        using var session = model.CreateSession();
        session.SaveAs(path);
        session.Read(IdentityTests.Tokens(700, 2));
        Copy(path, copy);
        using var survivor = Session.Open(model, copy);
        Assert.Equal(512, survivor.Position);
    }

    /// <summary>Snapshots, restoring and rewinding in a file: only what differs is written again, and it is written.</summary>
    [Fact]
    public void RestoringReachesTheFile()
    {
        using var device = new CpuDevice(1);
        using var model = IdentityTests.Sharpened(IdentityTests.Configuration("titans", "ssc", SegmentKind.Constant, SegmentStart.Checkpoint), device);
        var path = Path.Combine(_folder, "a.memory");
        int[] tokens = IdentityTests.Tokens(90, 3), others = IdentityTests.Tokens(50, 4);
        using var session = model.CreateSession();
        session.SaveAs(path);
        session.Read(tokens.AsSpan(0, 40));
        using var snapshot = session.Snapshot();
        session.Read(tokens.AsSpan(40));
        session.Rewind(20);
        session.Read(others);
        session.Restore(snapshot);
        session.Read(others);
        session.Save();
        var expected = session.Logits.ToArray();
        session.Dispose();
        using var opened = Session.Open(model, path);
        Assert.Equal([.. tokens[..40], .. others], opened.Tokens.ToArray());
        Assert.Equal(expected, opened.Logits.ToArray());
        using var fresh = model.CreateSession();
        fresh.Read([.. tokens[..40], .. others]);
        Assert.Equal(fresh.Logits.ToArray(), opened.Logits.ToArray());
    }

    [Theory]
    [InlineData("ssc", "gated-linear")]
    [InlineData("ssc", "dla")]
    [InlineData("residual", "gated-linear")]
    public void CachesLargerThanTheBudgetLiveOnTheDisk(string aggregation, string memory)
    {
        using var device = new CpuDevice(1);
        using var model = IdentityTests.Sharpened(IdentityTests.Configuration(memory, aggregation, SegmentKind.Constant, SegmentStart.Checkpoint), device);
        var path = Path.Combine(_folder, "a.memory");
        var tokens = IdentityTests.Tokens(2000, 5);
        using var free = model.CreateSession(new() { KeepsReturns = false });
        free.Read(tokens.AsSpan(0, 200));
        var budget = free.Bytes;
        free.Read(tokens.AsSpan(200));
        using (var session = model.CreateSession(new() { KeepsReturns = false, MemoryBudget = 3 * budget }))
        {
            session.SaveAs(path);
            foreach (var chunk in tokens.Chunk(100))
            {
                session.Read(chunk);
                Assert.True(session.Bytes <= 3 * budget, $"{session.Bytes} bytes at {session.Position} tokens, with a budget of {3 * budget}.");
            }

            Assert.True(session.MappedBytes > 3 * budget);
            Assert.Equal(free.Logits.ToArray(), session.Logits.ToArray());

            // Forks share what lies in the file, and rewinding lets go of it.
            using var fork = session.Fork();
            session.Rewind(1000);
            session.Read(tokens.AsSpan(1000));
            Assert.Equal(free.Logits.ToArray(), session.Logits.ToArray());
            fork.Read(3);
            session.Save();
        }

        using var opened = Session.Open(model, path, new() { MemoryBudget = 3 * budget });
        Assert.Equal(free.Logits.ToArray(), opened.Logits.ToArray());
        opened.Read(3);
        free.Read(3);
        Assert.Equal(free.Logits.ToArray(), opened.Logits.ToArray());
    }

    [Fact]
    public void BudgetsThatDoNotSufficeAreExplained()
    {
        using var device = new CpuDevice(1);
        using var sparse = IdentityTests.Sharpened(IdentityTests.Configuration("linear", "ssc", SegmentKind.Constant, SegmentStart.Checkpoint), device);
        using var gated = IdentityTests.Sharpened(IdentityTests.Configuration("linear", "grm", SegmentKind.Constant, SegmentStart.Checkpoint), device);
        using var attention = IdentityTests.Sharpened(IdentityTests.Configuration("attention", "none", SegmentKind.Constant, SegmentStart.Checkpoint), device);
        var tokens = IdentityTests.Tokens(3000, 1);
        Assert.Contains("reads all of it for every token", Message(gated, 60000));
        Assert.Contains("reads all of it for every token", Message(attention, 60000));
        Assert.Contains("give the session a file", Message(sparse, 60000));
        Assert.Contains("needs", Message(sparse, 1000));

        // What had been read before is still there.
        using var session = gated.CreateSession(new() { MemoryBudget = 60000 });
        Assert.Throws<LociException>(() => session.Read(tokens));
        var position = session.Position;
        Assert.InRange(position, 8, 2999);
        using var fresh = gated.CreateSession();
        fresh.Read(tokens.AsSpan(0, position));
        Assert.Equal(fresh.Logits.ToArray(), session.Logits.ToArray());

        string Message(LanguageModel model, long budget)
        {
            using var session = model.CreateSession(new() { MemoryBudget = budget });
            return Assert.Throws<LociException>(() => session.Read(tokens)).Message;
        }
    }

    [Theory]
    [InlineData(StateFormat.Float16)]
    [InlineData(StateFormat.Int8)]
    public void CompressedCheckpointsAreSavedAsTheyAre(StateFormat format)
    {
        using var device = new CpuDevice(1);
        foreach (var (memory, aggregation, start) in ((string, string, SegmentStart)[])
            [("gla", "ssc", SegmentStart.Checkpoint), ("dla", "soup", SegmentStart.Independent), ("titans", "residual", SegmentStart.Checkpoint)])
        {
            using var model = IdentityTests.Sharpened(IdentityTests.Configuration(memory, aggregation, SegmentKind.Constant, start), device);
            var path = Path.Combine(_folder, $"{memory}.memory");
            var tokens = IdentityTests.Tokens(100, 6);
            using Session plain = model.CreateSession(), session = model.CreateSession(new() { Checkpoints = format });
            plain.Read(tokens);
            session.SaveAs(path);
            session.Read(tokens.AsSpan(0, 70));
            session.Save();
            session.Dispose();
            using var opened = Session.Open(model, path);
            Assert.Equal(format, opened.Options.Checkpoints);
            opened.Read(tokens.AsSpan(70));
            Assert.True(opened.Bytes + opened.MappedBytes < plain.Bytes);
            float[] expected = plain.Logits.ToArray(), actual = opened.Logits.ToArray();
            Assert.NotEqual(expected, actual);
            var scale = expected.Max(Math.Abs);
            for (var i = 0; i < expected.Length; i++)
            {
                Assert.True(Math.Abs(expected[i] - actual[i]) < (format == StateFormat.Int8 ? 0.1 : 0.01) * scale, $"{memory}, logit {i}: {expected[i]} and {actual[i]}.");
            }
        }
    }

    [Fact]
    public void FilesThatDoNotFitAreRefused()
    {
        using var device = new CpuDevice(1);
        var configuration = IdentityTests.Configuration("linear", "ssc", SegmentKind.Constant, SegmentStart.Checkpoint);
        using LanguageModel model = new(configuration, device, 1), another = new(configuration, device, 2);
        var path = Path.Combine(_folder, "a.memory");
        Assert.Contains("no file", Message(() => Session.Open(model, path)));
        using (var session = model.CreateSession())
        {
            session.SaveAs(path);
            session.Read(IdentityTests.Tokens(30, 1));
            Assert.Contains("in use", Message(() => Session.Open(model, path)));
            Assert.Contains("in use", Message(() => Session.Open(model, path, new() { IsReadOnly = true })));
            session.Save();
        }

        Assert.Contains("another model", Message(() => Session.Open(another, path)));
        using (Session first = Session.Open(model, path, new() { IsReadOnly = true }), second = Session.Open(model, path, new() { IsReadOnly = true }))
        {
            Assert.Contains("in use", Message(() => Session.Open(model, path)));
            Assert.Throws<InvalidOperationException>(first.Save);
        }

        using (var session = model.CreateSession())
        {
            Assert.Contains("already a file", Message(() => session.SaveAs(path)));
            session.SaveAs(path, overwrite: true);
        }

        var bytes = File.ReadAllBytes(path);
        File.WriteAllBytes(path, bytes[..(bytes.Length / 2)]);
        _ = Message(() => Session.Open(model, path));
        File.WriteAllText(path, "once upon a time");
        _ = Message(() => Session.Open(model, path));
        Assert.Throws<InvalidOperationException>(() =>
        {
            using var session = model.CreateSession();
            session.Save();
        });

        static string Message(Action action) => Assert.Throws<LociException>(action).Message;
    }

    [Fact]
    public void AMemoryOfRoundedWeightsIsNotThatOfTheExactOnes()
    {
        using var device = new CpuDevice(1);
        var configuration = IdentityTests.Configuration("titans", "ssc", SegmentKind.Constant, SegmentStart.Checkpoint);
        using LanguageModel exact = IdentityTests.Sharpened(configuration, device), rounded = IdentityTests.Sharpened(configuration, device);
        rounded.ConvertWeights(WeightFormat.Int8);
        var path = Path.Combine(_folder, "a.memory");
        int[] tokens = IdentityTests.Tokens(50, 3);
        using var whole = rounded.CreateSession();
        whole.Read(tokens);
        using (var session = rounded.CreateSession())
        {
            session.SaveAs(path);
            session.Read(tokens.AsSpan(0, 30));
            session.Save();
        }

        Assert.Contains("weights in another format", Assert.Throws<LociException>(() => Session.Open(exact, path)).Message);
        using var opened = Session.Open(rounded, path);
        foreach (var token in tokens[30..])
        {
            opened.Read(token);
        }

        Assert.Equal(whole.Logits.ToArray(), opened.Logits.ToArray());
    }

    /// <summary>A copy of a file that is open for writing.</summary>
    private static void Copy(string source, string destination)
    {
        // A lock is advisory where the test runs on Unix; elsewhere the copy would be refused.
        Assert.SkipWhen(OperatingSystem.IsWindows(), "An open file cannot be copied on Windows.");
        using var process = System.Diagnostics.Process.Start("cp", [source, destination]);
        process.WaitForExit();
        Assert.Equal(0, process.ExitCode);
    }
}
