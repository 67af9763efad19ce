using System.Text;
using System.Text.RegularExpressions;
using FsCheck;
using FsCheck.Fluent;
using Loci.Data;
using Microsoft.ML.Tokenizers;
using Xunit;
using BpeTokenizer = Loci.Data.BpeTokenizer;
using Tokenizer = Loci.Data.Tokenizer;

namespace Loci.Tests.Data;

public sealed partial class TokenizerTests
{
    private static readonly Tokenizer[] Tokenizers = [new ByteTokenizer(), TestFiles.Gpt2];

    [GeneratedRegex(Gpt2PreTokenizer.Pattern)]
    private static partial Regex Gpt2Regex { get; }

    [Fact]
    public void Decoding_gives_back_any_string()
    {
        foreach (Tokenizer tokenizer in Tokenizers)
        {
            Prop.ForAll(TestFiles.Texts(loneSurrogates: true), text => tokenizer.Decode(tokenizer.Encode(text)) == text).QuickCheckThrowOnFailure();
            Prop.ForAll(ArbMap.Default.ArbFor<char[]>(), chars => tokenizer.Decode(tokenizer.Encode(chars)) == new string(chars)).QuickCheckThrowOnFailure();
            Assert.Equal(TestFiles.RealText, tokenizer.Decode(tokenizer.Encode(TestFiles.RealText)));
        }
    }

    [Fact]
    public void Tokens_of_any_bytes_are_these_bytes()
    {
        foreach (Tokenizer tokenizer in Tokenizers)
        {
            Prop.ForAll(ArbMap.Default.ArbFor<byte[]>(), bytes =>
            {
                List<int> ids = [];
                tokenizer.EncodeUtf8(bytes, ids);
                return bytes.SequenceEqual(ids.SelectMany(id => tokenizer.GetBytes(id).ToArray())) && bytes.Length == ids.Sum(tokenizer.GetByteLength);
            }).QuickCheckThrowOnFailure();
        }
    }

    [Fact]
    public void Streaming_gives_the_same_text_and_never_part_of_a_character()
    {
        foreach (Tokenizer tokenizer in Tokenizers)
        {
            StreamingDecoder decoder = tokenizer.CreateDecoder();
            Prop.ForAll(TestFiles.Texts(loneSurrogates: true), text =>
            {
                StringBuilder streamed = new();
                foreach (int id in tokenizer.Encode(text))
                {
                    string piece = decoder.Append(id).ToString();
                    Assert.DoesNotContain('\uFFFD', text.Contains('\uFFFD') ? "" : piece);
                    streamed.Append(piece);
                }

                Assert.False(decoder.HasIncompleteCharacter);
                return streamed.Append(decoder.Flush()).ToString() == text;
            }).QuickCheckThrowOnFailure();

            // Whatever a model makes up, streamed or at once, reads the same.
            Prop.ForAll(Gen.Choose(0, tokenizer.VocabularySize - 1).ListOf().ToArbitrary(), ids =>
            {
                StringBuilder streamed = new();
                foreach (int id in ids)
                {
                    streamed.Append(decoder.Append(id));
                }

                return streamed.Append(decoder.Flush()).ToString() == tokenizer.Decode([.. ids]);
            }).QuickCheckThrowOnFailure();
        }
    }

    [Fact]
    public void The_byte_zero_may_be_the_end_of_text()
    {
        ByteTokenizer tokenizer = new(endsWithZero: true);
        Assert.Equal((256, 0), (tokenizer.VocabularySize, tokenizer.EndOfTextId));
        Assert.True(tokenizer.IsSpecial(0));
        Assert.Equal(0, tokenizer.GetByteLength(0));
        Assert.False(tokenizer.IsSpecial(255));
        Assert.Equal("Größe", tokenizer.Decode(tokenizer.Encode("Größe")));
        Assert.Equal("ab", tokenizer.Decode(tokenizer.Encode("a\0b")));
        Assert.Throws<ArgumentOutOfRangeException>(() => tokenizer.GetByteLength(256));
    }

