using System.Buffers;

namespace Loci.Data;

/// <summary>
/// Turns text into token ids and back. Text is UTF-8 bytes; a .NET string is encoded as UTF-8 with lone surrogates as three bytes (WTF-8),
/// so that decoding what was encoded gives back the same string, whatever it held. Instances may be used from many threads at once.
/// </summary>
public abstract class Tokenizer
{
    /// <summary>The text form of the document separator.</summary>
    public const string EndOfText = "<|endoftext|>";

    /// <summary>The number of token ids: ids are 0 to this minus one.</summary>
    public abstract int VocabularySize { get; }

    /// <summary>The id of the token that separates documents: it begins each document and is predicted at its end.</summary>
    public abstract int EndOfTextId { get; }

    /// <summary>Appends the tokens of UTF-8 text. Special tokens are never produced: their text is ordinary text. Ill-formed bytes are kept as they are.</summary>
    /// <param name="utf8">The text.</param>
    /// <param name="destination">Receives the token ids.</param>
    public abstract void EncodeUtf8(ReadOnlySpan<byte> utf8, List<int> destination);

    /// <summary>The bytes of text that a token stands for; none for a special token.</summary>
    /// <param name="id">The token id.</param>
    /// <exception cref="ArgumentOutOfRangeException">The id is not in the vocabulary.</exception>
    public abstract ReadOnlySpan<byte> GetBytes(int id);

    /// <summary>Whether a token stands for no text, such as the document separator.</summary>
    /// <param name="id">The token id.</param>
    /// <exception cref="ArgumentOutOfRangeException">The id is not in the vocabulary.</exception>
    public abstract bool IsSpecial(int id);

    /// <summary>
    /// Whether text may be cut before a white space that follows a visible ASCII character, the parts encoded by
    /// <see cref="EncodeUtf8"/> (the first) and <see cref="EncodeContinuation"/> (the others), and the tokens be the same. Large documents are then encoded in parallel.
    /// </summary>
    protected internal virtual bool CanCutBeforeWhiteSpace => false;

    /// <summary>Appends the tokens of a later part of a text that was cut; see <see cref="CanCutBeforeWhiteSpace"/>.</summary>
    /// <param name="utf8">The part.</param>
    /// <param name="destination">Receives the token ids.</param>
    protected internal virtual void EncodeContinuation(ReadOnlySpan<byte> utf8, List<int> destination) => EncodeUtf8(utf8, destination);

    /// <summary>The number of bytes of text that a token stands for; 0 for a special token.</summary>
    /// <param name="id">The token id.</param>
    /// <exception cref="ArgumentOutOfRangeException">The id is not in the vocabulary.</exception>
    public int GetByteLength(int id) => GetBytes(id).Length;

    /// <summary>Appends the tokens of a text. Special tokens are never produced: their text is ordinary text.</summary>
    /// <param name="text">The text.</param>
    /// <param name="destination">Receives the token ids.</param>
    public void Encode(ReadOnlySpan<char> text, List<int> destination)
    {
        ArgumentNullException.ThrowIfNull(destination);
        byte[] bytes = ArrayPool<byte>.Shared.Rent(checked(text.Length * Wtf8.MaximumBytesPerChar));
        int length = Wtf8.Encode(text, bytes);
        EncodeUtf8(bytes.AsSpan(0, length), destination);
        ArrayPool<byte>.Shared.Return(bytes);
    }

    /// <summary>The tokens of a text. Special tokens are never produced: their text is ordinary text.</summary>
    /// <param name="text">The text.</param>
    public int[] Encode(ReadOnlySpan<char> text)
    {
        List<int> ids = [];
        Encode(text, ids);
        return [.. ids];
    }

    /// <summary>The text of tokens; special tokens give none, bytes that are not UTF-8 become U+FFFD.</summary>
    /// <param name="ids">The token ids.</param>
    /// <exception cref="ArgumentOutOfRangeException">An id is not in the vocabulary.</exception>
    public string Decode(ReadOnlySpan<int> ids)
    {
        int length = 0;
        foreach (int id in ids)
        {
            length = checked(length + GetByteLength(id));
        }

        byte[] bytes = ArrayPool<byte>.Shared.Rent(length);
        char[] chars = ArrayPool<char>.Shared.Rent(length);
        int written = 0;
        foreach (int id in ids)
        {
            ReadOnlySpan<byte> token = GetBytes(id);
            token.CopyTo(bytes.AsSpan(written));
            written += token.Length;
        }

        string text = new(chars, 0, Wtf8.Decode(bytes.AsSpan(0, length), chars, isFinal: true, out _));
        ArrayPool<byte>.Shared.Return(bytes);
        ArrayPool<char>.Shared.Return(chars);
        return text;
    }

    /// <summary>Creates a decoder that takes tokens one by one.</summary>
    public StreamingDecoder CreateDecoder() => new(this);
}
