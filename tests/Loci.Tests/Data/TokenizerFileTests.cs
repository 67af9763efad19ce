using System.Text;
using System.Text.Json;
using System.Text.Json.Nodes;
using FsCheck;
using FsCheck.Fluent;
using Loci.Data;
using Loci.Formats;
using Xunit;

namespace Loci.Tests.Data;

public sealed class TokenizerFileTests : IDisposable
{
    private static readonly BpeTokenizer Small = BpeTrainer.Train(
        Corpus.FromTexts("text", [TestFiles.RealText[..50_000]]), new BpeTrainerOptions { VocabularySize = 400, AdditionalSpecialTokens = ["<pad>"] });

    private static readonly JsonSerializerOptions Relaxed = new() { Encoder = System.Text.Encodings.Web.JavaScriptEncoder.UnsafeRelaxedJsonEscaping };

    private readonly TemporaryFolder _folder = new();

    public void Dispose() => _folder.Dispose();

    [Fact]
    public void What_is_saved_is_loaded()
    {
        foreach (BpeTokenizer tokenizer in (BpeTokenizer[])[Small, TestFiles.Gpt2])
        {
            string path = Path.Combine(_folder.Path, "tokenizer.json");
            TokenizerFile.Save(path, tokenizer);
            BpeTokenizer loaded = Assert.IsType<BpeTokenizer>(TokenizerFile.Load(path));
            AssertSame(tokenizer, loaded);
            Assert.Equal(TokenizerFile.Write(tokenizer), TokenizerFile.Write(loaded));
            Assert.Equal(["tokenizer.json"], Directory.EnumerateFileSystemEntries(_folder.Path).Select(entry => Path.GetFileName(entry)));
        }
    }

    [Fact]
    public void A_byte_tokenizer_is_saved_as_bpe_without_merges()
    {
        string path = Path.Combine(_folder.Path, "tokenizer.json");
        TokenizerFile.Save(path, new ByteTokenizer());
        Assert.IsType<ByteTokenizer>(TokenizerFile.Load(path));
        JsonNode model = JsonNode.Parse(File.ReadAllText(path))!["model"]!;
        Assert.Equal(97, (int)model["vocab"]!["a"]!);
        Assert.Empty(model["merges"]!.AsArray());
    }

    [Fact]
    public void A_byte_tokenizer_that_ends_with_zero_is_saved_and_loaded()
    {
        string path = Path.Combine(_folder.Path, "tokenizer.json");
        TokenizerFile.Save(path, new ByteTokenizer(endsWithZero: true));
        ByteTokenizer loaded = Assert.IsType<ByteTokenizer>(TokenizerFile.Load(path));
        Assert.Equal((256, 0), (loaded.VocabularySize, loaded.EndOfTextId));
        JsonNode model = JsonNode.Parse(File.ReadAllText(path))!["model"]!;
        Assert.Equal(256, model["vocab"]!.AsObject().Count);
        Assert.Equal(0, (int)model["vocab"]!["<|endoftext|>"]!);

        // Without one of the bytes it is no such tokenizer, and no BPE either.
        File.WriteAllText(path, File.ReadAllText(path).Replace("\"a\": 97", "\"ab\": 97", StringComparison.Ordinal));
        Assert.Throws<LociException>(() => TokenizerFile.Load(path));
    }

    [Fact]
    public void The_file_has_the_schema_of_Hugging_Face()
    {
        JsonObject root = ToJson(Small);
        Assert.Equal(["version", "truncation", "padding", "added_tokens", "normalizer", "pre_tokenizer", "post_processor", "decoder", "model"], root.Select(property => property.Key));
        Assert.Equal("1.0", (string?)root["version"]);
        Assert.Equal("""{"id":0,"content":"<|endoftext|>","single_word":false,"lstrip":false,"rstrip":false,"normalized":false,"special":true}""", root["added_tokens"]![0]!.ToJsonString(Relaxed));
        Assert.Equal("""{"type":"ByteLevel","add_prefix_space":false,"trim_offsets":true,"use_regex":true}""", root["pre_tokenizer"]!.ToJsonString());
        Assert.Equal("ByteLevel", (string?)root["decoder"]!["type"]);
        JsonObject model = root["model"]!.AsObject();
        Assert.Equal(
            ["type", "dropout", "unk_token", "continuing_subword_prefix", "end_of_word_suffix", "fuse_unk", "byte_fallback", "ignore_merges", "vocab", "merges"],
            model.Select(property => property.Key));
        Assert.Equal(Enumerable.Range(0, 400), model["vocab"]!.AsObject().Select(token => (int)token.Value!));
        Assert.Equal("Ġ t", (string?)model["merges"]!.AsArray().First(merge => ((string)merge!)[0] == 'Ġ'));
        Assert.Contains("\"Ġ t\"", Encoding.UTF8.GetString(TokenizerFile.Write(Small)), StringComparison.Ordinal);
    }

