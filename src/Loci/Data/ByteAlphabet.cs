using System.Text;

namespace Loci.Data;

/// <summary>
/// GPT-2's one-to-one map of bytes to printable characters, in which the vocabulary files of byte-level tokenizers are written: visible Latin-1 characters
/// stand for their own byte, the other 68 bytes are U+0100 and up in ascending order.
/// </summary>
internal static class ByteAlphabet
{
    private const int Characters = 256 + 68;

    private static readonly char[] ByteToChar = CreateByteToChar();
    private static readonly short[] CharToByte = CreateCharToByte();

    /// <summary>The bytes in the order of their characters: the order in which vocabularies number them.</summary>
    public static byte[] BytesInOrder { get; } = [.. Enumerable.Range(0, 256).Select(value => (byte)value).OrderBy(value => ByteToChar[value])];

    /// <summary>The characters of bytes.</summary>
    public static string ToText(ReadOnlySpan<byte> bytes)
    {
        StringBuilder text = new(bytes.Length);
        foreach (byte value in bytes)
        {
            text.Append(ByteToChar[value]);
        }

        return text.ToString();
    }

    /// <summary>The bytes of characters, or null if one of them stands for no byte.</summary>
    public static byte[]? ToBytes(ReadOnlySpan<char> text)
    {
        byte[] bytes = new byte[text.Length];
        for (int i = 0; i < text.Length; i++)
        {
            if (text[i] >= Characters || CharToByte[text[i]] < 0)
            {
                return null;
            }

            bytes[i] = (byte)CharToByte[text[i]];
        }

        return bytes;
    }

    private static char[] CreateByteToChar()
    {
        char[] map = new char[256];
        char next = (char)256;
        for (int value = 0; value < 256; value++)
        {
            bool visible = value is (>= '!' and <= '~') or (>= 0xA1 and <= 0xAC) or (>= 0xAE and <= 0xFF);
            map[value] = visible ? (char)value : next++;
        }

        return map;
    }

    private static short[] CreateCharToByte()
    {
        short[] map = new short[Characters];
        Array.Fill(map, (short)-1);
        for (int value = 0; value < 256; value++)
        {
            map[ByteToChar[value]] = (short)value;
        }

        return map;
    }
}
