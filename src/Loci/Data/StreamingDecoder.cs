namespace Loci.Data;

/// <summary>
/// Decodes tokens as they come. A character whose bytes are spread over several tokens is held back until it is complete, so the pieces
/// joined are the same text as <see cref="Tokenizer.Decode"/> gives.
/// </summary>
public sealed class StreamingDecoder
{
    private readonly Tokenizer _tokenizer;
    private byte[] _bytes = new byte[64];
    private char[] _chars = new char[64];
    private int _held;

    internal StreamingDecoder(Tokenizer tokenizer) => _tokenizer = tokenizer;

    /// <summary>Whether bytes of an incomplete character are held back.</summary>
    public bool HasIncompleteCharacter => _held > 0;

    /// <summary>Adds a token and returns the text that is now complete; valid until the next call.</summary>
    /// <param name="id">The token id.</param>
    /// <exception cref="ArgumentOutOfRangeException">The id is not in the vocabulary.</exception>
    public ReadOnlySpan<char> Append(int id)
    {
        ReadOnlySpan<byte> token = _tokenizer.GetBytes(id);
        int length = _held + token.Length;
        if (length > _bytes.Length)
        {
            Array.Resize(ref _bytes, length * 2);
            _chars = new char[length * 2];
        }

        token.CopyTo(_bytes.AsSpan(_held));
        int written = Wtf8.Decode(_bytes.AsSpan(0, length), _chars, isFinal: false, out int read);
        _held = length - read;
        _bytes.AsSpan(read, _held).CopyTo(_bytes);
        return _chars.AsSpan(0, written);
    }

    /// <summary>Ends the text: returns U+FFFD for a character left incomplete, else nothing. The decoder can then take another text. Valid until the next call.</summary>
    public ReadOnlySpan<char> Flush()
    {
        int written = Wtf8.Decode(_bytes.AsSpan(0, _held), _chars, isFinal: true, out _);
        _held = 0;
        return _chars.AsSpan(0, written);
    }
}