    [Fact]
    public void Other_forms_of_the_same_tokenizer_are_read()
    {
        // The newer form of merges.
        AssertReadsAs(Small, root => root["model"]!["merges"] = new JsonArray([.. root["model"]!["merges"]!.AsArray().Select(merge => (JsonNode)new JsonArray([.. ((string)merge!).Split(' ').Select(part => (JsonNode)part)]))]));

        // The division spelt out.
        AssertReadsAs(Small, root => root["pre_tokenizer"] = JsonNode.Parse($$"""
            {"type": "Sequence", "pretokenizers": [
                {"type": "Split", "pattern": {"Regex": {{JsonSerializer.Serialize(Gpt2PreTokenizer.Pattern)}}}, "behavior": "Isolated", "invert": false},
                {"type": "ByteLevel", "add_prefix_space": false, "trim_offsets": true, "use_regex": false}]}
            """));

        // Special tokens beside the vocabulary; properties left out; a post-processor.
        AssertReadsAs(TestFiles.Gpt2, root =>
        {
            root["model"]!["vocab"]!.AsObject().Remove("<|endoftext|>");
            root["model"]!.AsObject().Remove("type");
            root["model"]!.AsObject().Remove("ignore_merges");
            root["model"]!["continuing_subword_prefix"] = "";
            root["post_processor"] = JsonNode.Parse("""{"type": "ByteLevel", "add_prefix_space": true, "trim_offsets": false}""");
            root.Remove("truncation");
            root["added_tokens"]![0]!["normalized"] = true;
        });
    }

    [Fact]
    public void Options_survive_the_file()
    {
        byte[][] vocabulary = [.. Enumerable.Range(0, Small.VocabularySize).Select(id => Small.GetBytes(id).ToArray())];
        AddedToken[] added = [.. Small.AddedTokens, new AddedToken(400, "<tool>", false)];
        BpeTokenizer tokenizer = new([.. vocabulary, []], Small.Merges, added, 0, new BpeTokenizerOptions(true, true));
        BpeTokenizer loaded = Assert.IsType<BpeTokenizer>(TokenizerFile.Read(TokenizerFile.Write(tokenizer), "file"));
        AssertSame(tokenizer, loaded);
        Assert.Contains(400, loaded.Encode("a<tool>b"));
    }

