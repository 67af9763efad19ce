namespace Loci.Data;

/// <summary>Says what bytes are that are not text in UTF-8, and what to do with them.</summary>
internal static class NotText
{
    private static readonly (byte[] Start, string What)[] Formats =
    [
        ([0x1F, 0x8B], "it is compressed with gzip; decompress it first: gzip -d"),
        ([0xFD, .. "7zXZ\0"u8], "it is compressed with xz; decompress it first: xz -d"),
        ([.. "BZh"u8], "it is compressed with bzip2; decompress it first: bzip2 -d"),
        ([0x28, 0xB5, 0x2F, 0xFD], "it is compressed with zstd; decompress it first: zstd -d"),
        ([.. "PK\x03\x04"u8], "it is a zip archive; unpack it first: unzip"),
        ([.. "7z"u8, 0xBC, 0xAF, 0x27, 0x1C], "it is a 7z archive; unpack it first: 7z x"),
        ([.. "Rar!"u8], "it is a rar archive; unpack it first: unrar x"),
        ([.. "%PDF-"u8], "it is a PDF and not text; take its text out first: pdftotext"),
        ([.. "PAR1"u8], "it is a Parquet file and not text; write it as JSON lines first"),
    ];

    /// <summary>The failure to read bytes as text.</summary>
    /// <param name="name">What they are called.</param>
    /// <param name="bytes">Bytes around the first wrong one.</param>
    /// <param name="wrong">The index of the first byte that is NUL or not UTF-8.</param>
    /// <param name="offset">The place of the first byte in the source.</param>
    public static LociException Failure(string name, ReadOnlySpan<byte> bytes, int wrong, long offset)
    {
        var place = offset + wrong;
        string what;
        if (offset == 0 && FormatOf(bytes) is { } format)
        {
            what = format;
        }
        else if (offset == 0 && EncodingOf(bytes) is { } encoding)
        {
            what = $"it looks like {encoding}, and text must be UTF-8; convert it: iconv -f {encoding} -t UTF-8 OLD > NEW";
        }
        else if (bytes[wrong] == 0)
        {
            what = FormattableString.Invariant(
                $"it has a NUL at byte {place}, which text has not; if it is text, take them out: tr -d '\\000' < OLD > NEW");
        }
        else
        {
            what = FormattableString.Invariant(
                $"the text is not valid UTF-8 at byte {place}; if it is in another encoding, such as Windows-1252, convert it: ")
                + "iconv -f WINDOWS-1252 -t UTF-8 OLD > NEW";
        }

        return new LociException($"Cannot read {name}: {what}.");
    }

    private static string? FormatOf(ReadOnlySpan<byte> bytes)
    {
        foreach (var (start, what) in Formats)
        {
            if (bytes.StartsWith(start))
            {
                return what;
            }
        }

        return null;
    }

    /// <summary>The encoding that a byte order mark names, or the places of the NULs do; null for another.</summary>
    private static string? EncodingOf(ReadOnlySpan<byte> bytes)
    {
        if (bytes.StartsWith((ReadOnlySpan<byte>)[0xFF, 0xFE, 0, 0]) || bytes.StartsWith((ReadOnlySpan<byte>)[0, 0, 0xFE, 0xFF]))
        {
            return "UTF-32";
        }

        if (bytes.StartsWith((ReadOnlySpan<byte>)[0xFF, 0xFE]) || bytes.StartsWith((ReadOnlySpan<byte>)[0xFE, 0xFF]))
        {
            return "UTF-16";
        }

        Span<int> nuls = [0, 0, 0, 0];
        for (var i = 0; i < bytes.Length; i++)
        {
            nuls[i % 4] += bytes[i] == 0 ? 1 : 0;
        }

        var quarter = bytes.Length / 4;
        var most = quarter * 0.9;
        if (quarter > 0 && nuls[0] == 0 && nuls[2] > most && nuls[3] > most)
        {
            return "UTF-32LE";
        }

        if (quarter > 0 && nuls[3] == 0 && nuls[0] > most && nuls[1] > most)
        {
            return "UTF-32BE";
        }

        // A few NULs that happen to stand at odd places alone are no sign, unless that is every second byte.
        var (even, odd) = (nuls[0] + nuls[2], nuls[1] + nuls[3]);
        var enough = Math.Clamp(bytes.Length / 2, 2, 4);
        return Math.Min(even, odd) > 0 || Math.Max(even, odd) < enough ? null : odd > 0 ? "UTF-16LE" : "UTF-16BE";
    }
}
