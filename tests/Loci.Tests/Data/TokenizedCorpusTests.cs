using System.Text;
using FsCheck;
using FsCheck.Fluent;
using Loci.Data;
using Xunit;

namespace Loci.Tests.Data;

public sealed class TokenizedCorpusTests
{
    [Fact]
    public void Documents_are_encoded_as_the_tokenizer_does()
    {
        // Documents of more than a megabyte are cut and encoded in parallel; small ones are encoded together.
        string large = string.Concat(Enumerable.Repeat(TestFiles.RealText, 3));
        string[] texts = [large, .. TestFiles.RealText.Split('\n').Where(line => !string.IsNullOrWhiteSpace(line)), large[..^17], new string('日', 400_000)];
        foreach (Tokenizer tokenizer in (Tokenizer[])[new ByteTokenizer(), TestFiles.Gpt2])
        {
            TokenizedCorpus corpus = TokenizedCorpus.Encode(Corpus.FromTexts("texts", texts), tokenizer, cancellationToken: TestContext.Current.CancellationToken);
            Assert.Equal(texts.Length, corpus.DocumentCount);
            for (int i = 0; i < texts.Length; i++)
            {
                Assert.True(corpus.GetDocument(i).SequenceEqual(tokenizer.Encode(texts[i])), $"Document {i} differs.");
            }

            Assert.Equal(texts.Sum(text => (long)Encoding.UTF8.GetByteCount(text)), corpus.ByteCount);
            Assert.Equal(texts.Sum(CountWords), corpus.WordCount);
            Assert.Equal(texts.Sum(CountLines), corpus.LineCount);
            Assert.Equal(tokenizer.VocabularySize, corpus.VocabularySize);
            Assert.Equal(tokenizer.EndOfTextId, corpus.EndOfTextId);
        }
    }

    [Fact]
    public void Words_and_lines_are_counted_as_split_does() =>
        Prop.ForAll(TestFiles.Texts(), text =>
        {
            byte[] utf8 = Encoding.UTF8.GetBytes(text);
            return TextScan.CountWords(utf8) == CountWords(text) && TextScan.CountLines(utf8) == CountLines(text);
        }).QuickCheckThrowOnFailure();

    [Fact]
    public void Text_cut_anywhere_allowed_divides_the_same() =>
        Prop.ForAll(TestFiles.Texts(), text =>
        {
            byte[] utf8 = Encoding.UTF8.GetBytes(text);
            int[] whole = TestFiles.Gpt2.Encode(text);
            for (int from = 0; from < utf8.Length; from++)
            {
                int cut = TextScan.FindCut(utf8, from);
                List<int> parts = [];
                TestFiles.Gpt2.EncodeUtf8(utf8.AsSpan(0, cut), parts);
                TestFiles.Gpt2.EncodeContinuation(utf8.AsSpan(cut), parts);
                Assert.Equal(whole, parts);
                Assert.Equal(CountWords(text), TextScan.CountWords(utf8.AsSpan(0, cut)) + TextScan.CountWords(utf8.AsSpan(cut)));
            }
        }).QuickCheckThrowOnFailure();

    [Fact]
    public void Fingerprints_tell_corpora_apart()
    {
        ulong[] fingerprints =
        [
            Make([1, 2, 3]).ComputeFingerprint(), Make([1, 2], [3]).ComputeFingerprint(), Make([1], [2, 3]).ComputeFingerprint(), Make([1, 2, 4]).ComputeFingerprint(), Make([], [1, 2, 3]).ComputeFingerprint(),
        ];
        Assert.Equal(fingerprints.Length, fingerprints.Distinct().Count());
        Assert.Equal(fingerprints[1], Make([1, 2], [3]).ComputeFingerprint());
    }

    [Fact]
    public void Progress_reaches_its_end_and_cancelling_stops()
    {
        Corpus corpus = Corpus.FromTexts("texts", Enumerable.Repeat(TestFiles.RealText, 8));
        List<CorpusProgress> reports = [];
        TokenizedCorpus.Encode(corpus, TestFiles.Gpt2, new Recorder<CorpusProgress>(reports.Add), TestContext.Current.CancellationToken);
        Assert.Equal(reports.OrderBy(report => report.BytesDone), reports);
        Assert.Equal(new CorpusProgress(corpus.SourceLength, corpus.SourceLength), reports[^1]);

        using CancellationTokenSource source = new();
        Assert.Throws<OperationCanceledException>(() => TokenizedCorpus.Encode(corpus, TestFiles.Gpt2, new Recorder<CorpusProgress>(_ => source.Cancel()), source.Token));
    }

    [Fact]
    public void A_failing_document_ends_the_work_with_its_message()
    {
        using TemporaryFolder folder = new();
        folder.Write("a.txt", TestFiles.RealText);
        folder.Write("b.txt", [0xFF]);
        Assert.Contains("b.txt", Assert.Throws<LociException>(() => TokenizedCorpus.Encode(Corpus.Open(folder.Path), TestFiles.Gpt2, cancellationToken: TestContext.Current.CancellationToken)).Message, StringComparison.Ordinal);
    }

    [Fact]
    public void Ids_outside_the_vocabulary_and_no_documents_are_refused()
    {
        Assert.Throws<ArgumentOutOfRangeException>(() => Make([1, 10]));
        Assert.Throws<ArgumentOutOfRangeException>(() => Make([-1]));
        Assert.Throws<ArgumentException>(() => Make());
    }

    private static TokenizedCorpus Make(params int[][] documents) => TokenizedCorpus.FromDocuments("tokens", documents, vocabularySize: 10, endOfTextId: 0);

    private static long CountWords(string text) => text.Split((char[]?)null, StringSplitOptions.RemoveEmptyEntries).Length;

    private static long CountLines(string text) => text.Length == 0 ? 0 : text.Split('\n').Length - (text[^1] == '\n' ? 1 : 0);
}
