using Loci.Data;
using Loci.Evaluation;
using Loci.Memory.Aggregations;
using Loci.Memory.Segments;
using Loci.Memory.Store;
using Loci.Models;
using Loci.Numerics;
using Loci.Sessions;
using Loci.Tests.Data;
using Loci.Tests.Models;
using Xunit;

namespace Loci.Tests.Evaluation;

/// <summary>What a model answers to a task, against a fresh session for every request that reads token by token.</summary>
public sealed class LanguageEvaluationModelTests : IDisposable
{
    private readonly CpuDevice _device = new(1);
    private readonly List<LanguageModel> _models = [];

    public static TheoryData<string, string, SegmentKind, StateFormat> Kinds { get; } = new()
    {
        { "gated-linear", "none", SegmentKind.Constant, StateFormat.Float32 },
        { "gated-linear", "grm", SegmentKind.Constant, StateFormat.Int8 },
        { "titans", "ssc", SegmentKind.Constant, StateFormat.Float32 },
        { "mamba2", "residual", SegmentKind.Logarithmic, StateFormat.Float32 },
        { "swla", "soup", SegmentKind.Constant, StateFormat.Float16 },
        { "attention", "none", SegmentKind.Constant, StateFormat.Float32 },
    };

    private static CancellationToken Token => TestContext.Current.CancellationToken;

    public void Dispose()
    {
        _models.ForEach(model => model.Dispose());
        _device.Dispose();
    }

    [Theory]
    [MemberData(nameof(Kinds))]
    public void LikelihoodsAreThoseOfFreshSessionsWhateverIsShared(string memory, string aggregation, SegmentKind kind, StateFormat format)
    {
        var model = Model(memory, aggregation, kind);
        SessionOptions options = new() { Checkpoints = format };
        Random random = new(1);
        List<LogLikelihoodRequest> requests = [];
        var trunk = IdentityTests.Tokens(60, 2);
        for (var i = 0; i < 40; i++)
        {
            // Contexts that branch off from a trunk and from each other, some the same, some one token long.
            int[] context = [.. trunk[..random.Next(1, 60)], .. IdentityTests.Tokens(random.Next(0, 3) * 7, random.Next(3))];
            requests.Add(new LogLikelihoodRequest(Ids(context), Ids(IdentityTests.Tokens(random.Next(1, 12), 100 + i))));
            if (i % 4 == 0)
            {
                requests.Add(new LogLikelihoodRequest(Ids(context), Ids(IdentityTests.Tokens(random.Next(1, 3), 200 + i))));
            }
        }

        // One that the model would write itself.
        int[] own = [.. trunk[..20]];
        requests.Add(new LogLikelihoodRequest(Ids(own), Ids(Greedy(model, options, own, 5))));
        LanguageEvaluationModel evaluated = new(model, null, "m", options);
        var results = evaluated.LogLikelihoods(requests, cancellationToken: Token);
        Assert.Equal(requests.Count, results.Count);
        for (var i = 0; i < requests.Count; i++)
        {
            var (logProbability, isGreedy) = Measure(model, options, [.. requests[i].Context.Tokens.Span], [.. requests[i].Continuation.Tokens.Span]);
            Assert.Equal(logProbability, results[i].LogProbability, 1e-9);
            Assert.Equal(isGreedy, results[i].IsGreedy);
            Assert.Equal(requests[i].Continuation.Tokens.Length, results[i].Tokens);
            Assert.Equal(evaluated.LogLikelihoods([requests[i]], cancellationToken: Token)[0], results[i]); // bit for bit
        }

        Assert.True(results[^1].IsGreedy);
        Assert.Contains(results, result => !result.IsGreedy);
    }

