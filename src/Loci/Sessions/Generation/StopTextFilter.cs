using Loci.Data;

namespace Loci.Sessions;

/// <summary>
/// Decodes tokens as they come, up to the first of some texts that end it: the first to be complete, of several the longest. What may be the beginning of such a text, or a character whose bytes
/// are not all there, is held back until it is known; so what is handed out, joined, is the same however the text falls into tokens.
/// </summary>
internal sealed class StopTextFilter
{
    private readonly StreamingDecoder _decoder;
    private readonly string[] _stops;
    private char[] _text = new char[64]; // handed out last, then held back
    private int _out;
    private int _length;

    public StopTextFilter(StreamingDecoder decoder, IEnumerable<string> stops)
    {
        _decoder = decoder;
        _stops = [.. stops.Where(stop => stop.Length > 0)];
    }

    /// <summary>Whether one of the texts has come; nothing is handed out any more.</summary>
    public bool IsStopped { get; private set; }

    /// <summary>Adds a token and returns the text that is now certain; valid until the next call.</summary>
    public ReadOnlySpan<char> Append(int token)
    {
        Add(_decoder.Append(token));
        _out = _length - (IsStopped ? 0 : LongestBeginning());
        return _text.AsSpan(0, _out);
    }

    /// <summary>Ends the text: returns what was held back; valid until the next call.</summary>
    public ReadOnlySpan<char> Flush()
    {
        Add(_decoder.Flush());
        _out = _length;
        return _text.AsSpan(0, _out);
    }

    private void Add(ReadOnlySpan<char> text)
    {
        _text.AsSpan(_out.._length).CopyTo(_text);
        (_length, _out) = (_length - _out, 0);
        if (IsStopped)
        {
            return;
        }

        if (_length + text.Length > _text.Length)
        {
            Array.Resize(ref _text, 2 * (_length + text.Length));
        }

        text.CopyTo(_text.AsSpan(_length));
        _length += text.Length;
        var (end, start) = (int.MaxValue, 0);
        foreach (var stop in _stops)
        {
            if (_text.AsSpan(0, _length).IndexOf(stop) is >= 0 and var place && (place + stop.Length, place).CompareTo((end, start)) < 0)
            {
                (end, start) = (place + stop.Length, place);
            }
        }

        IsStopped = end < int.MaxValue;
        _length = IsStopped ? start : _length;
    }

    /// <summary>Characters at the end that may be the beginning of a text that ends it.</summary>
    private int LongestBeginning()
    {
        var longest = 0;
        foreach (var stop in _stops)
        {
            for (var count = Math.Min(stop.Length - 1, _length); count > longest; count--)
            {
                if (_text.AsSpan(_length - count, count).SequenceEqual(stop.AsSpan(0, count)))
                {
                    longest = count;
                }
            }
        }

        return longest;
    }
}
