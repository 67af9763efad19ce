using Loci.Cli.Terminal;
using Xunit;

namespace Loci.Cli.Tests.Terminal;

public sealed class VisibleTests
{
    [Theory]
    [InlineData("plain, ключ, 日本, 👩‍👩‍👧, é", "plain, ключ, 日本, 👩‍👩‍👧, é")]
    [InlineData("\e[31mred\e[0m", "\\u001B[31mred\\u001B[0m")]
    [InlineData("\e]0;title\a", "\\u001B]0;title\\u0007")]
    [InlineData("a\u009B31mb\u0085", "a\\u009B31mb\\u0085")]
    [InlineData("\u202Eexe.txt\u202C\u2066\u2069\u061C\u200F", "\\u202Eexe.txt\\u202C\\u2066\\u2069\\u061C\\u200F")]
    [InlineData("a\nb\r\n\tc\u2028\0\u007F\b", "a\\nb\\r\\n\\tc\\u2028\\u0000\\u007F\\u0008")]
    public void LineShowsWhatATerminalWouldObey(string text, string shown) => Assert.Equal(shown, Visible.Line(text));

    [Theory]
    [InlineData("two\nlines\tand a tab\r\nend", "two\nlines\tand a tab\r\nend")]
    [InlineData("over\rwritten", "over\\rwritten")]
    [InlineData("\e[2J\u009B\u202E", "\\u001B[2J\\u009B\\u202E")]
    public void WriterShowsTextWhereverItIsCut(string text, string shown)
    {
        for (var cut = 0; cut <= text.Length; cut++)
        {
            using StringWriter behind = new();
            using VisibleWriter writer = new(behind) { NewLine = "\n" };
            writer.Write(text[..cut]);
            writer.Write(text.AsSpan(cut));
            writer.WriteLine();
            writer.Write('\a');
            writer.WriteLine("{0}\e", 1);
            Assert.Equal($"{shown}\n\\u00071\\u001B\n", behind.ToString());
        }
    }

    [Fact]
    public void FailureShowsTheNamesInIt()
    {
        using StringWriter error = new() { NewLine = "\n" };
        Door.Report(new LociException("There is no file '\e[31m\u202Ex': check\nit"), error, debug: false);
        Assert.Equal("error: There is no file '\\u001B[31m\\u202Ex': check it.\n", error.ToString());
    }
}
