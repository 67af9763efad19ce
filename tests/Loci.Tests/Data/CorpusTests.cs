using System.Text;
using FsCheck;
using FsCheck.Fluent;
using Loci.Data;
using Xunit;

namespace Loci.Tests.Data;

public sealed class CorpusTests : IDisposable
{
    private readonly TemporaryFolder _folder = new();

    public void Dispose() => _folder.Dispose();

    [Fact]
    public void A_file_is_a_document_byte_for_byte()
    {
        string text = "  first\r\n\n second, é\n";
        Assert.Equal([text], Read(_folder.Write("a.anything", text)));
        Assert.Equal([text], Read(_folder.Write("bom.txt", "\uFEFF" + text)));
        Assert.Equal([text], Read(_folder.Write("a.txt.gz", TemporaryFolder.Gzip(text))));
    }

    [Theory]
    [InlineData(DocumentSeparator.Line, "one\r\n\n \ntwo\nthree", new[] { "one", "two", "three" })]
    [InlineData(DocumentSeparator.BlankLine, "\none\n  more\r\n\r\n\n \ntwo\n\nthree", new[] { "one\n  more", "two", "three" })]
    [InlineData(DocumentSeparator.EndOfText, "one\n<|endoftext|>\n\ntwo<|endoftext|><|endoftext|>three <| four\n<|endoftext|>\n", new[] { "one", "two", "three <| four" })]
    [InlineData(DocumentSeparator.WikiText, " \n = One = \n \n text = 1 \n = = Part = = \n \n = no title = \n more \n \n = Two = \n \n text \n", new[] { " \n = One = \n \n text = 1 \n = = Part = = \n \n = no title = \n more \n \n", " = Two = \n \n text \n" })]
    public void Separators_divide_files(DocumentSeparator separator, string text, string[] documents) =>
        Assert.Equal(documents, Read(_folder.Write("a.txt", text), separator));

    [Fact]
    public void Lines_longer_than_any_buffer_are_read_whole()
    {
        string[] lines = [.. Enumerable.Range(0, 40).Select(i => new string((char)('a' + (i % 26)), i * 7001 % 200_000 + 1))];
        Assert.Equal(lines, Read(_folder.Write("a.txt", string.Join('\n', lines)), DocumentSeparator.Line));
        Assert.Equal(lines, Read(_folder.Write("a.txt.gz", TemporaryFolder.Gzip(string.Join("\n", lines) + "\n")), DocumentSeparator.Line));
    }

    [Fact]
    public void A_folder_is_read_in_ordinal_order_of_relative_paths()
    {
        _folder.Write("b/2.txt", "b2");
        _folder.Write("b/10.txt", "b10");
        _folder.Write("B.txt", "B");
        _folder.Write("a.zip", TemporaryFolder.Zip(("z.txt", "az"u8.ToArray()), ("inner/y.jsonl", "{\"text\":\"ay\"}"u8.ToArray()), ("image.png", [0xFF])));
        _folder.Write("c.md.gz", TemporaryFolder.Gzip("c"));
        _folder.Write(".hidden.txt", "no");
        _folder.Write(".git/a.txt", "no");
        _folder.Write("program.exe", [0xFF, 0xFF]);
        Assert.Equal(["B", "ay", "az", "b10", "b2", "c"], Read(_folder.Path));
    }

    [Fact]
    public void Json_lines_give_the_field_text()
    {
        string path = _folder.Write("a.jsonl", """
            {"id": 1, "text": "one\n\u00e9\ud83d\ude00", "meta": {"text": "no"}}

            {"text": "two"}
            {"text": ""}
            """);
        Assert.Equal(["one\né\U0001F600", "two"], Read(path));
        Assert.Equal(["one\né\U0001F600", "two"], Read(path, DocumentSeparator.WikiText));
    }