    [Fact]
    public void SharedBeginningsAreReadOnce()
    {
        LanguageEvaluationModel model = new(Model(), null, "m");
        var context = IdentityTests.Tokens(40, 1);
        model.LogLikelihoods([.. Enumerable.Range(0, 4).Select(i => new LogLikelihoodRequest(Ids(context), Ids(IdentityTests.Tokens(3, i))))], cancellationToken: Token);
        Assert.Equal(40 + (4 * 2), model.TokensRead);

        // Contexts that go on from each other, in any order.
        model.LogLikelihoods([.. new[] { 30, 10, 40, 20 }.Select(length => new LogLikelihoodRequest(Ids(context[..length]), Ids([5])))], cancellationToken: Token);
        Assert.Equal(48 + 40, model.TokensRead);

        // Branches of branches: 20 in common, and two times 30 in common.
        int[] Branch(int one, int two) => [.. context[..20], .. IdentityTests.Tokens(10, one), .. IdentityTests.Tokens(5, 10 + two)];
        model.LogLikelihoods([.. new[] { (1, 1), (2, 2), (1, 3), (2, 4) }.Select(branch => new LogLikelihoodRequest(Ids(Branch(branch.Item1, branch.Item2)), Ids([5])))], cancellationToken: Token);
        Assert.Equal(88 + 20 + (2 * 10) + (4 * 5), model.TokensRead);
        model.GenerateUntil([.. Enumerable.Range(0, 3).Select(_ => new GenerationRequest(Ids(context), [], 4))], cancellationToken: Token);
        Assert.Equal(148 + 40 + (3 * 3), model.TokensRead);
    }

    [Fact]
    public void TokensSplitWhereTheRunningTextHasThem()
    {
        var gpt2 = TestFiles.Gpt2;
        RequestEncoder encoder = new("m", gpt2, gpt2.VocabularySize);
        Same("The capital of France is", "The capital of France is", " Paris", " Paris");

        // White space at the end belongs to what follows.
        Same("The capital of France is", "The capital of France is ", "Paris", " Paris");
        Same("Question?", "Question?\n", "Answer", "\nAnswer");
        Same("", "", "Paris", "Paris");
        Same("", "  ", "Paris", "  Paris");

        // As many tokens are taken away as the context has by itself, though the seam has other ones.
        var whole = gpt2.Encode("unbelievable");
        var alone = gpt2.Encode("unbeliev");
        var (context, continuation) = encoder.Encode(new LogLikelihoodRequest("unbeliev", "able"));
        Assert.Equal([gpt2.EndOfTextId, .. alone], context);
        Assert.Equal(whole[alone.Length..], continuation);

        // "ab" is one token, so that nothing would be left.
        Assert.Single(gpt2.Encode("ab"));
        (context, continuation) = encoder.Encode(new LogLikelihoodRequest("a", "b"));
        Assert.Equal([gpt2.EndOfTextId, .. gpt2.Encode("a")], context);
        Assert.Equal(gpt2.Encode("b"), continuation);

        Assert.Equal([gpt2.EndOfTextId, .. gpt2.Encode("Once upon ")], encoder.Encode(new GenerationRequest("Once upon ", [], 1)));
        Assert.Equal([gpt2.EndOfTextId, .. gpt2.Encode("Once")], encoder.Encode(new RollingRequest("Once")));
        Assert.Equal([3, 4], encoder.Encode(new RollingRequest(Ids([3, 4]))));

        void Same(string begin, string before, string after, string rest)
        {
            var (context, continuation) = encoder.Encode(new LogLikelihoodRequest(before, after));
            Assert.Equal([gpt2.EndOfTextId, .. gpt2.Encode(begin)], context);
            Assert.Equal(gpt2.Encode(rest), continuation);
        }
    }

