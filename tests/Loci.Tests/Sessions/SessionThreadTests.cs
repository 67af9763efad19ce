using Loci.Memory.Segments;
using Loci.Models;
using Loci.Numerics;
using Loci.Sessions;
using Loci.Tests.Models;
using Xunit;

namespace Loci.Tests.Sessions;

/// <summary>Sessions of one model on many threads at once.</summary>
public sealed class SessionThreadTests
{
    private const int Sessions = 8;
    private const int Threads = 4;

    public static TheoryData<string, string> Models() => new()
    {
        { "gated-linear", "grm" }, { "swla", "ssc" }, { "titans", "soup" }, { "gated-delta-net", "residual" }, { "mamba2", "log-linear" }, { "attention", "none" }, { "rwkv-7", "none" },
    };

    [Theory]
    [MemberData(nameof(Models))]
    public void EightSessionsOnFourThreadsGiveTheBitsOfOneAfterAnother(string memory, string aggregation)
    {
        using var device = new CpuDevice(2);
        using var model = Create(memory, aggregation, device);
        var expected = Enumerable.Range(0, Sessions).Select(session => Read(model, session)).ToArray();
        for (var round = 0; round < 3; round++)
        {
            var actual = new float[Sessions][];
            Thread[] threads = [.. Enumerable.Range(0, Threads).Select(thread => new Thread(() =>
            {
                for (var session = thread; session < Sessions; session += Threads)
                {
                    actual[session] = Read(model, session);
                }
            }))];
            Array.ForEach(threads, thread => thread.Start());
            Array.ForEach(threads, thread => thread.Join());
            Assert.Equal(expected, actual);
        }
    }

    [Fact]
    public void ReadsStopBetweenPassesAndStayWhereTheyAre()
    {
        using var device = new CpuDevice(1);
        using var model = Create("gated-linear", "grm", device);
        using var session = model.CreateSession();
        using var source = new CancellationTokenSource();
        session.ReadHandler = read =>
        {
            if (read.Position >= 32)
            {
                source.Cancel();
            }
        };
        var tokens = IdentityTests.Tokens(90, 1);
        Assert.Throws<OperationCanceledException>(() => session.Read(tokens, source.Token));
        Assert.InRange(session.Position, 32, 89);
        session.ReadHandler = null;
        session.Read(tokens.AsSpan(session.Position), TestContext.Current.CancellationToken);
        using var whole = model.CreateSession();
        whole.Read(tokens, TestContext.Current.CancellationToken);
        Assert.Equal(whole.Logits.ToArray(), session.Logits.ToArray());
    }

    private static LanguageModel Create(string memory, string aggregation, CpuDevice device) => memory == "rwkv-7"
        ? new LanguageModel(
            new ModelConfiguration
            {
                VocabularySize = IdentityTests.Vocabulary,
                Architecture = ModelArchitecture.Rwkv7,
                Ranks = new RwkvRanks(8, 8, 8, 8),
                Dimension = 24,
                Layers = 2,
                Heads = 3,
                FeedForward = 40,
                TiedEmbeddings = false,
            }, device)
        : IdentityTests.Sharpened(IdentityTests.Configuration(memory, aggregation, aggregation == "log-linear" ? SegmentKind.Logarithmic : SegmentKind.Constant, SegmentStart.Independent), device);

    /// <summary>Logits after a prompt and after each token behind it, of a session that also forks and goes back.</summary>
    private static float[] Read(LanguageModel model, int seed)
    {
        var tokens = IdentityTests.Tokens(120 + seed, seed + 1);
        using var session = model.CreateSession();
        session.Read(tokens.AsSpan(0, 50 + seed));
        List<float> logits = [.. session.Logits];
        using var fork = session.Fork();
        fork.Read(tokens.AsSpan(20, 30));
        logits.AddRange(fork.Logits);
        foreach (var token in tokens.AsSpan(50 + seed, 40))
        {
            session.Read(token);
            logits.AddRange(session.Logits);
        }

        session.Rewind(60);
        logits.AddRange(session.Logits);
        return [.. logits];
    }
}
