using System.Buffers;
using System.Text;
using System.Text.Unicode;

namespace Loci.Data;

/// <summary>
/// What every text from outside is read through: passes UTF-8 on, without a byte order mark at its start, and refuses NULs, other encodings
/// and what is no text, saying what to do.
/// </summary>
/// <param name="source">The bytes; disposed with this stream.</param>
/// <param name="name">What they are called in messages.</param>
internal sealed class Utf8Stream(Stream source, string name) : ForwardStream
{
    private readonly byte[] _buffer = new byte[1 << 16];
    private int _begin;
    private int _checked;
    private int _end;
    private long _offset; // of _buffer[0] in the source
    private bool _ended;

    /// <exception cref="LociException">The source cannot be read, or is not text in UTF-8.</exception>
    public override int Read(Span<byte> buffer)
    {
        while (_begin == _checked && !_ended)
        {
            Fill();
        }

        var count = Math.Min(buffer.Length, _checked - _begin);
        _buffer.AsSpan(_begin, count).CopyTo(buffer);
        _begin += count;
        return count;
    }

    protected override void Dispose(bool disposing)
    {
        if (disposing)
        {
            source.Dispose();
        }

        base.Dispose(disposing);
    }

    private void Fill()
    {
        // What is left is the beginning of a character.
        _buffer.AsSpan(_begin, _end - _begin).CopyTo(_buffer);
        _offset += _begin;
        _end -= _begin;
        _begin = 0;
        var count = ReadSource(_buffer.AsSpan(_end));
        _end += count;
        _ended = count == 0;
        _checked = _ended ? _end : _end - BegunLength(_buffer.AsSpan(0, _end));
        var text = _buffer.AsSpan(0, _checked);
        if (IndexOfWrong(text) is >= 0 and var wrong)
        {
            throw NotText.Failure(name, _buffer.AsSpan(0, _end), wrong, _offset);
        }

        _begin = _offset == 0 && text.StartsWith(Encoding.UTF8.Preamble) ? Encoding.UTF8.Preamble.Length : 0;
    }

    private int ReadSource(Span<byte> buffer)
    {
        try
        {
            return source.Read(buffer);
        }
        catch (Exception exception) when (ReadFailure.Is(exception))
        {
            throw ReadFailure.Of(name, exception);
        }
    }

    /// <summary>The first byte that is NUL or not UTF-8; -1 where there is none.</summary>
    private static int IndexOfWrong(ReadOnlySpan<byte> text)
    {
        var nul = text.IndexOf((byte)0);
        var rest = nul < 0 ? text : text[..nul];
        if (Utf8.IsValid(rest))
        {
            return nul;
        }

        var index = 0;
        while (Rune.DecodeFromUtf8(rest[index..], out _, out var length) == OperationStatus.Done)
        {
            index += length;
        }

        return index;
    }

    /// <summary>How many bytes at the end begin a character whose rest is still to come.</summary>
    private static int BegunLength(ReadOnlySpan<byte> text)
    {
        for (var length = 1; length <= Math.Min(3, text.Length); length++)
        {
            var first = text[^length];
            if ((first & 0xC0) != 0x80)
            {
                return first >= 0xC0 && length < (first >= 0xF0 ? 4 : first >= 0xE0 ? 3 : 2) ? length : 0;
            }
        }

        return 0;
    }
}