    [Fact]
    public void RequestsThatCannotBeAreRefused()
    {
        LanguageEvaluationModel model = new(Model(), null, "tokens only", null);
        Refused<LociException>("tokens only has no tokenizer", new LogLikelihoodRequest("a", "b"));
        Refused<LociException>("token 31", new LogLikelihoodRequest(Ids([1, 31]), Ids([2])));
        Refused<LociException>("token -1", new LogLikelihoodRequest(Ids([1]), Ids([-1])));
        Refused<ArgumentException>("at least one", new LogLikelihoodRequest(Ids([]), Ids([2])));
        Refused<ArgumentException>("nothing to measure", new LogLikelihoodRequest(Ids([1]), Ids([])));
        Assert.Contains("no tokenizer", Assert.Throws<LociException>(() => model.GenerateUntil([new GenerationRequest(Ids([1]), ["x"], 3)], cancellationToken: Token)).Message, StringComparison.Ordinal);

        void Refused<T>(string part, LogLikelihoodRequest request) where T : Exception =>
            Assert.Contains(part, Assert.Throws<T>(() => model.LogLikelihoods([request], cancellationToken: Token)).Message, StringComparison.Ordinal);
    }

    [Fact]
    public void TiesAreNotGreedyAndBrokenModelsAreNamed()
    {
        var even = Model();
        foreach (var parameter in even.Parameters)
        {
            parameter.Load(new float[parameter.Shape.Count]);
        }

        var result = new LanguageEvaluationModel(even, null, "even").LogLikelihoods([new(Ids([1]), Ids([0, 0]))], cancellationToken: Token)[0];
        Assert.False(result.IsGreedy);
        Assert.Equal(-2 * Math.Log(IdentityTests.Vocabulary), result.LogProbability, 1e-6);

        var broken = Model();
        broken.Parameters[^1].Load([.. Enumerable.Repeat(float.NaN, (int)broken.Parameters[^1].Shape.Count)]);
        LanguageEvaluationModel model = new(broken, null, "broken");
        Assert.Contains("not finite", Assert.Throws<LociException>(() => model.LogLikelihoods([new(Ids([1]), Ids([0]))], cancellationToken: Token)).Message, StringComparison.Ordinal);
        Assert.Contains("not finite", Assert.Throws<LociException>(() => model.GenerateUntil([new(Ids([1]), [], 2)], cancellationToken: Token)).Message, StringComparison.Ordinal);
    }

    [Theory]
    [MemberData(nameof(Kinds))]
    public void RollingLossesAreThoseOfAWholeReading(string memory, string aggregation, SegmentKind kind, StateFormat format)
    {
        var model = Model(memory, aggregation, kind);
        SessionOptions options = new() { Checkpoints = format };
        LanguageEvaluationModel evaluated = new(model, new Letters(30), "m", options);
        var losses = evaluated.RollingLogLikelihoods([new(Ids([30, 3, 4, 5, 6, 7])), new("defgh"), new(Ids([3]))], cancellationToken: Token);
        Assert.Equal(losses[0].Losses, losses[1].Losses); // text begins with the end-of-text token, token ids with their first
        Assert.Equal(5, losses[0].Losses.Count);
        Assert.Empty(losses[2].Losses);
        Assert.Equal(Measure(model, options, [30], [3, 4, 5, 6, 7]).LogProbability, losses[0].LogProbability, 1e-4);
        Assert.Equal(5, losses[0].Losses.Distinct().Count());
    }

