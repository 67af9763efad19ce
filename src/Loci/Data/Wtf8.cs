using System.Buffers;
using System.Text;
using System.Text.Unicode;

namespace Loci.Data;

/// <summary>
/// UTF-8 extended to lone surrogates (WTF-8): every .NET string has bytes, and these bytes give the same string back.
/// For well-formed strings the bytes are plain UTF-8.
/// </summary>
internal static class Wtf8
{
    /// <summary>The most bytes <see cref="Encode"/> writes per char.</summary>
    public const int MaximumBytesPerChar = 3;

    /// <summary>Writes the bytes of <paramref name="text"/>; lone surrogates take three bytes each.</summary>
    /// <returns>The number of bytes written.</returns>
    public static int Encode(ReadOnlySpan<char> text, Span<byte> destination)
    {
        int written = 0;
        while (true)
        {
            OperationStatus status = Utf8.FromUtf16(text, destination[written..], out int read, out int bytes, replaceInvalidSequences: false);
            written += bytes;
            text = text[read..];
            if (status != OperationStatus.InvalidData)
            {
                return written;
            }

            char surrogate = text[0];
            destination[written++] = 0xED;
            destination[written++] = (byte)(0x80 | ((surrogate >> 6) & 0x3F));
            destination[written++] = (byte)(0x80 | (surrogate & 0x3F));
            text = text[1..];
        }
    }

    /// <summary>
    /// Decodes <paramref name="bytes"/>; each maximal ill-formed part becomes U+FFFD. Unless <paramref name="isFinal"/>, an incomplete
    /// sequence at the end (at most three bytes) is left unread.
    /// </summary>
    /// <param name="bytes">The bytes.</param>
    /// <param name="destination">At least as many chars as there are bytes.</param>
    /// <param name="isFinal">Whether no bytes follow.</param>
    /// <param name="read">The number of bytes decoded.</param>
    /// <returns>The number of chars written.</returns>
    public static int Decode(ReadOnlySpan<byte> bytes, Span<char> destination, bool isFinal, out int read)
    {
        int written = 0;
        read = 0;
        while (true)
        {
            OperationStatus status = Utf8.ToUtf16(bytes[read..], destination[written..], out int consumed, out int chars, replaceInvalidSequences: false, isFinal);
            read += consumed;
            written += chars;
            if (status != OperationStatus.InvalidData)
            {
                return written;
            }

            ReadOnlySpan<byte> rest = bytes[read..];
            bool startsSurrogate = rest.Length >= 2 && rest[0] == 0xED && rest[1] is >= 0xA0 and <= 0xBF;
            if (startsSurrogate && rest.Length >= 3 && (rest[2] & 0xC0) == 0x80)
            {
                destination[written++] = (char)(0xD800 | ((rest[1] & 0x1F) << 6) | (rest[2] & 0x3F));
                read += 3;
            }
            else if (startsSurrogate && rest.Length == 2 && !isFinal)
            {
                return written;
            }
            else
            {
                Rune.DecodeFromUtf8(rest, out _, out int illFormed);
                destination[written++] = '\uFFFD';
                read += illFormed;
            }
        }
    }
}
