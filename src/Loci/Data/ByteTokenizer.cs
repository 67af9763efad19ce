using System.Runtime.InteropServices;

namespace Loci.Data;

/// <summary>
/// One token per byte of UTF-8: ids 0 to 255 are the bytes, 256 is the end of text. In the form for models that have a vocabulary of 256, the end of text is the byte 0, which text
/// does not hold; one that is there all the same ends the text, to the model, and decodes to nothing.
/// </summary>
public sealed class ByteTokenizer : Tokenizer
{
    private static readonly byte[] AllBytes = [.. Enumerable.Range(0, 256).Select(value => (byte)value)];

    /// <summary>Makes the tokenizer.</summary>
    /// <param name="endsWithZero">Whether the byte 0 is the end of text, in a vocabulary of 256.</param>
    public ByteTokenizer(bool endsWithZero = false)
    {
        EndOfTextId = endsWithZero ? 0 : 256;
    }

    /// <inheritdoc/>
    public override int VocabularySize => EndOfTextId == 0 ? 256 : 257;

    /// <inheritdoc/>
    public override int EndOfTextId { get; }

    /// <inheritdoc/>
    protected internal override bool CanCutBeforeWhiteSpace => true;

    /// <inheritdoc/>
    public override void EncodeUtf8(ReadOnlySpan<byte> utf8, List<int> destination)
    {
        ArgumentNullException.ThrowIfNull(destination);
        int start = destination.Count;
        CollectionsMarshal.SetCount(destination, start + utf8.Length);
        Span<int> ids = CollectionsMarshal.AsSpan(destination)[start..];
        for (int i = 0; i < utf8.Length; i++)
        {
            ids[i] = utf8[i];
        }
    }

    /// <inheritdoc/>
    public override ReadOnlySpan<byte> GetBytes(int id)
    {
        ArgumentOutOfRangeException.ThrowIfGreaterThanOrEqual((uint)id, (uint)VocabularySize, nameof(id));
        return id != EndOfTextId ? AllBytes.AsSpan(id, 1) : [];
    }

    /// <inheritdoc/>
    public override bool IsSpecial(int id)
    {
        ArgumentOutOfRangeException.ThrowIfGreaterThanOrEqual((uint)id, (uint)VocabularySize, nameof(id));
        return id == EndOfTextId;
    }
}