    [Fact]
    public void WritingIsGreedyAndEndsWhereItShould()
    {
        var model = Model();
        SessionOptions options = new();

        // A context after which the model does not repeat itself at once.
        var (context, written) = Enumerable.Range(0, 200)
            .Select(seed => (int[])[30, .. IdentityTests.Tokens(25, seed)])
            .Select(tokens => (tokens, Greedy(model, options, tokens, 30)))
            .First(pair => pair.Item2[..12].Distinct().Count() >= 5 && !pair.Item2.Contains(30));
        var letters = new Letters(30);
        var text = letters.Decode(written);
        LanguageEvaluationModel evaluated = new(model, letters, "m", options);

        // The end may be spread over tokens, be given with others, and come where the context has it too.
        var end = text[7..10];
        var first = text.IndexOf(end, StringComparison.Ordinal);
        Generation[] results = [.. evaluated.GenerateUntil([
            new(Ids(context), [], 12), new(Ids(context), [end], 30), new(Ids(context), ["", text[9..12], end], 30), new(Ids(context), ["ZZ"], 12), new(Ids([30, 5]), [], 3), new(Ids(context), [], 0),
        ], cancellationToken: Token)];
        Assert.Equal((text[..12], 12), (results[0].Text, results[0].Tokens.Count));
        Assert.Equal(written[..12], results[0].Tokens);
        Assert.Equal((text[..first], first + 3), (results[1].Text, results[1].Tokens.Count));
        Assert.Equal(text[..Math.Min(first, text.IndexOf(text[9..12], StringComparison.Ordinal))], results[2].Text);
        Assert.Equal(results[0].Text, results[3].Text);
        Assert.Equal(Greedy(model, options, [30, 5], 3), results[4].Tokens);
        Assert.Equal(("", 0), (results[5].Text, results[5].Tokens.Count));

        // The end of the document ends it; a token's text is then not in it.
        var stop = written.Distinct().Last();
        var place = Array.IndexOf(written, stop);
        Assert.True(place > 2);
        var ended = new LanguageEvaluationModel(model, new Letters(stop), "m", options).GenerateUntil([new(Ids(context), [], 30)], cancellationToken: Token)[0];
        Assert.Equal(new Letters(stop).Decode(written.AsSpan(0, place)), ended.Text);
        Assert.Equal(written[..(place + 1)], ended.Tokens);

        // Without a tokenizer there are only ids.
        var ids = new LanguageEvaluationModel(model, null, "m", options).GenerateUntil([new(Ids(context), [], 5)], cancellationToken: Token)[0];
        Assert.Equal("", ids.Text);
        Assert.Equal(written[..5], ids.Tokens);
    }

    [Fact]
    public void CharactersOfSeveralTokensAreWhole()
    {
        var model = Track(IdentityTests.Sharpened(IdentityTests.Configuration("gated-linear", "none", SegmentKind.Constant, SegmentStart.Checkpoint) with { VocabularySize = 257 }, _device));
        ByteTokenizer bytes = new();
        LanguageEvaluationModel evaluated = new(model, bytes, "m");
        var result = evaluated.GenerateUntil([new("Über", [], 40)], cancellationToken: Token)[0];
        Assert.Equal(bytes.Decode([.. result.Tokens]), result.Text);
        Assert.Equal(Greedy(model, new SessionOptions(), [bytes.EndOfTextId, .. bytes.Encode("Über")], result.Tokens.Count), result.Tokens);
    }

    [Fact]
    public void CachesAfterTrainingAreMeasured()
    {
        var model = Model();
        SessionOptions options = new() { AfterTraining = new AfterTrainingCache { Read = "grm", SegmentLength = 8 } };
        int[] context = IdentityTests.Tokens(40, 3), continuation = [3, 7];
        var with = new LanguageEvaluationModel(model, null, "m", options).LogLikelihoods([new(Ids(context), Ids(continuation))], cancellationToken: Token)[0];
        var without = new LanguageEvaluationModel(model, null, "m").LogLikelihoods([new(Ids(context), Ids(continuation))], cancellationToken: Token)[0];
        Assert.Equal(Measure(model, options, context, continuation).LogProbability, with.LogProbability, 1e-9);
        Assert.NotEqual(without.LogProbability, with.LogProbability);
        Assert.Throws<LociException>(() => new LanguageEvaluationModel(Model("gated-linear", "grm"), null, "m", options));
    }