    [Fact]
    public void An_incomplete_character_is_held_back_then_replaced()
    {
        ByteTokenizer tokenizer = new();
        StreamingDecoder decoder = tokenizer.CreateDecoder();
        byte[] smile = Encoding.UTF8.GetBytes("\U0001F600");
        foreach (byte value in smile[..3])
        {
            Assert.Equal("", decoder.Append(value).ToString());
            Assert.True(decoder.HasIncompleteCharacter);
        }

        Assert.Equal("\U0001F600", decoder.Append(smile[3]).ToString());
        decoder.Append(smile[0]);
        Assert.Equal("\uFFFDa", decoder.Append('a').ToString());
        decoder.Append(smile[0]);
        Assert.Equal("\uFFFD", decoder.Flush().ToString());
        Assert.Equal("", decoder.Flush().ToString());
    }

    [Fact]
    public void Division_is_that_of_the_regular_expression()
    {
        // .NET's expression sees UTF-16 units, so only characters up to U+FFFF are compared with it; lone surrogates among them, but no pairs.
        Prop.ForAll(TestFiles.Texts(beyondBasicPlane: false, loneSurrogates: true), text =>
            AssertSameDivision(string.Concat(text.Select(value => char.IsLowSurrogate(value) ? '\uD800' : value)))).QuickCheckThrowOnFailure();
        Prop.ForAll(ArbMap.Default.ArbFor<char[]>(), chars =>
        {
            string text = string.Concat(chars.Select(value => char.IsSurrogate(value) ? ' ' : value));
            AssertSameDivision(text);
        }).QuickCheckThrowOnFailure();
        AssertSameDivision(TestFiles.RealText);
    }

    [Fact]
    public void Every_character_of_the_basic_plane_is_classed_as_by_the_regular_expression()
    {
        foreach (char[] block in Enumerable.Range(0, char.MaxValue + 1).Select(code => (char)code).Where(code => !char.IsSurrogate(code)).Chunk(256))
        {
            AssertSameDivision(string.Concat(block.Select(code => $"a{code}1{code}{code} {code}!")));
        }
    }

    [Fact]
    public void Characters_beyond_the_basic_plane_are_letters_numbers_and_signs()
    {
        Assert.Equal(["a\U0001D49C", " \U00020000b", "\U0001D7D81", "\U0001F600!", " \U0001F600"], Divide("a\U0001D49C \U00020000b\U0001D7D81\U0001F600! \U0001F600"));
    }

    [Fact]
    public void Gpt2_tokens_equal_those_of_Microsoft_ML_Tokenizers()
    {
        // Their form of the same vocabulary: a line per token, its bytes and rank.
        StringBuilder ranks = new();
        for (int id = 0; id < 50256; id++)
        {
            ranks.Append(Convert.ToBase64String(TestFiles.Gpt2.GetBytes(id))).Append(' ').Append(id).Append('\n');
        }

        using MemoryStream stream = new(Encoding.UTF8.GetBytes(ranks.ToString()));
        TiktokenTokenizer theirs = TiktokenTokenizer.CreateForModel("gpt2", stream);
        foreach (string document in TestFiles.RealText.Chunk(10_000).Select(chars => new string(chars)))
        {
            AssertSameTokens(document);
        }

        Prop.ForAll(TestFiles.Texts(beyondBasicPlane: false), AssertSameTokens).QuickCheckThrowOnFailure();

        void AssertSameTokens(string text)
        {
            string plain = text.Replace(Tokenizer.EndOfText, "", StringComparison.Ordinal); // theirs reads it as the special token
            Assert.Equal(theirs.EncodeToIds(plain), TestFiles.Gpt2.Encode(plain));
        }
    }

    [Fact]
    public void Gpt2_gives_published_tokens()
    {
        // From the documentation of GPT-2's and tiktoken's encoders.
        Assert.Equal([15496, 995], TestFiles.Gpt2.Encode("Hello world"));
        Assert.Equal([15496, 11, 995, 0], TestFiles.Gpt2.Encode("Hello, world!"));
        Assert.Equal(50257, TestFiles.Gpt2.VocabularySize);
        Assert.Equal(50256, TestFiles.Gpt2.EndOfTextId);
        Assert.True(TestFiles.Gpt2.IsSpecial(50256));
        Assert.Equal(0, TestFiles.Gpt2.GetByteLength(50256));
    }

