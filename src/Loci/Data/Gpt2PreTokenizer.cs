namespace Loci.Data;

/// <summary>
/// Divides text as GPT-2 does before byte-pair merges: contractions, then letters, numbers or other signs with at most one space before them, then
/// white space. The same as the regular expression <see cref="Pattern"/> over Unicode characters (not over UTF-16 units, for which letters beyond U+FFFF are none).
/// </summary>
internal static class Gpt2PreTokenizer
{
    /// <summary>The regular expression of GPT-2 (Radford et al., 2019).</summary>
    public const string Pattern = @"'s|'t|'re|'ve|'m|'ll|'d| ?\p{L}+| ?\p{N}+| ?[^\s\p{L}\p{N}]+|\s+(?!\S)|\s+";

    /// <summary>The end of the piece that begins at <paramref name="start"/>, which is before the end of the text and where a piece begins.</summary>
    public static int FindEnd(ReadOnlySpan<byte> utf8, int start)
    {
        if (utf8[start] == (byte)'\'')
        {
            int contraction = ContractionLength(utf8[(start + 1)..]);
            if (contraction > 0)
            {
                return start + contraction;
            }
        }

        // A single space belongs to what follows it, unless that is white space too.
        int first = utf8[start] == (byte)' ' && start + 1 < utf8.Length ? start + 1 : start;
        CharacterClass kind = TextScan.ClassAt(utf8, first, out int length);
        if (kind != CharacterClass.WhiteSpace)
        {
            int end = first + length;
            while (end < utf8.Length && TextScan.ClassAt(utf8, end, out length) == kind)
            {
                end += length;
            }

            return end;
        }

        // White space up to the end of the text, or all but the last before something visible; but at least one.
        int last = start;
        int next = start;
        while (next < utf8.Length && TextScan.ClassAt(utf8, next, out length) == CharacterClass.WhiteSpace)
        {
            last = next;
            next += length;
        }

        return next == utf8.Length || last == start ? next : last;
    }

    private static int ContractionLength(ReadOnlySpan<byte> after)
    {
        if (!after.IsEmpty && after[0] is (byte)'s' or (byte)'t' or (byte)'m' or (byte)'d')
        {
            return 2;
        }

        return after.StartsWith("re"u8) || after.StartsWith("ve"u8) || after.StartsWith("ll"u8) ? 3 : 0;
    }
}
