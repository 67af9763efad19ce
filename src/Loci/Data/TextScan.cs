using System.Globalization;
using System.Text;

namespace Loci.Data;

/// <summary>The classes of characters that text is divided by.</summary>
internal enum CharacterClass : byte
{
    /// <summary>Punctuation, symbols, marks, controls, ill-formed bytes: what is in no other class.</summary>
    Other,

    /// <summary>White space: the property White_Space of Unicode.</summary>
    WhiteSpace,

    /// <summary>Letters: the general categories L of Unicode.</summary>
    Letter,

    /// <summary>Numbers: the general categories N of Unicode.</summary>
    Number,
}

/// <summary>Reads UTF-8 character by character.</summary>
internal static class TextScan
{
    // One row per 16 characters; 0 other, 1 white space, 2 letter, 3 number.
    private static ReadOnlySpan<byte> AsciiClasses =>
    [
        0, 0, 0, 0, 0, 0, 0, 0, 0, 1, 1, 1, 1, 1, 0, 0,
        0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0,
        1, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0,
        3, 3, 3, 3, 3, 3, 3, 3, 3, 3, 0, 0, 0, 0, 0, 0,
        0, 2, 2, 2, 2, 2, 2, 2, 2, 2, 2, 2, 2, 2, 2, 2,
        2, 2, 2, 2, 2, 2, 2, 2, 2, 2, 2, 0, 0, 0, 0, 0,
        0, 2, 2, 2, 2, 2, 2, 2, 2, 2, 2, 2, 2, 2, 2, 2,
        2, 2, 2, 2, 2, 2, 2, 2, 2, 2, 2, 0, 0, 0, 0, 0,
    ];

    /// <summary>The class of the character at <paramref name="index"/> and its length in bytes; an ill-formed byte is of class other.</summary>
    public static CharacterClass ClassAt(ReadOnlySpan<byte> utf8, int index, out int length)
    {
        byte first = utf8[index];
        if (first < 0x80)
        {
            length = 1;
            return (CharacterClass)AsciiClasses[first];
        }

        return ClassBeyondAscii(utf8[index..], out length);
    }

    /// <summary>Counts words: maximal runs of characters that are not white space.</summary>
    public static long CountWords(ReadOnlySpan<byte> utf8)
    {
        long words = 0;
        bool inWord = false;
        for (int i = 0; i < utf8.Length;)
        {
            bool visible = ClassAt(utf8, i, out int length) != CharacterClass.WhiteSpace;
            words += visible && !inWord ? 1 : 0;
            inWord = visible;
            i += length;
        }

        return words;
    }

    /// <summary>Counts lines: line ends, and a last line without one.</summary>
    public static long CountLines(ReadOnlySpan<byte> utf8) =>
        utf8.Count((byte)'\n') + (utf8.Length > 0 && utf8[^1] != (byte)'\n' ? 1 : 0);

    /// <summary>
    /// The first place at or after <paramref name="from"/> where white space follows a visible ASCII character, or the end. No word ends or
    /// begins there otherwise than at the cut, and no piece of <see cref="Gpt2PreTokenizer"/> crosses it.
    /// </summary>
    public static int FindCut(ReadOnlySpan<byte> utf8, int from)
    {
        for (int i = Math.Max(from, 1); i < utf8.Length; i++)
        {
            if (utf8[i] is (byte)' ' or (byte)'\n' or (byte)'\r' or (byte)'\t' && utf8[i - 1] is > 0x20 and < 0x7F)
            {
                return i;
            }
        }

        return utf8.Length;
    }

    private static CharacterClass ClassBeyondAscii(ReadOnlySpan<byte> utf8, out int length)
    {
        if (Rune.DecodeFromUtf8(utf8, out Rune rune, out length) != System.Buffers.OperationStatus.Done)
        {
            length = 1;
            return CharacterClass.Other;
        }

        if (Rune.IsWhiteSpace(rune))
        {
            return CharacterClass.WhiteSpace;
        }

        return Rune.GetUnicodeCategory(rune) switch
        {
            UnicodeCategory.UppercaseLetter or UnicodeCategory.LowercaseLetter or UnicodeCategory.TitlecaseLetter
                or UnicodeCategory.ModifierLetter or UnicodeCategory.OtherLetter => CharacterClass.Letter,
            UnicodeCategory.DecimalDigitNumber or UnicodeCategory.LetterNumber or UnicodeCategory.OtherNumber => CharacterClass.Number,
            _ => CharacterClass.Other,
        };
    }
}
