using System.Text;
using Loci.Data;
using Loci.Evaluation.Experiments;
using Loci.Formats;
using Loci.Models;
using Loci.Tests.Evaluation;
using Xunit;

namespace Loci.Tests.Data;

/// <summary>Text from outside: UTF-8 with or without a mark, wherever it is read, and a sentence for anything else.</summary>
public sealed class TextInputTests : IDisposable
{
    private const string Russian = "Все счастливые семьи похожи друг на друга.\n";

    private readonly TemporaryFolder _folder = new();

    public static TheoryData<byte[], string> Refused => new()
    {
        { [0xFF, 0xFE, .. Encoding.Unicode.GetBytes("text")], Convert("UTF-16") },
        { [0xFE, 0xFF, .. Encoding.BigEndianUnicode.GetBytes("text")], Convert("UTF-16") },
        { [0xFF, 0xFE, 0, 0, .. Encoding.UTF32.GetBytes("text")], Convert("UTF-32") },
        { Encoding.Unicode.GetBytes("hi"), Convert("UTF-16LE") },
        { Encoding.Unicode.GetBytes("The first line\nand more.\n"), Convert("UTF-16LE") },
        { Encoding.BigEndianUnicode.GetBytes("The first line\nand more.\n"), Convert("UTF-16BE") },
        { Encoding.Unicode.GetBytes(Russian), Convert("UTF-16LE") },
        { Encoding.BigEndianUnicode.GetBytes(Russian), Convert("UTF-16BE") },
        { Encoding.UTF32.GetBytes("The first line\nand more.\n"), Convert("UTF-32LE") },
        { new UTF32Encoding(true, false).GetBytes("The first line\nand more.\n"), Convert("UTF-32BE") },
        { Encoding.Latin1.GetBytes("Der Käse"), Invalid(5) },
        { [.. "cut €"u8[..^1]], Invalid(4) },
        { [.. "overlong "u8, 0xC0, 0x80], Invalid(9) },
        { [.. "surrogate "u8, 0xED, 0xA0, 0x80], Invalid(10) },
        { [.. Encoding.UTF8.GetBytes(new string('é', 50_000)), 0xFF], Invalid(100_000) },
        { [.. Encoding.UTF8.GetBytes(new string('é', 50_000)), 0], Nul(100_000) },
        { [.. "a line\0another"u8], Nul(6) },
        { [0xEF, 0xBB, 0xBF, .. "abc"u8, 0xFF], Invalid(6) },
        { [0xFD, .. "7zXZ\0"u8, 0, 4], "it is compressed with xz; decompress it first: xz -d" },
        { [.. "%PDF-1.7\n%"u8, 0xE2, 0xE3], "it is a PDF and not text; take its text out first: pdftotext" },
    };

    public void Dispose() => _folder.Dispose();

    [Theory]
    [MemberData(nameof(Refused))]
    public void Other_encodings_are_refused_with_what_to_do(byte[] contents, string problem)
    {
        var path = _folder.Write("a.txt", contents);
        var sentence = $"Cannot read {path}: {problem}.";
        Assert.Equal(sentence, Assert.Throws<LociException>(() => TextInput.ReadFile(path)).Message);
        Assert.Equal(sentence, Assert.Throws<LociException>(() => TextInput.Decode(contents, path)).Message);
        Assert.Equal(sentence, Assert.Throws<LociException>(() => Corpus.Open(path, DocumentSeparator.Line).ReadDocuments().Count()).Message);
        using var reader = TextInput.OpenReader(new Trickle(contents), path);
        Assert.StartsWith($"Cannot read {path}: ", Assert.Throws<LociException>(reader.ReadToEnd).Message, StringComparison.Ordinal);
        Assert.Equal(sentence, Assert.Throws<LociException>(() => TaskFixture.Load("lambada", path)).Message);
    }

    [Fact]
    public void A_byte_order_mark_at_the_start_is_dropped_and_another_kept()
    {
        var text = "a\uFEFFb, é, €, \U0001F600\n" + new string('€', 70_000);
        var path = _folder.Write("a.txt", "\uFEFF" + text);
        Assert.Equal(text, TextInput.ReadFile(path));
        using var reader = TextInput.OpenReader(new Trickle(Encoding.UTF8.GetBytes("\uFEFF" + text)), "input");
        Assert.Equal(text, reader.ReadToEnd());
        Assert.Equal("", TextInput.Decode(Encoding.UTF8.GetBytes("\uFEFF"), "input"));
        Assert.Equal("\uFEFF", TextInput.Decode(Encoding.UTF8.GetBytes("\uFEFF\uFEFF"), "input"));
    }

