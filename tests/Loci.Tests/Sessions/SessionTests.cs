using FsCheck;
using FsCheck.Fluent;
using Loci.Memory.Routing;
using Loci.Memory.Segments;
using Loci.Memory.Store;
using Loci.Models;
using Loci.Numerics;
using Loci.Sessions;
using Loci.Tests.Models;
using Xunit;

namespace Loci.Tests.Sessions;

/// <summary>Sessions against sessions that read the same tokens from the start: the same bits, whatever was forked, restored or rewound on the way.</summary>
public sealed class SessionTests
{
    public static TheoryData<string, string, SegmentKind, SegmentStart> Combinations() => IdentityTests.Combinations();

    [Theory]
    [MemberData(nameof(Combinations))]
    public void RewindingToAnyTokenGivesTheBitsOfReadingUpToThere(string memory, string aggregation, SegmentKind kind, SegmentStart start)
    {
        using var device = new CpuDevice(1);
        using var model = IdentityTests.Sharpened(IdentityTests.Configuration(memory, aggregation, kind, start), device);
        int[] tokens = IdentityTests.Tokens(45, 21), other = IdentityTests.Tokens(20, 22);
        using var session = model.CreateSession();
        session.Read(tokens);
        var end = session.Logits.ToArray();
        foreach (var position in (ReadOnlySpan<int>)[44, 40, 39, 33, 32, 31, 24, 17, 16, 9, 8, 7, 1])
        {
            using var fork = session.Fork();
            fork.Rewind(position);
            Assert.Equal(position, fork.Position);
            Assert.Equal(tokens[..position], fork.Tokens.ToArray());
            using var fresh = model.CreateSession();
            fresh.Read(tokens.AsSpan(0, position));
            Assert.Equal(fresh.Logits.ToArray(), fork.Logits.ToArray());
            Assert.Equal(fresh.Segments, fork.Segments);

            // And goes on from there as if nothing had been.
            fresh.Read(other);
            fork.Read(other);
            Assert.Equal(fresh.Logits.ToArray(), fork.Logits.ToArray());
        }

        Assert.Equal(end, session.Logits.ToArray());
        session.Rewind(0);
        Assert.Equal(0, session.Position);
        Assert.Throws<InvalidOperationException>(() => _ = session.Logits.Length);
        session.Read(tokens);
        Assert.Equal(end, session.Logits.ToArray());
    }

    [Theory]
    [InlineData(SegmentKind.Constant, SegmentStart.Checkpoint, "37:32 32:32 31:24 8:8 7:0")]
    [InlineData(SegmentKind.Constant, SegmentStart.Independent, "37:32 32:32 31:24 8:8 7:0")]
    [InlineData(SegmentKind.Logarithmic, SegmentStart.Independent, "37:36 36:36 35:32 32:32 31:0")]
    [InlineData(SegmentKind.Logarithmic, SegmentStart.Checkpoint, "37:36 36:36 35:32 32:32 31:0")]
    public void SegmentEndsAreReachedWithoutReadingAgain(SegmentKind kind, SegmentStart start, string expected)
    {
        using var device = new CpuDevice(1);
        using var model = new LanguageModel(IdentityTests.Configuration("gated-linear", "grm", kind, start), device);
        using var session = model.CreateSession();
        session.Read(IdentityTests.Tokens(38, 1));
        Assert.Equal(expected, string.Join(' ', expected.Split(' ').Select(pair => int.Parse(pair.Split(':')[0])).Select(position => $"{position}:{session.LastReturn(position)}")));

        using var without = model.CreateSession(new SessionOptions { KeepsReturns = false });
        without.Read(IdentityTests.Tokens(38, 1));
        Assert.Equal(0, without.LastReturn(38));
        Assert.True(without.Bytes < session.Bytes);
        session.Rewind(33);
        without.Rewind(33);
        Assert.Equal(session.Logits.ToArray(), without.Logits.ToArray());
    }