    public static TheoryData<string, string> Unsupported => new()
    {
        { """{"normalizer": {"type": "NFC"}}""", "normalizer" },
        { """{"pre_tokenizer": {"type": "Whitespace"}}""", "pre_tokenizer is Whitespace" },
        { """{"pre_tokenizer": null}""", "pre_tokenizer is missing" },
        { """{"pre_tokenizer": {"type": "ByteLevel", "use_regex": false}}""", "does not divide" },
        { """{"pre_tokenizer": {"type": "Sequence", "pretokenizers": [{"type": "Digits"}, {"type": "ByteLevel"}]}}""", "other parts" },
        { """{"pre_tokenizer": {"type": "Sequence", "pretokenizers": [{"type": "Split", "pattern": {"Regex": "\\p{N}"}, "behavior": "Isolated"}, {"type": "ByteLevel"}]}}""", "another pattern" },
        { """{"decoder": {"type": "WordPiece"}}""", "decoder" },
        { """{"model": {"type": "WordPiece"}}""", "type WordPiece" },
        { """{"model": {"type": "BPE", "dropout": 0.1}}""", "dropout" },
        { """{"model": {"type": "BPE", "end_of_word_suffix": "</w>"}}""", "end_of_word_suffix" },
        { """{"model": {"type": "BPE", "continuing_subword_prefix": "##"}}""", "continuing_subword_prefix" },
        { """{"model": {"type": "BPE"}}""", "model.vocab" },
        { """{"model": {"type": "BPE", "vocab": {"a": 2, "b": 4}, "merges": []}}""", "without gaps" },
        { """{"model": {"type": "BPE", "vocab": {"a": 2, "b": 2}, "merges": []}}""", "another token" },
        { """{"model": {"type": "BPE", "vocab": {"a": 0, "b": 2}, "merges": []}}""", "another token" },
        { """{"model": {"type": "BPE", "vocab": {"a": -1}, "merges": []}}""", "whole number" },
        { """{"model": {"type": "BPE", "vocab": {}, "merges": ["a b c"]}}""", "not a pair" },
        { """{"model": {"type": "BPE", "vocab": {"<|endoftext|>": 0, "<pad>": 1, "a": 2}, "merges": ["a b"]}}""", "not in the vocabulary" },
        { """{"model": {"type": "BPE", "vocab": {"<|endoftext|>": 0, "<pad>": 1, "a": 2}, "merges": []}}""", "no token for the byte" },
        { """{"model": {"type": "BPE", "vocab": {"<|endoftext|>": 0, "<pad>": 1, "日": 2}, "merges": []}}""", "byte-level" },
        { """{"added_tokens": []}""", "no special token" },
        { """{"added_tokens": [{"id": 0, "content": "<|endoftext|>", "lstrip": true}]}""", "lstrip" },
        { """{"added_tokens": [{"id": 900, "content": "x", "special": true}]}""", "gap" },
        { """{"added_tokens": [{"id": 0}]}""", "no content or id" },
        { """{"added_tokens": [{"id": 0, "content": "<|endoftext|>"}, {"id": 1, "content": "<pad>"}]}""", "no special token" },
    };

    [Theory]
    [MemberData(nameof(Unsupported))]
    public void What_is_not_supported_is_refused_in_one_sentence(string change, string problem)
    {
        JsonObject root = ToJson(Small);
        foreach ((string property, JsonNode? value) in JsonNode.Parse(change)!.AsObject())
        {
            root[property] = value?.DeepClone();
        }

        string message = Assert.Throws<LociException>(() => TokenizerFile.Read(Encoding.UTF8.GetBytes(root.ToJsonString()), "file")).Message;
        Assert.Contains(problem, message, StringComparison.Ordinal);
        Assert.StartsWith("Cannot read file: ", message, StringComparison.Ordinal);
        Assert.EndsWith(".", message, StringComparison.Ordinal);
    }

    [Fact]
    public void Missing_files_and_folders_are_refused()
    {
        Assert.Contains("There is no file", Assert.Throws<LociException>(() => TokenizerFile.Load(Path.Combine(_folder.Path, "none.json"))).Message, StringComparison.Ordinal);
        Assert.Contains("Cannot write", Assert.Throws<LociException>(() => TokenizerFile.Save(Path.Combine(_folder.Path, "none", "tokenizer.json"), Small)).Message, StringComparison.Ordinal);
        Directory.CreateDirectory(Path.Combine(_folder.Path, "folder"));
        Assert.Throws<LociException>(() => TokenizerFile.Save(Path.Combine(_folder.Path, "folder"), Small));
        Assert.Equal(["folder"], Directory.EnumerateFileSystemEntries(_folder.Path).Select(entry => Path.GetFileName(entry)));
    }

    [Fact]
    public void Damaged_files_are_refused_or_read_but_nothing_else()
    {
        byte[] file = TokenizerFile.Write(BpeTrainer.Train(Corpus.FromTexts("text", ["abc abc abd abd é"]), new BpeTrainerOptions { VocabularySize = 262 }, cancellationToken: TestContext.Current.CancellationToken));
        RandomGenerator random = new(11);
        int refused = 0;
        for (int round = 0; round < 2000; round++)
        {
            byte[] damaged = Damage(file, random, round);
            try
            {
                Assert.NotNull(TokenizerFile.Read(damaged, "file"));
            }
            catch (LociException)
            {
                refused++;
            }
        }

        Assert.True(refused > 1000);
    }