    [Fact]
    public void A_line_is_read_when_it_is_there()
    {
        using var reader = TextInput.OpenReader(new Typing("\uFEFFhi\n", "you\n"), "input");
        Assert.Equal("hi", reader.ReadLine());
        Assert.Equal("you", reader.ReadLine());
    }

    [Fact]
    public void Files_of_people_may_begin_with_a_byte_order_mark()
    {
        byte[] mark = [0xEF, 0xBB, 0xBF];
        var gpt2 = TokenizerFile.ReadGpt2(
            (byte[])[.. mark, .. TestFiles.Read("gpt2/encoder.json.gz")], "vocab.json", (byte[])[.. mark, .. TestFiles.Read("gpt2/vocab.bpe.gz")], "merges.txt");
        Assert.Equal(TestFiles.Gpt2.Encode("Hello, there"), gpt2.Encode("Hello, there"));

        var tokenizer = _folder.Write("tokenizer.json", []);
        TokenizerFile.Save(tokenizer, new ByteTokenizer());
        Mark(tokenizer);
        Assert.Equal([72, 105], TokenizerFile.Load(tokenizer).Encode("Hi"));

        var model = _folder.Write("config.json", []);
        new ModelConfiguration { VocabularySize = 300 }.Save(model);
        Mark(model);
        Assert.Equal(300, ModelConfiguration.Load(model).VocabularySize);

        Assert.Single(TaskFixture.Load("lambada", _folder.Write("l.jsonl", "\uFEFF{\"text\": \"one word\"}")));

        static void Mark(string path) => File.WriteAllText(path, File.ReadAllText(path), new UTF8Encoding(true));
    }

    [Fact]
    public void Merges_that_are_not_text_name_their_file() => Assert.Equal(
        "Cannot read merges.txt: it looks like UTF-16, and text must be UTF-8; convert it: iconv -f UTF-16 -t UTF-8 OLD > NEW.",
        Assert.Throws<LociException>(() => TokenizerFile.ReadGpt2(
            TestFiles.Read("gpt2/encoder.json.gz"), "vocab.json", (byte[])[0xFF, 0xFE, .. Encoding.Unicode.GetBytes("#version: 0.2\n")], "merges.txt")).Message);

    [Fact]
    public void An_experiment_that_is_not_text_is_refused()
    {
        var path = _folder.Write("e.json", [0xFF, 0xFE, .. Encoding.Unicode.GetBytes("{}")]);
        Assert.Equal($"Cannot read {path}: {Convert("UTF-16")}.", Assert.Throws<LociException>(() => Experiment.Load(path)).Message);
    }

    [Theory]
    [InlineData("https://example.org/x.zip")]
    [InlineData("s3://bucket/x.txt")]
    public void An_address_is_not_a_file(string address)
    {
        var sentence = $"{address} is an address and not a file: download it first and give the file.";
        Assert.Equal(sentence, Assert.Throws<LociException>(() => Corpus.Open(address)).Message);
        Assert.Equal(sentence, Assert.Throws<LociException>(() => Corpus.GetFullPath(address)).Message);
        Assert.Equal(sentence, Assert.Throws<LociException>(() => TaskFixture.Load("lambada", address)).Message);
        Assert.Equal(sentence, Assert.Throws<LociException>(() => TaskFixture.Load("babi", address)).Message);
    }

    private static string Convert(string encoding) =>
        $"it looks like {encoding}, and text must be UTF-8; convert it: iconv -f {encoding} -t UTF-8 OLD > NEW";

    private static string Invalid(int place) =>
        $"the text is not valid UTF-8 at byte {place}; if it is in another encoding, such as Windows-1252, convert it: iconv -f WINDOWS-1252 -t UTF-8 OLD > NEW";

    private static string Nul(int place) => $"it has a NUL at byte {place}, which text has not; if it is text, take them out: tr -d '\\000' < OLD > NEW";

    /// <summary>Gives a byte at a time.</summary>
    private sealed class Trickle(byte[] contents) : ForwardStream
    {
        private int _position;

        public override int Read(Span<byte> buffer)
        {
            var count = Math.Min(Math.Min(1, buffer.Length), contents.Length - _position);
            contents.AsSpan(_position, count).CopyTo(buffer);
            _position += count;
            return count;
        }
    }

    /// <summary>Gives one line a read, and fails where more is asked for than was typed.</summary>
    private sealed class Typing(params string[] lines) : ForwardStream
    {
        private int _next;

        public override int Read(Span<byte> buffer) => Encoding.UTF8.GetBytes(_next < lines.Length ? lines[_next++] : throw new InvalidOperationException("Waits."), buffer);
    }
}
