using System.Text;
using Loci.Data;
using Loci.Models;
using Loci.Numerics;
using Loci.Sessions;
using Loci.Tests.Models;
using Xunit;

namespace Loci.Tests.Sessions.Generation;

/// <summary>Generated text against a loop by hand over a second session: the same tokens, the same text, the same state of the session.</summary>
public sealed class TextGeneratorTests : IDisposable
{
    private static readonly ByteTokenizer s_tokenizer = new();
    private static readonly SamplerOptions s_sampling = new() { Temperature = 1.5f, Seed = 5 };
    private readonly CpuDevice _device = new(1);
    private readonly LanguageModel _model;

    public TextGeneratorTests() => _model = new LanguageModel(
        new ModelConfiguration { VocabularySize = s_tokenizer.VocabularySize, Dimension = 16, Layers = 2, Heads = 2 }, _device);

    public void Dispose()
    {
        _model.Dispose();
        _device.Dispose();
    }

    [Fact]
    public async Task TextIsThatOfALoopByHand()
    {
        var (tokens, logits) = ByHand(200);
        using var session = Begun();
        List<TextPiece> pieces = [.. Generator(session).Generate(new GenerationOptions { MaximumTokens = 200 })];
        Assert.Equal(tokens, pieces.Select(piece => piece.Token));
        Assert.Equal(s_tokenizer.Decode(tokens), string.Concat(pieces.Select(piece => piece.Text)));
        Assert.Equal(logits, session.Logits.ToArray()); // the last token is read too

        using var second = Begun();
        List<TextPiece> later = [];
        await foreach (var piece in Generator(second).GenerateAsync(new GenerationOptions { MaximumTokens = 200 }, TestContext.Current.CancellationToken))
        {
            later.Add(piece);
        }

        Assert.Equal(pieces, later);
        Assert.Equal(logits, second.Logits.ToArray());
    }

    [Fact]
    public void CharactersAreHeldBackUntilTheyAreWhole()
    {
        using var session = Begun();
        var text = Generator(session).Begin(new GenerationOptions { MaximumTokens = 400 });
        StringBuilder shown = new();
        List<int> tokens = [];
        var held = 0;
        while (text.MoveNext(TestContext.Current.CancellationToken))
        {
            tokens.Add(text.Token);
            shown.Append(text.Text);
            held += text.Text.IsEmpty ? 1 : 0;
            if (text.End == GenerationEnd.None)
            {
                Assert.StartsWith(shown.ToString(), s_tokenizer.Decode([.. tokens, .. s_tokenizer.Encode("x")]), StringComparison.Ordinal);
            }
        }

        Assert.True(held > 0, "The model wrote no byte of a longer character: the test shows nothing.");
        Assert.Equal(s_tokenizer.Decode([.. tokens]), shown.ToString());
    }

    [Fact]
    public void AStopTextEndsTheTextBeforeIt()
    {
        var (tokens, _) = ByHand(60);
        var all = s_tokenizer.Decode(tokens);
        var stop = all.Substring(all.Length / 2, 2);
        using var session = Begun();
        var text = Generator(session).Begin(new GenerationOptions { MaximumTokens = 60, StopTexts = [stop, "never written"] });
        StringBuilder shown = new();
        while (text.MoveNext(TestContext.Current.CancellationToken))
        {
            shown.Append(text.Text);
        }

        Assert.Equal(all[..all.IndexOf(stop, StringComparison.Ordinal)], shown.ToString());
        Assert.Equal(GenerationEnd.StopText, text.End);
        Assert.True(text.TokenCount < 60);
        Assert.False(text.MoveNext(TestContext.Current.CancellationToken));
    }

