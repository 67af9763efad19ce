using System.Text;
using FsCheck;
using FsCheck.Fluent;
using Loci.Data;
using Xunit;

namespace Loci.Tests.Data;

public sealed class BpeTrainerTests
{
    [Fact]
    public void Merges_equal_those_of_the_plain_definition()
    {
        // Few letters make many ties and overlaps.
        Gen<string> words = Gen.Elements("a", "b", "aa", "ab", "ba", " ", " a", " b", "aaaa", "1", "\n", "é").ListOf().Select(string.Concat);
        Arbitrary<(string[], int, int)> cases = words.NonEmptyListOf().SelectMany(documents => Gen.Choose(257, 300).SelectMany(size => Gen.Choose(1, 4)
            .Select(minimum => (documents.ToArray(), size, minimum)))).ToArbitrary();
        Prop.ForAll(cases, parts =>
        {
            (string[] documents, int vocabularySize, int minimum) = parts;
            if (documents.All(string.IsNullOrWhiteSpace))
            {
                return;
            }

            AssertSameAsReference(documents, new BpeTrainerOptions { VocabularySize = vocabularySize, MinimumFrequency = minimum });
        }).QuickCheckThrowOnFailure();
    }

    [Fact]
    public void Merges_of_real_text_equal_those_of_the_plain_definition() =>
        AssertSameAsReference([TestFiles.RealText[..20_000], TestFiles.RealText[^20_000..]], new BpeTrainerOptions { VocabularySize = 500 });

    [Fact]
    public void The_result_does_not_depend_on_how_the_text_is_divided_among_threads()
    {
        // Two megabytes in one document are cut into parts; two documents are cut elsewhere.
        string text = string.Concat(Enumerable.Repeat(TestFiles.RealText.ReplaceLineEndings("\n"), 5));
        BpeTrainerOptions options = new() { VocabularySize = 1000 };
        BpeTokenizer whole = BpeTrainer.Train(Corpus.FromTexts("whole", [text]), options, cancellationToken: TestContext.Current.CancellationToken);
        BpeTokenizer again = BpeTrainer.Train(Corpus.FromTexts("again", [text]), options, cancellationToken: TestContext.Current.CancellationToken);
        Assert.Equal(1000, whole.VocabularySize);
        Assert.Equal(whole.Merges, again.Merges);

        int half = text.IndexOf("\nThe ", text.Length / 2, StringComparison.Ordinal);
        BpeTokenizer halves = BpeTrainer.Train(Corpus.FromTexts("halves", [text[..half], text[half..]]), options, cancellationToken: TestContext.Current.CancellationToken);
        Assert.Equal(whole.Merges, halves.Merges);
    }

    [Fact]
    public void Ids_are_special_tokens_then_bytes_in_file_order_then_merges()
    {
        BpeTokenizer tokenizer = Train(["aaab aaab"], new BpeTrainerOptions { VocabularySize = 261, MinimumFrequency = 1, AdditionalSpecialTokens = ["<pad>"] });
        Assert.Equal(0, tokenizer.EndOfTextId);
        Assert.Equal([new AddedToken(0, "<|endoftext|>"), new AddedToken(1, "<pad>")], tokenizer.AddedTokens);
        Assert.Equal("!"u8.ToArray(), tokenizer.GetBytes(2).ToArray());
        Assert.Equal([0xAD], tokenizer.GetBytes(257).ToArray());

        // (a, a) occurs four times, overlaps counted; then (aa, a) and (a, b) tie at two and the smaller left id wins.
        int a = tokenizer.Encode("a")[0];
        int b = tokenizer.Encode("b")[0];
        Assert.Equal([new BpeMerge(a, a, 258), new BpeMerge(a, b, 259), new BpeMerge(258, 259, 260)], tokenizer.Merges);
    }

    [Fact]
    public void A_small_corpus_gives_a_smaller_vocabulary()
    {
        BpeTokenizer tokenizer = Train(["ab ab"], new BpeTrainerOptions { VocabularySize = 1000 });
        Assert.Equal(258, tokenizer.VocabularySize);
        Assert.Equal("ab xyz", tokenizer.Decode(tokenizer.Encode("ab xyz")));
    }

    [Fact]
    public void No_merge_makes_the_text_of_a_special_token()
    {
        BpeTokenizer tokenizer = Train(["pad pad pad", "padded"], new BpeTrainerOptions { VocabularySize = 400, MinimumFrequency = 1, AdditionalSpecialTokens = ["pad"] });
        Assert.DoesNotContain(Enumerable.Range(2, tokenizer.VocabularySize - 2), id => tokenizer.GetBytes(id).SequenceEqual("pad"u8));
        Assert.Equal("pad", tokenizer.Decode(tokenizer.Encode("pad")));
    }

    [Fact]
    public void Learnt_merges_shorten_text_and_lose_nothing()
    {
        BpeTokenizer tokenizer = Train([TestFiles.RealText], new BpeTrainerOptions { VocabularySize = 4096 });
        int[] ids = tokenizer.Encode(TestFiles.RealText);
        Assert.Equal(4096, tokenizer.VocabularySize);
        Assert.Equal(TestFiles.RealText, tokenizer.Decode(ids));
        Assert.InRange((double)Encoding.UTF8.GetByteCount(TestFiles.RealText) / ids.Length, 3.0, 5.0);
    }

