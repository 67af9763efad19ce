using System.Buffers;

namespace Loci.Data;

/// <summary>Cuts a stream of UTF-8 into documents, holding one document at a time.</summary>
internal static class DocumentSplitter
{
    private static readonly SearchValues<byte> WhiteSpace = SearchValues.Create(" \t\r\n\v\f"u8);

    private static ReadOnlySpan<byte> Marker => "<|endoftext|>"u8;

    /// <summary>Yields each document's bytes. Documents of white space alone are left out, but for their bytes in WikiText.</summary>
    public static IEnumerable<byte[]> Split(Stream stream, DocumentSeparator separator)
    {
        LineReader lines = new(stream);
        return separator switch
        {
            DocumentSeparator.File => WholeFile(lines),
            DocumentSeparator.BlankLine => Paragraphs(lines),
            DocumentSeparator.Line => Lines(lines),
            DocumentSeparator.EndOfText => BetweenMarkers(lines),
            DocumentSeparator.WikiText => Articles(lines),
            _ => throw new ArgumentOutOfRangeException(nameof(separator), separator, "Unknown document separator."),
        };
    }

    private static IEnumerable<byte[]> WholeFile(LineReader lines)
    {
        ReadOnlyMemory<byte> text = lines.ReadToEnd();
        if (!IsBlank(text.Span))
        {
            yield return text.ToArray();
        }
    }

    private static IEnumerable<byte[]> Lines(LineReader lines)
    {
        while (lines.TryRead(out ReadOnlyMemory<byte> line))
        {
            if (!IsBlank(line.Span))
            {
                yield return line.Span.TrimEnd("\r\n"u8).ToArray();
            }
        }
    }

    private static IEnumerable<byte[]> Paragraphs(LineReader lines)
    {
        ArrayBufferWriter<byte> paragraph = new();
        while (lines.TryRead(out ReadOnlyMemory<byte> line))
        {
            if (!IsBlank(line.Span))
            {
                paragraph.Write(line.Span);
            }
            else if (paragraph.WrittenCount > 0)
            {
                yield return paragraph.WrittenSpan.TrimEnd("\r\n"u8).ToArray();
                paragraph.ResetWrittenCount();
            }
        }

        if (paragraph.WrittenCount > 0)
        {
            yield return paragraph.WrittenSpan.TrimEnd("\r\n"u8).ToArray();
        }
    }

    private static IEnumerable<byte[]> BetweenMarkers(LineReader lines)
    {
        ArrayBufferWriter<byte> document = new();
        while (lines.TryRead(out ReadOnlyMemory<byte> line))
        {
            ReadOnlyMemory<byte> rest = line;
            int marker;
            while ((marker = rest.Span.IndexOf(Marker)) >= 0)
            {
                document.Write(rest.Span[..marker]);
                if (!IsBlank(document.WrittenSpan))
                {
                    yield return document.WrittenSpan.Trim("\r\n"u8).ToArray();
                }

                document.ResetWrittenCount();
                rest = rest[(marker + Marker.Length)..];
            }

            document.Write(rest.Span);
        }

        if (!IsBlank(document.WrittenSpan))
        {
            yield return document.WrittenSpan.Trim("\r\n"u8).ToArray();
        }
    }

    private static IEnumerable<byte[]> Articles(LineReader lines)
    {
        ArrayBufferWriter<byte> article = new();
        int heading = -1; // where in the article a line stands that is a heading if the next line is blank
        bool afterBlank = true;
        while (lines.TryRead(out ReadOnlyMemory<byte> line))
        {
            bool blank = IsBlank(line.Span);
            if (blank && heading > 0 && !IsBlank(article.WrittenSpan[..heading]))
            {
                byte[] next = article.WrittenSpan[heading..].ToArray();
                yield return article.WrittenSpan[..heading].ToArray();
                article.ResetWrittenCount();
                article.Write(next);
            }

            heading = afterBlank && IsTitle(line.Span) ? article.WrittenCount : -1;
            afterBlank = blank;
            article.Write(line.Span);
        }

        if (!IsBlank(article.WrittenSpan))
        {
            yield return article.WrittenSpan.ToArray();
        }
    }

    private static bool IsTitle(ReadOnlySpan<byte> line)
    {
        ReadOnlySpan<byte> title = line.Trim(" \t\r\n"u8);
        return title.Length > 4 && title.StartsWith("= "u8) && title.EndsWith(" ="u8) && !title.StartsWith("= ="u8) && !title.EndsWith("= ="u8);
    }

    private static bool IsBlank(ReadOnlySpan<byte> text) => !text.ContainsAnyExcept(WhiteSpace);

    /// <summary>Reads lines with their ends. A line is valid until the next read.</summary>
    private sealed class LineReader(Stream stream)
    {
        private byte[] _buffer = new byte[1 << 16];
        private int _begin;
        private int _end;
        private bool _ended;

        public bool TryRead(out ReadOnlyMemory<byte> line)
        {
            int searched = 0;
            while (true)
            {
                int newline = _buffer.AsSpan(_begin + searched, _end - _begin - searched).IndexOf((byte)'\n');
                if (newline >= 0 || (_ended && _end > _begin))
                {
                    int length = newline >= 0 ? searched + newline + 1 : _end - _begin;
                    line = Take(length);
                    return true;
                }

                if (_ended)
                {
                    line = default;
                    return false;
                }

                searched = _end - _begin;
                Fill();
            }
        }

        public ReadOnlyMemory<byte> ReadToEnd()
        {
            while (!_ended)
            {
                Fill();
            }

            return Take(_end - _begin);
        }

        private ReadOnlyMemory<byte> Take(int length)
        {
            ReadOnlyMemory<byte> taken = _buffer.AsMemory(_begin, length);
            _begin += length;
            return taken;
        }

        private void Fill()
        {
            if (_begin > 0 && _begin >= _end - _begin)
            {
                // What is kept is at most half of the buffer: moving it is cheap.
                _buffer.AsSpan(_begin, _end - _begin).CopyTo(_buffer);
                _end -= _begin;
                _begin = 0;
            }

            if (_end == _buffer.Length)
            {
                if (_buffer.Length == Array.MaxLength)
                {
                    throw new InvalidDataException("it holds a document of more than 2 GB; choose a separator that divides it into smaller documents");
                }

                Array.Resize(ref _buffer, (int)Math.Min(Array.MaxLength, _buffer.Length * 2L));
            }

            int count = stream.Read(_buffer, _end, _buffer.Length - _end);
            _end += count;
            _ended = count == 0;
        }
    }
}