    [Fact]
    public void LayersWithDifferentSegmentsReturnToCommonEnds()
    {
        using var device = new CpuDevice(1);
        var first = IdentityTests.Configuration("titans", "soup", SegmentKind.Constant, SegmentStart.Checkpoint, 8);
        var second = IdentityTests.Configuration("swla", "ssc", SegmentKind.Constant, SegmentStart.Independent, 12);
        var configuration = first with { Mixers = [first.Mixers[0], second.Mixers[0], new() { Memory = "attention" }], Layers = 3 };
        using var model = IdentityTests.Sharpened(configuration, device);
        var tokens = IdentityTests.Tokens(60, 5);
        using var session = model.CreateSession();
        session.Read(tokens);
        Assert.Equal(48, session.LastReturn(59));
        Assert.Equal(24, session.LastReturn(47));
        foreach (var position in (ReadOnlySpan<int>)[59, 49, 48, 47, 30, 24, 16, 8])
        {
            session.Rewind(position);
            using var fresh = model.CreateSession();
            fresh.Read(tokens.AsSpan(0, position));
            Assert.Equal(fresh.Logits.ToArray(), session.Logits.ToArray());
        }
    }

    /// <summary>Any order of reading, forking, keeping, restoring and rewinding.</summary>
    [Fact]
    public void AnyHistoryGivesTheBitsOfItsTokens()
    {
        var combinations = Combinations().Select(row => row.Data).ToArray();
        var histories = from combination in Gen.Choose(0, combinations.Length - 1)
                        from format in Gen.Choose(0, 2)
                        from steps in Gen.ListOf(Gen.Zip(Gen.Choose(0, 5), Gen.Choose(0, 1000)), 12)
                        select (combination, format, steps.ToArray());
        Prop.ForAll(histories.ToArbitrary(), history =>
        {
            var (memory, aggregation, kind, start) = combinations[history.combination];
            Follow(IdentityTests.Configuration(memory, aggregation, kind, start), new SessionOptions { Checkpoints = (StateFormat)history.format }, history.Item3);
        }).Check(Config.QuickThrowOnFailure.WithMaxTest(60));
    }

    [Theory]
    [InlineData("titans", "ssc")]
    [InlineData("swla", "grm")]
    [InlineData("attention", "none")]
    [InlineData("mamba2", "residual")]
    public void SessionsOfABatchGetTheBitsThatTheyGetAlone(string memory, string aggregation)
    {
        using var device = new CpuDevice(2);
        using var model = IdentityTests.Sharpened(IdentityTests.Configuration(memory, aggregation, SegmentKind.Constant, SegmentStart.Checkpoint), device);
        Session[] together = [.. Enumerable.Range(0, 5).Select(_ => model.CreateSession())], alone = [.. Enumerable.Range(0, 5).Select(_ => model.CreateSession())];
        for (var i = 0; i < together.Length; i++)
        {
            // They stand at different positions.
            together[i].Read(IdentityTests.Tokens(3 * i, i));
            alone[i].Read(IdentityTests.Tokens(3 * i, i));
        }

        var batch = new SessionBatch(together);
        for (var step = 0; step < 30; step++)
        {
            var tokens = IdentityTests.Tokens(5, 100 + step);
            batch.Read(tokens);
            for (var i = 0; i < together.Length; i++)
            {
                alone[i].Read(tokens[i]);
                Assert.Equal(alone[i].Logits.ToArray(), together[i].Logits.ToArray());
            }
        }

        Assert.Throws<ArgumentException>(() => batch.Read([1, 2]));
        Assert.Throws<ArgumentException>(() => batch.Read([1, 2, 3, 4, IdentityTests.Vocabulary]));
        Assert.Throws<ArgumentException>(() => new SessionBatch([]));
        Assert.Throws<ArgumentException>(() => new SessionBatch([alone[0], alone[0]]));
        Assert.All([.. together, .. alone], session => session.Dispose());
    }