    [Fact]
    public void Impossible_options_are_refused()
    {
        Assert.Contains("257", Fail(new BpeTrainerOptions { VocabularySize = 256 }), StringComparison.Ordinal);
        Assert.Contains("at least 1", Fail(new BpeTrainerOptions { MinimumFrequency = 0 }), StringComparison.Ordinal);
        Assert.Contains("twice", Fail(new BpeTrainerOptions { AdditionalSpecialTokens = ["<|endoftext|>"] }), StringComparison.Ordinal);

        static string Fail(BpeTrainerOptions options) => Assert.Throws<LociException>(() => Train(["text"], options)).Message;
    }

    [Fact]
    public void Progress_reaches_its_end_and_cancelling_stops()
    {
        List<BpeTrainingProgress> reports = [];
        BpeTrainer.Train(Corpus.FromTexts("text", [TestFiles.RealText]), new BpeTrainerOptions { VocabularySize = 600 }, new Recorder<BpeTrainingProgress>(reports.Add), TestContext.Current.CancellationToken);
        Assert.Contains(reports, report => !report.IsMerging && report.Done == report.Total);
        Assert.True(reports[^1] is { IsMerging: true, Done: 343, Total: 343 });
        Assert.All(reports, report => Assert.InRange(report.Done, 0, report.Total));

        using CancellationTokenSource source = new();
        Recorder<BpeTrainingProgress> cancelling = new(report =>
        {
            if (report.IsMerging)
            {
                source.Cancel();
            }
        });
        Assert.Throws<OperationCanceledException>(() => BpeTrainer.Train(Corpus.FromTexts("text", [TestFiles.RealText]), new BpeTrainerOptions { VocabularySize = 2000 }, cancelling, source.Token));
    }

    private static BpeTokenizer Train(string[] documents, BpeTrainerOptions options) => BpeTrainer.Train(Corpus.FromTexts("test", documents), options);

    private static void AssertSameAsReference(string[] documents, BpeTrainerOptions options)
    {
        BpeTokenizer tokenizer = Train(documents, options);
        Assert.Equal(LearnPlainly(documents, options), tokenizer.Merges.Select(merge => (tokenizer.GetBytes(merge.Left).ToArray(), tokenizer.GetBytes(merge.Right).ToArray()))
            .Select(pair => (Convert.ToHexString(pair.Item1), Convert.ToHexString(pair.Item2))));
    }

    /// <summary>The definition: count all pairs anew for each merge.</summary>
    private static List<(string Left, string Right)> LearnPlainly(string[] documents, BpeTrainerOptions options)
    {
        List<byte[]> vocabulary = [[], .. ByteAlphabet.BytesInOrder.Select(value => new[] { value })];
        Dictionary<string, long> words = [];
        foreach (string document in documents.Where(document => !string.IsNullOrWhiteSpace(document)))
        {
            foreach (System.Text.RegularExpressions.Match match in System.Text.RegularExpressions.Regex.Matches(document, Gpt2PreTokenizer.Pattern))
            {
                words[match.Value] = words.GetValueOrDefault(match.Value) + 1;
            }
        }

        List<(List<int> Tokens, long Weight)> pieces = [.. words.Select(word => (Encoding.UTF8.GetBytes(word.Key).Select(value => vocabulary.FindIndex(token => token is [byte only] && only == value)).ToList(), word.Value))];
        List<(string, string)> merges = [];
        while (vocabulary.Count < options.VocabularySize)
        {
            Dictionary<(int Left, int Right), long> counts = [];
            foreach ((List<int> tokens, long weight) in pieces)
            {
                for (int i = 1; i < tokens.Count; i++)
                {
                    counts[(tokens[i - 1], tokens[i])] = counts.GetValueOrDefault((tokens[i - 1], tokens[i])) + weight;
                }
            }

            if (counts.Count == 0 || counts.Values.Max() < options.MinimumFrequency)
            {
                break;
            }

            long most = counts.Values.Max();
            (int left, int right) = counts.Where(pair => pair.Value == most).Min(pair => pair.Key);
            merges.Add((Convert.ToHexString(vocabulary[left]), Convert.ToHexString(vocabulary[right])));
            foreach ((List<int> tokens, _) in pieces)
            {
                for (int i = 0; i + 1 < tokens.Count; i++)
                {
                    if (tokens[i] == left && tokens[i + 1] == right)
                    {
                        tokens[i] = vocabulary.Count;
                        tokens.RemoveAt(i + 1);
                    }
                }
            }

            vocabulary.Add([.. vocabulary[left], .. vocabulary[right]]);
        }

        return merges;
    }
}

/// <summary>Reports progress at once, on the thread that makes it.</summary>
internal sealed class Recorder<T>(Action<T> record) : IProgress<T>
{
    public void Report(T value) => record(value);
}
