using System.Globalization;
using System.Security.Cryptography;
using System.Text;

namespace Loci.Evaluation.Experiments;

/// <summary>Names of folders from people's words, in any script.</summary>
internal static class FolderName
{
    private const int MostBytes = 100; // file systems take 255 for a name, of which a run's has a part
    private const int DigestLength = 16;

    /// <summary>
    /// The letters, marks and digits of a text, with single dashes in place of what is between them. What is too long ends in a digest of
    /// the whole, and other signs alone
    /// give nothing but that; empty for white space.
    /// </summary>
    /// <param name="text">The words.</param>
    public static string Of(string text)
    {
        ArgumentNullException.ThrowIfNull(text);
        StringBuilder name = new();
        var valid = string.Concat(text.Trim().EnumerateRunes()); // no halves of characters
        foreach (var rune in valid.EnumerateRunes())
        {
            var isPlain = Rune.IsLetterOrDigit(rune) || IsMark(rune) || rune.Value is '.' or '_' or '+';
            if (isPlain || (name.Length > 0 && name[^1] != '-'))
            {
                name.Append(isPlain ? rune.ToString() : "-");
            }
        }

        var whole = name.ToString().Trim('-', '.');
        return whole.Length == 0 ? valid.Length == 0 ? "" : Digest(valid)
            : Encoding.UTF8.GetByteCount(whole) <= MostBytes ? whole
            : $"{Beginning(whole, MostBytes - DigestLength - 1).Trim('-', '.')}-{Digest(whole)}";
    }

    private static string Beginning(string name, int bytes)
    {
        StringBuilder beginning = new();
        foreach (var rune in name.EnumerateRunes())
        {
            bytes -= rune.Utf8SequenceLength;
            beginning.Append(bytes >= 0 ? rune.ToString() : "");
        }

        return beginning.ToString();
    }

    private static string Digest(string text) => Convert.ToHexStringLower(SHA256.HashData(Encoding.UTF8.GetBytes(text)))[..DigestLength];

    private static bool IsMark(Rune rune) => Rune.GetUnicodeCategory(rune) is UnicodeCategory.NonSpacingMark or UnicodeCategory.SpacingCombiningMark;
}