    [Fact]
    public void TheModelsEndOfTextEndsIt()
    {
        using var session = Begun();
        var text = Generator(session).Begin();
        while (text.MoveNext(TestContext.Current.CancellationToken))
        {
            Assert.True(text.TokenCount < 100_000, "No end of text came.");
        }

        Assert.Equal(GenerationEnd.EndOfText, text.End);
        Assert.Equal(s_tokenizer.EndOfTextId, text.Token);
        text.Complete();
        Assert.Equal(Prompt.Length + text.TokenCount, session.Position);
        Assert.DoesNotContain(s_tokenizer.EndOfTextId, session.Tokens[1..].ToArray()); // the session has not read it
    }

    [Fact]
    public async Task WhoStopsEarlyHasASessionThatReadEveryTokenHandedOut()
    {
        var (tokens, _) = ByHand(60);
        using var broken = Begun();
        foreach (var piece in Generator(broken).Generate().Take(7))
        {
            Assert.Contains(piece.Token, tokens);
        }

        Assert.Equal([.. Prompt, .. tokens[..7]], broken.Tokens.ToArray());

        using CancellationTokenSource source = new();
        using var cancelled = Begun();
        var count = 0;
        await Assert.ThrowsAnyAsync<OperationCanceledException>(async () =>
        {
            await foreach (var _ in Generator(cancelled).GenerateAsync(null, source.Token))
            {
                if (++count == 7)
                {
                    await source.CancelAsync();
                }
            }
        });
        Assert.Equal(7, count);
        Assert.Equal([.. Prompt, .. tokens[..7]], cancelled.Tokens.ToArray());

        await using var enumerator = Generator(cancelled).GenerateAsync(cancellationToken: TestContext.Current.CancellationToken).GetAsyncEnumerator(source.Token);
        await Assert.ThrowsAnyAsync<OperationCanceledException>(async () => await enumerator.MoveNextAsync());
    }

    [Fact]
    public void StepsAllocateNothing()
    {
        using var session = Begun();
        var text = Generator(session).Begin(new GenerationOptions { StopTexts = ["never written"] });
        for (var i = 0; i < 20; i++)
        {
            text.MoveNext(TestContext.Current.CancellationToken);
        }

        var before = GC.GetAllocatedBytesForCurrentThread();
        for (var i = 0; i < 20; i++)
        {
            text.MoveNext(CancellationToken.None);
        }

        Assert.Equal(before, GC.GetAllocatedBytesForCurrentThread());
        Assert.Equal(GenerationEnd.None, text.End);
    }

    [Fact]
    public void BadArgumentsAreRefused()
    {
        using var session = Begun();
        Assert.Contains("at least 1", Assert.Throws<LociException>(() => Generator(session).Begin(new GenerationOptions { MaximumTokens = 0 })).Message, StringComparison.Ordinal);
        using var small = new LanguageModel(new ModelConfiguration { VocabularySize = 100, Dimension = 16, Layers = 1, Heads = 2 }, _device);
        using var other = small.CreateSession();
        Assert.Contains("trained with", Assert.Throws<LociException>(() => Generator(other)).Message, StringComparison.Ordinal);
        using var unread = _model.CreateSession();
        Assert.Throws<InvalidOperationException>(() => Generator(unread).Begin().MoveNext(CancellationToken.None));
    }

    private static int[] Prompt => [s_tokenizer.EndOfTextId, .. s_tokenizer.Encode("The river")];

    private static TextGenerator Generator(Session session) => new(session, s_tokenizer, new Sampler(s_sampling));

    private Session Begun()
    {
        var session = _model.CreateSession();
        session.Read(Prompt);
        return session;
    }

    private (int[] Tokens, float[] Logits) ByHand(int count)
    {
        using var session = Begun();
        Sampler sampler = new(s_sampling);
        List<int> tokens = [];
        while (tokens.Count < count)
        {
            tokens.Add(sampler.Next(session.Logits));
            session.Read(tokens[^1]);
        }

        Assert.DoesNotContain(s_tokenizer.EndOfTextId, tokens);
        return ([.. tokens], session.Logits.ToArray());
    }
}