    [Fact]
    public void Special_tokens_come_only_when_asked_for()
    {
        BpeTokenizer tokenizer = TestFiles.Gpt2;
        int[] plain = tokenizer.Encode("a<|endoftext|>b");
        Assert.DoesNotContain(tokenizer.EndOfTextId, plain);
        Assert.Equal("a<|endoftext|>b", tokenizer.Decode(plain));

        List<int> marked = [];
        tokenizer.EncodeWithSpecialTokens("a<|endoftext|>b<|endoftext|>", marked);
        Assert.Equal([.. tokenizer.Encode("a"), 50256, .. tokenizer.Encode("b"), 50256], marked);
        Assert.Equal("ab", tokenizer.Decode([.. marked]));
    }

    [Fact]
    public void Ordinary_added_tokens_are_found_first_the_longest_at_each_place()
    {
        BpeTokenizer gpt2 = TestFiles.Gpt2;
        byte[][] vocabulary = [.. Enumerable.Range(0, gpt2.VocabularySize).Select(id => gpt2.GetBytes(id).ToArray()), [], [], []];
        AddedToken[] added = [new(50256, Tokenizer.EndOfText), new(50257, "tok", false), new(50258, "token", false), new(50259, "zz", false)];
        BpeTokenizer tokenizer = new(vocabulary, gpt2.Merges, added, 50256);
        Assert.Equal([50258, .. gpt2.Encode("s and "), 50257, .. gpt2.Encode("yo"), 50259, .. gpt2.Encode("z")], tokenizer.Encode("tokens and tokyozzz"));
        Prop.ForAll(TestFiles.Texts(loneSurrogates: true), text => tokenizer.Decode(tokenizer.Encode(text + "token" + text)) == text + "token" + text).QuickCheckThrowOnFailure();
    }

    [Fact]
    public void Options_put_a_space_before_and_take_whole_pieces()
    {
        BpeTokenizer gpt2 = TestFiles.Gpt2;
        byte[][] vocabulary = [.. Enumerable.Range(0, gpt2.VocabularySize).Select(id => gpt2.GetBytes(id).ToArray())];
        BpeTokenizer prefixing = new(vocabulary, gpt2.Merges, gpt2.AddedTokens, 50256, new BpeTokenizerOptions(AddPrefixSpace: true));
        Assert.Equal(gpt2.Encode(" Hello world"), prefixing.Encode("Hello world"));
        Assert.Equal(gpt2.Encode(" Hello world"), prefixing.Encode(" Hello world"));
        Assert.Empty(prefixing.Encode(""));

        BpeTokenizer bytes = new(vocabulary, [], gpt2.AddedTokens, 50256);
        BpeTokenizer whole = new(vocabulary, [], gpt2.AddedTokens, 50256, new BpeTokenizerOptions(IgnoreMerges: true));
        Assert.Equal(11, bytes.Encode("Hello world").Length);
        Assert.Equal([15496, 995], whole.Encode("Hello world"));
    }

    [Fact]
    public void A_very_long_piece_is_merged_in_reasonable_time()
    {
        // A quadratic merge would take minutes.
        string text = string.Concat(Enumerable.Repeat("abracadabra", 20_000));
        int[] ids = TestFiles.Gpt2.Encode(text);
        Assert.Equal(text, TestFiles.Gpt2.Decode(ids));
        Assert.True(ids.Length < text.Length / 2);
    }

    [Fact]
    public void Merging_equals_the_plain_definition()
    {
        BpeTokenizer tokenizer = TestFiles.Gpt2;
        Dictionary<(int, int), (int Rank, int Result)> ranks = [];
        for (int rank = 0; rank < tokenizer.Merges.Count; rank++)
        {
            ranks[(tokenizer.Merges[rank].Left, tokenizer.Merges[rank].Right)] = (rank, tokenizer.Merges[rank].Result);
        }

        Prop.ForAll(Gen.Elements('a', 'b', 'e', 'h', 'n', 's', 't').ListOf(90).Select(chars => string.Concat(chars)).ToArbitrary(), text =>
        {
            List<int> ids = [.. Encoding.UTF8.GetBytes(text).Select(value => tokenizer.Encode(((char)value).ToString())[0])];
            while (true)
            {
                List<(int Rank, int Place)> mergeable = [.. Enumerable.Range(0, Math.Max(0, ids.Count - 1)).Where(i => ranks.ContainsKey((ids[i], ids[i + 1]))).Select(i => (ranks[(ids[i], ids[i + 1])].Rank, i))];
                if (mergeable.Count == 0)
                {
                    break;
                }

                int place = mergeable.Min().Place;
                ids[place] = ranks[(ids[place], ids[place + 1])].Result;
                ids.RemoveAt(place + 1);
            }

            return ids.SequenceEqual(tokenizer.Encode(text));
        }).QuickCheckThrowOnFailure();
    }