    [Theory]
    [InlineData("{\"text\": \"one\"}\n{\"text\": 2}", "record 2 has no string field \"text\"")]
    [InlineData("{\"txt\": \"one\"}", "record 1 has no string field \"text\"")]
    [InlineData("[1]", "record 1 is not a JSON object")]
    [InlineData("{\"text\": \"one\"", "record 1 is not valid JSON")]
    [InlineData("{\"text\": \"one\"} x", "record 1 is not valid JSON")]
    [InlineData("{\"text\": \"\\ud800\"}", "half of a surrogate pair")]
    public void Damaged_json_lines_are_refused(string contents, string problem) => AssertRefused(_folder.Write("a.jsonl", contents), problem);

    [Fact]
    public void What_cannot_be_read_is_refused_in_one_sentence()
    {
        AssertRefused(Path.Combine(_folder.Path, "missing.txt"), "There is no file or folder");
        AssertRefused(_folder.Write("empty.txt", ""), "contains no text");
        AssertRefused(_folder.Write("blank.txt", " \n\t\n"), "contains no text");
        AssertRefused(_folder.Write("invalid.txt", [.. "abc"u8, 0xFF, .. "def"u8]), "not valid UTF-8 at byte 3");
        AssertRefused(_folder.Write("cut.txt", Encoding.UTF8.GetBytes("abc€")[..^1]), "not valid UTF-8 at byte 3");
        AssertRefused(_folder.Write("utf16.txt", Encoding.Unicode.GetPreamble().Concat(Encoding.Unicode.GetBytes("text")).ToArray()), "UTF-16");
        AssertRefused(_folder.Write("not.gz", "plain text"), "Cannot read");
        AssertRefused(_folder.Write("not.zip", "plain text"), "Cannot read");
        AssertRefused(_folder.Write("none.zip", TemporaryFolder.Zip(("image.png", [1]))), "holds no text files");
        Directory.CreateDirectory(Path.Combine(_folder.Path, "folder"));
        AssertRefused(Path.Combine(_folder.Path, "folder"), "holds no text files");
        Assert.Contains("byte 8", Fail(_folder.Write("lines.txt", [.. "good\nbad"u8, 0xC0]), DocumentSeparator.Line).Message, StringComparison.Ordinal);
        Assert.Contains("contains no text", Assert.Throws<LociException>(() => Corpus.FromTexts("nothing", [" "]).ReadDocuments().Count()).Message, StringComparison.Ordinal);
    }

    [Fact]
    public void A_gzip_file_cut_short_anywhere_is_refused()
    {
        byte[] whole = TemporaryFolder.Gzip(string.Concat(Enumerable.Range(0, 500).Select(i => $"line {i * i}\n")));
        for (int length = 0; length < whole.Length; length += length < whole.Length - 40 ? 37 : 1)
        {
            Fail(_folder.Write("cut.txt.gz", whole[..length]));
        }

        byte[] two = [.. whole, .. TemporaryFolder.Gzip("the end")];
        Assert.EndsWith("the end", Assert.Single(Read(_folder.Write("two.txt.gz", two))), StringComparison.Ordinal);
        for (int length = two.Length - 1; length > whole.Length; length--)
        {
            Fail(_folder.Write("cut.txt.gz", two[..length]));
        }
    }

    [Fact]
    public void A_damaged_archive_is_refused_or_read()
    {
        byte[] gzip = TemporaryFolder.Gzip(TestFiles.RealText[..5000]);
        byte[] zip = TemporaryFolder.Zip(("a.txt", Encoding.UTF8.GetBytes(TestFiles.RealText[..5000])));
        RandomGenerator random = new(5);
        for (int round = 0; round < 300; round++)
        {
            byte[] damaged = [.. round % 2 == 0 ? gzip : zip];
            damaged[random.NextInt32(damaged.Length)] ^= (byte)(1 << random.NextInt32(8));
            damaged = round % 3 == 0 ? damaged[..random.NextInt32(damaged.Length)] : damaged;
            try
            {
                Read(_folder.Write(round % 2 == 0 ? "a.txt.gz" : "a.zip", damaged));
            }
            catch (LociException)
            {
                // Refused. Anything else fails the test.
            }
        }
    }