    [Fact]
    public void Damaged_Gpt2_files_are_refused_or_read_but_nothing_else()
    {
        // A vocabulary of bytes, two merges, and the separator, in the two files.
        StringBuilder encoder = new("{");
        foreach (byte value in ByteAlphabet.BytesInOrder)
        {
            encoder.Append(System.Globalization.CultureInfo.InvariantCulture, $"{JsonSerializer.Serialize(ByteAlphabet.ToText([value]))}: {Array.IndexOf(ByteAlphabet.BytesInOrder, value)}, ");
        }

        byte[] encoderFile = Encoding.UTF8.GetBytes(encoder.Append("\"ab\": 256, \"\\u0120ab\": 257, \"<|endoftext|>\": 258}").ToString());
        byte[] mergesFile = Encoding.UTF8.GetBytes("#version: 0.2\r\na b\r\nĠ ab\r\n");
        BpeTokenizer tokenizer = TokenizerFile.ReadGpt2(encoderFile, "encoder", mergesFile, "merges");
        Assert.Equal([256, 257], tokenizer.Encode("ab ab"));

        RandomGenerator random = new(12);
        for (int round = 0; round < 1000; round++)
        {
            try
            {
                TokenizerFile.ReadGpt2(round % 2 == 0 ? Damage(encoderFile, random, round / 2) : encoderFile, "encoder", round % 2 == 1 ? Damage(mergesFile, random, round / 2) : mergesFile, "merges");
            }
            catch (LociException)
            {
                // Refused. Anything else fails the test.
            }
        }

        Assert.Contains("line 2", Assert.Throws<LociException>(() => TokenizerFile.ReadGpt2(encoderFile, "encoder", "a b\nab"u8.ToArray(), "merges")).Message, StringComparison.Ordinal);
    }

    [Fact]
    public void The_byte_alphabet_is_one_to_one()
    {
        for (int value = 0; value < 256; value++)
        {
            string text = ByteAlphabet.ToText([(byte)value]);
            Assert.Equal<byte[]>([(byte)value], ByteAlphabet.ToBytes(text)!);
            Assert.False(char.IsWhiteSpace(text[0]) || char.IsControl(text[0]));
        }

        Assert.Equal("ĠĊâĤ¬", ByteAlphabet.ToText(" \n€"u8));
        Assert.Null(ByteAlphabet.ToBytes(" "));
        Assert.Null(ByteAlphabet.ToBytes("日"));
    }

    private static byte[] Damage(byte[] file, RandomGenerator random, int round)
    {
        byte[] damaged = [.. file];
        switch (round % 4)
        {
            case 0:
                return damaged[..random.NextInt32(file.Length)];
            case 1:
                damaged[random.NextInt32(file.Length)] = (byte)random.NextInt32(256);
                return damaged;
            case 2:
                damaged[random.NextInt32(file.Length)] = "0123456789\"{}[],: \\-u"u8[random.NextInt32(21)];
                return damaged;
            default:
                int from = random.NextInt32(file.Length);
                int count = random.NextInt32(Math.Min(40, file.Length - from) + 1);
                int to = random.NextInt32(file.Length);
                return [.. file[..to], .. file[from..(from + count)], .. file[Math.Min(file.Length, to + random.NextInt32(40))..]];
        }
    }

    private static JsonObject ToJson(Tokenizer tokenizer) => JsonNode.Parse(TokenizerFile.Write(tokenizer))!.AsObject();

    private static void AssertReadsAs(BpeTokenizer expected, Action<JsonObject> change)
    {
        JsonObject root = ToJson(expected);
        change(root);
        AssertSame(expected, Assert.IsType<BpeTokenizer>(TokenizerFile.Read(Encoding.UTF8.GetBytes(root.ToJsonString()), "file")));
    }

    private static void AssertSame(BpeTokenizer expected, BpeTokenizer actual)
    {
        Assert.Equal(expected.VocabularySize, actual.VocabularySize);
        Assert.Equal(expected.EndOfTextId, actual.EndOfTextId);
        Assert.Equal(expected.Merges, actual.Merges);
        Assert.Equal(expected.AddedTokens, actual.AddedTokens);
        Assert.Equal(expected.Options, actual.Options);
        for (int id = 0; id < expected.VocabularySize; id++)
        {
            Assert.True(expected.GetBytes(id).SequenceEqual(actual.GetBytes(id)));
        }

        Prop.ForAll(TestFiles.Texts(), text => expected.Encode(text).SequenceEqual(actual.Encode(text))).QuickCheckThrowOnFailure();
    }
}
