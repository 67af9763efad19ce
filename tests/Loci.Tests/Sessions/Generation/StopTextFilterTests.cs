using System.Text;
using FsCheck;
using FsCheck.Fluent;
using Loci.Data;
using Loci.Sessions;
using Xunit;

namespace Loci.Tests.Sessions.Generation;

public sealed class StopTextFilterTests
{
    private static readonly ByteTokenizer s_bytes = new();

    [Theory]
    [InlineData("one. two. three", new[] { ". " }, "one")]
    [InlineData("abcabd", new[] { "abd" }, "abc")]          // a beginning that comes to nothing is text after all
    [InlineData("aaab", new[] { "aab" }, "a")]              // the text begins within a failed beginning
    [InlineData("xyzzy", new[] { "zy", "yzz" }, "x")]       // the first to begin, not the first to be complete
    [InlineData("abcd", new[] { "cd", "abcd" }, "")]
    [InlineData("abc", new[] { "", "cx" }, "abc")]
    [InlineData("größer \U0001F600!", new[] { "\U0001F600" }, "größer ")]
    [InlineData("nothing", new string[0], "nothing")]
    public void TextEndsBeforeTheFirstStop(string text, string[] stops, string expected) => Assert.Equal(expected, Filtered(text, stops));

    [Fact]
    public void HoweverTheTextFallsIntoTokensItEndsWhereASearchOfTheWholeSays()
    {
        var piece = Gen.Elements("a", "b", "ab", "ba", "é", "\U0001F600", "\n");
        var pieces = piece.ListOf().Resize(24).ToArbitrary();
        var stops = piece.ListOf().Resize(3).Select(list => list.Concat(list.Count > 1 ? [list[0] + list[1]] : []).ToArray()).ToArbitrary();
        Prop.ForAll(pieces, stops, (given, ends) =>
        {
            var text = string.Concat(given);
            var place = ends.Where(end => text.Contains(end, StringComparison.Ordinal))
                .Select(end => (Place: text.IndexOf(end, StringComparison.Ordinal), end.Length))
                .OrderBy(found => found.Place + found.Length).ThenBy(found => found.Place)
                .Select(found => found.Place).DefaultIfEmpty(text.Length).First();
            Assert.Equal(text[..place], Filtered(text, ends));
            PieceTokenizer tokenizer = new([.. given]);
            Assert.Equal(text[..place], Filtered(tokenizer, [.. Enumerable.Range(0, given.Count)], ends));
        }).QuickCheckThrowOnFailure();
    }

    [Fact]
    public void NothingIsHandedOutThatMayBeTakenBack()
    {
        StopTextFilter filter = new(s_bytes.CreateDecoder(), ["END"]);
        Assert.Equal("a", filter.Append('a').ToString());
        Assert.Equal("", filter.Append('E').ToString());
        Assert.Equal("", filter.Append('N').ToString());
        Assert.Equal("EN", filter.Append('E').ToString());
        Assert.Equal("", filter.Append('N').ToString());
        Assert.Equal("EN", filter.Flush().ToString());
        Assert.False(filter.IsStopped);
    }

    private static string Filtered(string text, string[] stops) =>
        Filtered(s_bytes, [.. Encoding.UTF8.GetBytes(text).Select(value => (int)value)], stops);

    private static string Filtered(Tokenizer tokenizer, int[] tokens, string[] stops)
    {
        StopTextFilter filter = new(tokenizer.CreateDecoder(), stops);
        var result = new StringBuilder();
        foreach (var token in tokens)
        {
            result.Append(filter.Append(token)); // a stopped filter hands out nothing more
        }

        return result.Append(filter.Flush()).ToString();
    }

    /// <summary>Token i is the i-th piece.</summary>
    private sealed class PieceTokenizer(string[] pieces) : Tokenizer
    {
        public override int VocabularySize => pieces.Length + 1;

        public override int EndOfTextId => pieces.Length;

        public override void EncodeUtf8(ReadOnlySpan<byte> utf8, List<int> destination) => throw new NotSupportedException();

        public override ReadOnlySpan<byte> GetBytes(int id) => Encoding.UTF8.GetBytes(pieces[id]);

        public override bool IsSpecial(int id) => id == EndOfTextId;
    }
}