    [Theory]
    [InlineData("linear", "grm")]
    [InlineData("dla", "soup")]
    [InlineData("titans", "ssc")]
    [InlineData("linear", "residual")]
    public void TheHandlerSeesWhatEveryTokenReads(string memory, string aggregation)
    {
        using var device = new CpuDevice(1);
        using var model = IdentityTests.Sharpened(IdentityTests.Configuration(memory, aggregation, SegmentKind.Constant, SegmentStart.Checkpoint), device);
        using var session = model.CreateSession();
        var seen = new int[2];
        session.ReadHandler = read =>
        {
            Assert.Equal(seen[read.Layer], read.Position);
            seen[read.Layer] += read.Tokens;
            Assert.Equal(2, read.Heads);
            Assert.Equal(Enumerable.Repeat(8, read.Position / 8), read.Segments);
            Assert.InRange(read.Tokens, 1, 8 - (read.Position % 8));
            var line = read.Segments.Count + 1;
            Assert.Equal(aggregation == "residual" ? 0 : read.Heads * read.Tokens * line, read.Gates.Length);
            for (var start = 0; start < read.Gates.Length; start += line)
            {
                var gates = read.Gates.Slice(start, line);
                Assert.Equal(1, gates.ToArray().Sum(), 1e-5);
                Assert.Equal(aggregation == "ssc" ? Math.Min(3, line) : line, gates.ToArray().Count(gate => gate > 0));
            }
        };
        session.Read(IdentityTests.Tokens(30, 1));
        session.Read(IdentityTests.Tokens(11, 2));
        Assert.Equal([41, 41], seen);
        session.ReadHandler = null;
        session.Read(1);
        Assert.Equal([41, 41], seen);
    }

    /// <summary>With many segments a single token finds the best through the index of keys: the same segments and bits as the full scores give several tokens at once.</summary>
    [Theory]
    [InlineData("linear", 2, 1f)]
    [InlineData("gla", 4, -3f)]
    [InlineData("dla", 1, 10f)]
    [InlineData("gated-delta-net", 40, 0.1f)]
    public void TheIndexOfKeysFindsTheSegmentsThatAllScoresFind(string memory, int topK, float temperature)
    {
        using var device = new CpuDevice(2);
        var configuration = IdentityTests.Configuration(memory, "ssc", SegmentKind.Constant, SegmentStart.Checkpoint, 4, 4, topK);
        configuration = configuration with
        {
            Mixers = [configuration.Mixers[0] with { Cache = configuration.Mixers[0].Cache with { Router = new() { InitialTemperature = temperature, OnlineBias = 0.5f } } }],
        };
        using var model = IdentityTests.Sharpened(configuration, device);
        var tokens = IdentityTests.Tokens(1500, 17);
        using Session together = model.CreateSession(), stepped = model.CreateSession();
        together.Read(tokens.AsSpan(0, 1100));
        stepped.Read(tokens.AsSpan(0, 1100));
        for (var i = 1100; i < tokens.Length; i++)
        {
            stepped.Read(tokens[i]);
            if (i % 4 == 2)
            {
                together.Read(tokens.AsSpan(i - 2, 3));
                Assert.Equal(together.Logits.ToArray(), stepped.Logits.ToArray());
            }
            else if (i % 4 == 3)
            {
                together.Rewind(together.Position - 3);
                together.Read(tokens.AsSpan(i - 3, 4));
                Assert.Equal(together.Logits.ToArray(), stepped.Logits.ToArray());
            }
        }
    }

    [Fact]
    public void LossesAreThoseOfTheLogits()
    {
        using var device = new CpuDevice(1);
        using var model = IdentityTests.Sharpened(IdentityTests.Configuration("gla", "grm", SegmentKind.Constant, SegmentStart.Checkpoint), device);
        var tokens = IdentityTests.Tokens(50, 9);
        var expected = new double[tokens.Length];
        using (var session = model.CreateSession())
        {
            for (var i = 0; i < tokens.Length; i++)
            {
                expected[i] = i == 0 ? double.NaN : -Math.Log(Softmax(session.Logits, tokens[i]));
                session.Read(tokens[i]);
            }
        }

        foreach (var split in (ReadOnlySpan<int>)[0, 1, 7, 8, 20, 50])
        {
            using var session = model.CreateSession();
            var losses = new float[tokens.Length];
            session.Read(tokens.AsSpan(0, split), losses.AsSpan(0, split));
            session.Read(tokens.AsSpan(split), losses.AsSpan(split));
            Assert.True(float.IsNaN(losses[0]));
            for (var i = 1; i < tokens.Length; i++)
            {
                Assert.Equal(expected[i], losses[i], 1e-4);
            }
        }
    }