    [Fact]
    public void Many_threads_may_encode_at_once()
    {
        string[] texts = [.. TestFiles.RealText.Chunk(20_000).Select(chars => new string(chars))];
        int[][] expected = [.. texts.Select(text => TestFiles.Gpt2.Encode(text))];
        Parallel.For(0, 8, _ =>
        {
            for (int i = 0; i < texts.Length; i++)
            {
                Assert.Equal(expected[i], TestFiles.Gpt2.Encode(texts[i]));
            }
        });
    }

    [Fact]
    public void Ids_outside_the_vocabulary_are_refused()
    {
        foreach (Tokenizer tokenizer in Tokenizers)
        {
            Assert.Throws<ArgumentOutOfRangeException>(() => tokenizer.Decode([0, -1]));
            Assert.Throws<ArgumentOutOfRangeException>(() => tokenizer.GetByteLength(tokenizer.VocabularySize));
            Assert.Throws<ArgumentOutOfRangeException>(() => tokenizer.IsSpecial(tokenizer.VocabularySize));
            Assert.Throws<ArgumentOutOfRangeException>(() => { tokenizer.CreateDecoder().Append(tokenizer.VocabularySize); });
        }
    }

    [Fact]
    public void Parts_that_do_not_fit_together_are_refused()
    {
        byte[][] bytes = [.. Enumerable.Range(0, 256).Select(value => new[] { (byte)value }), []];
        AddedToken end = new(256, Tokenizer.EndOfText);
        _ = new BpeTokenizer(bytes, [], [end], 256);
        Assert.Contains("0xFF", Assert.Throws<ArgumentException>(() => new BpeTokenizer([.. bytes[..255], []], [], [end with { Id = 255 }], 255)).Message, StringComparison.Ordinal);
        Assert.Throws<ArgumentException>(() => new BpeTokenizer(bytes, [], [end], 255));
        Assert.Throws<ArgumentException>(() => new BpeTokenizer(bytes, [], [end, end], 256));
        Assert.Throws<ArgumentException>(() => new BpeTokenizer(bytes, [], [end with { IsSpecial = false }], 256));
        Assert.Throws<ArgumentException>(() => new BpeTokenizer(bytes, [new BpeMerge(97, 98, 99)], [end], 256));
        Assert.Throws<ArgumentException>(() => new BpeTokenizer([.. bytes, [97]], [], [end], 256));
    }

    private static void AssertSameDivision(string text)
    {
        string[] expected = [.. Gpt2Regex.EnumerateMatches(text).ToStrings(text)];
        Assert.Equal(expected, Divide(text));
    }

    private static List<string> Divide(string text)
    {
        byte[] buffer = new byte[text.Length * 3];
        ReadOnlySpan<byte> utf8 = buffer.AsSpan(0, Wtf8.Encode(text, buffer));
        List<string> pieces = [];
        char[] chars = new char[text.Length];
        for (int begin = 0; begin < utf8.Length;)
        {
            int end = Gpt2PreTokenizer.FindEnd(utf8, begin);
            pieces.Add(new string(chars, 0, Wtf8.Decode(utf8[begin..end], chars, isFinal: true, out _)));
            begin = end;
        }

        return pieces;
    }
}

internal static class MatchExtensions
{
    public static List<string> ToStrings(this Regex.ValueMatchEnumerator matches, string text)
    {
        List<string> strings = [];
        foreach (ValueMatch match in matches)
        {
            strings.Add(text.Substring(match.Index, match.Length));
        }

        return strings;
    }
}