    [Fact]
    public void Source_positions_rise_to_the_source_length()
    {
        byte[] text = Encoding.UTF8.GetBytes(TestFiles.RealText);
        string[] paths = [_folder.Write("f/a.txt", text), _folder.Write("a.txt.gz", TemporaryFolder.Gzip(TestFiles.RealText)), _folder.Write("a.zip", TemporaryFolder.Zip(("a.txt", text), ("b.txt", text))), _folder.Path];
        foreach (string path in paths)
        {
            Corpus corpus = Corpus.Open(path, DocumentSeparator.BlankLine);
            long[] positions = [.. corpus.ReadDocuments().Select(document => document.SourcePosition)];
            Assert.Equal(positions.Order(), positions);
            Assert.InRange(positions[^1], corpus.SourceLength * 0.99, corpus.SourceLength);
        }
    }

    [Fact]
    public void A_split_is_disjoint_complete_and_repeatable()
    {
        Gen<(int, double, int)> cases = Gen.Choose(2, 60).SelectMany(count => Gen.Choose(1, 99).SelectMany(percent => Gen.Choose(0, 5).Select(seed => (count, percent / 100.0, seed))));
        Prop.ForAll(cases.ToArbitrary(), parts =>
        {
            (int count, double fraction, int seed) = parts;
            Corpus corpus = Corpus.FromTexts("texts", Enumerable.Range(0, count).Select(i => $"text {i}"));
            (Corpus training, Corpus validation) = corpus.Split(fraction, (ulong)seed);
            string[] all = Texts(corpus);
            string[] first = Texts(training);
            string[] second = Texts(validation);
            Assert.Equal(all.Where(second.Contains), second);
            Assert.Equal(all.Except(second), first);
            Assert.Equal(Math.Clamp((int)Math.Round(count * fraction), 1, count - 1), second.Length);
            Assert.Equal(second, Texts(corpus.Split(fraction, (ulong)seed).Validation));
        }).QuickCheckThrowOnFailure();

        Corpus many = Corpus.FromTexts("texts", Enumerable.Range(0, 100).Select(i => $"text {i}"));
        Assert.NotEqual(Texts(many.Split(0.1, 1).Validation), Texts(many.Split(0.1, 2).Validation));
    }

    [Fact]
    public void What_cannot_be_split_is_refused()
    {
        Corpus one = Corpus.FromTexts("one", ["text"]);
        Assert.Contains("single document", Assert.Throws<LociException>(() => one.Split(0.5, 0)).Message, StringComparison.Ordinal);
        Assert.Throws<ArgumentOutOfRangeException>(() => one.Split(0, 0));
        Assert.Throws<ArgumentOutOfRangeException>(() => one.Split(double.NaN, 0));

        string path = _folder.Write("a.txt", "one\ntwo\nthree\n");
        (Corpus training, Corpus validation) = Corpus.Open(path, DocumentSeparator.Line).Split(0.3, 0);
        File.WriteAllText(path, "one\n");
        Assert.Contains("fewer documents", Assert.Throws<LociException>(() => training.ReadDocuments().Count()).Message, StringComparison.Ordinal);
        File.WriteAllText(path, "one\ntwo\nthree\nfour\n");
        Assert.Contains("more documents", Assert.Throws<LociException>(() => validation.ReadDocuments().Count()).Message, StringComparison.Ordinal);
    }

    private static string[] Texts(Corpus corpus) => [.. corpus.ReadDocuments().Select(document => Encoding.UTF8.GetString(document.Utf8.Span))];

    private static string[] Read(string path, DocumentSeparator separator = DocumentSeparator.File) => Texts(Corpus.Open(path, separator));

    private static LociException Fail(string path, DocumentSeparator separator = DocumentSeparator.File) => Assert.Throws<LociException>(() => Read(path, separator));

    private static void AssertRefused(string path, string problem)
    {
        string message = Fail(path).Message;
        Assert.Contains(problem, message, StringComparison.Ordinal);
        Assert.EndsWith(".", message, StringComparison.Ordinal);
        Assert.DoesNotContain('\n', message);
    }
}