    [Fact]
    public void BadArgumentsAreRefused()
    {
        using var device = new CpuDevice(1);
        var configuration = IdentityTests.Configuration("linear", "none", SegmentKind.Constant, SegmentStart.Checkpoint);
        using LanguageModel model = new(configuration, device), another = new(configuration, device);
        using var session = model.CreateSession();
        Assert.Throws<ArgumentException>(() => session.Read([1, -1]));
        Assert.Throws<ArgumentException>(() => session.Read(IdentityTests.Vocabulary));
        Assert.Throws<ArgumentException>(() => session.Read([1, 2], new float[1]));
        Assert.Equal(0, session.Position);
        Assert.Throws<ArgumentOutOfRangeException>(() => session.Rewind(1));
        Assert.Throws<ArgumentOutOfRangeException>(() => session.Rewind(-1));
        using var foreign = another.CreateSession();
        using var snapshot = foreign.Snapshot();
        Assert.Throws<ArgumentException>(() => session.Restore(snapshot));
        foreign.Dispose();
        Assert.Throws<ObjectDisposedException>(() => foreign.Read(1));
    }

    /// <summary>Forks share what is cached: they need little memory of their own, and outlive what they were forked from.</summary>
    [Fact]
    public void ForksOutliveTheirOrigin()
    {
        using var device = new CpuDevice(1);
        using var model = IdentityTests.Sharpened(IdentityTests.Configuration("dla", "soup", SegmentKind.Constant, SegmentStart.Independent), device);
        var tokens = IdentityTests.Tokens(40, 3);
        var session = model.CreateSession();
        session.Read(tokens);
        var fork = session.Fork();
        using var second = fork.Fork();
        session.Dispose();
        fork.Read(tokens);
        fork.Dispose();
        second.Read(tokens);
        using var fresh = model.CreateSession();
        fresh.Read([.. tokens, .. tokens]);
        Assert.Equal(fresh.Logits.ToArray(), second.Logits.ToArray());
    }

    private static void Follow(ModelConfiguration configuration, SessionOptions options, (int Kind, int Value)[] steps)
    {
        using var device = new CpuDevice(1);
        using var model = IdentityTests.Sharpened(configuration, device);
        List<(Session Session, List<int> Tokens)> sessions = [(model.CreateSession(options), [])];
        List<(SessionSnapshot Snapshot, int[] Tokens)> snapshots = [];
        var seed = 0;
        foreach (var (kind, value) in steps)
        {
            var (session, tokens) = sessions[value % sessions.Count];
            switch (kind)
            {
                case 0 or 1:
                    var next = IdentityTests.Tokens(value % 23, seed++);
                    session.Read(next);
                    tokens.AddRange(next);
                    break;
                case 2 when sessions.Count < 4:
                    sessions.Add((session.Fork(), [.. tokens]));
                    break;
                case 3:
                    snapshots.Add((session.Snapshot(), [.. tokens]));
                    break;
                case 4 when snapshots.Count > 0:
                    var (snapshot, kept) = snapshots[value % snapshots.Count];
                    session.Restore(snapshot);
                    tokens.Clear();
                    tokens.AddRange(kept);
                    break;
                default:
                    var position = tokens.Count == 0 ? 0 : value % (tokens.Count + 1);
                    session.Rewind(position);
                    tokens.RemoveRange(position, tokens.Count - position);
                    break;
            }

            foreach (var (one, read) in sessions)
            {
                Assert.Equal(read, one.Tokens.ToArray());
                if (read.Count > 0)
                {
                    using var fresh = model.CreateSession(options);
                    fresh.Read([.. read]);
                    Assert.Equal(fresh.Logits.ToArray(), one.Logits.ToArray());
                    Assert.Equal(fresh.Segments, one.Segments);
                }
            }
        }

        foreach (var (session, _) in sessions)
        {
            session.Dispose();
        }

        foreach (var (snapshot, _) in snapshots)
        {
            snapshot.Dispose();
        }
    }

    private static double Softmax(ReadOnlySpan<float> logits, int token)
    {
        var sum = 0.0;
        foreach (var logit in logits)
        {
            sum += Math.Exp(logit);
        }

        return Math.Exp(logits[token]) / sum;
    }
}