    [Fact]
    public void IsStoppedWithinLongContexts()
    {
        using CancellationTokenSource source = new();
        LanguageEvaluationModel model = new(Model(), null, "m");
        model.TokenProgress = new Reporter<long>(_ => source.Cancel());
        var context = Ids(IdentityTests.Tokens(20_000, 1));
        Assert.Throws<OperationCanceledException>(() => model.LogLikelihoods([new(context, Ids([1]))], null, source.Token));
        Assert.Throws<OperationCanceledException>(() => model.RollingLogLikelihoods([new(context)], null, source.Token));
        Assert.Throws<OperationCanceledException>(() => model.GenerateUntil([new(context, [], 3)], null, source.Token));
        Assert.InRange(model.TokensRead, 1, 4096);
    }

    [Fact]
    public void ProgressCountsRequests()
    {
        List<int> told = [];
        Reporter<int> progress = new(told.Add);
        LanguageEvaluationModel model = new(Model(), null, "m");
        model.LogLikelihoods([.. Enumerable.Range(0, 5).Select(i => new LogLikelihoodRequest(Ids([1, 2, i]), Ids(IdentityTests.Tokens(1 + (i % 2), i))))], progress, cancellationToken: Token);
        Assert.Equal([1, 2, 3, 4, 5], told);
        told.Clear();
        model.GenerateUntil([new(Ids([1]), [], 2), new(Ids([2]), [], 9), new(Ids([3]), [], 2)], progress, cancellationToken: Token);
        Assert.Equal([2, 3], told);
        told.Clear();
        model.RollingLogLikelihoods([new(Ids([1, 2])), new(Ids([2, 3]))], progress, cancellationToken: Token);
        Assert.Equal([1, 2], told);
    }

    private static (double LogProbability, bool IsGreedy) Measure(LanguageModel model, SessionOptions options, int[] context, int[] continuation)
    {
        using var session = model.CreateSession(options);
        foreach (var token in context)
        {
            session.Read(token);
        }

        var (sum, isGreedy) = (0.0, true);
        foreach (var token in continuation)
        {
            var logits = session.Logits.ToArray();
            var largest = logits.Max();
            sum += logits[token] - largest - Math.Log(logits.Sum(logit => Math.Exp(logit - largest)));
            isGreedy &= logits.Count(logit => logit >= logits[token]) == 1;
            session.Read(token);
        }

        return (sum, isGreedy);
    }

    private static int[] Greedy(LanguageModel model, SessionOptions options, int[] context, int count)
    {
        using var session = model.CreateSession(options);
        session.Read(context);
        List<int> tokens = [];
        while (tokens.Count < count)
        {
            var logits = session.Logits.ToArray();
            tokens.Add(Array.IndexOf(logits, logits.Max()));
            session.Read(tokens[^1]);
        }

        return [.. tokens];
    }

    private static EvaluationText Ids(int[] tokens) => new(tokens.AsMemory());

    private LanguageModel Model(string memory = "gated-linear", string aggregation = "none", SegmentKind kind = SegmentKind.Constant) =>
        Track(IdentityTests.Sharpened(IdentityTests.Configuration(memory, aggregation, kind, SegmentStart.Checkpoint), _device));

    private LanguageModel Track(LanguageModel model)
    {
        _models.Add(model);
        return model;
    }

    private sealed class Reporter<T>(Action<T> report) : IProgress<T>
    {
        public void Report(T value) => report(value);
    }

    /// <summary>Token i is the i-th letter from a on; one of them ends texts.</summary>
    private sealed class Letters(int end) : Tokenizer
    {
        private static readonly byte[] All = [.. Enumerable.Range('a', IdentityTests.Vocabulary).Select(letter => (byte)letter)];

        public override int VocabularySize => IdentityTests.Vocabulary;

        public override int EndOfTextId => end;

        public override void EncodeUtf8(ReadOnlySpan<byte> utf8, List<int> destination)
        {
            foreach (var letter in utf8)
            {
                destination.Add(letter - 'a');
            }
        }

        public override ReadOnlySpan<byte> GetBytes(int id) => id == end ? [] : All.AsSpan(id, 1);

        public override bool IsSpecial(int id) => id == end;
    }
}
