using System.Runtime.InteropServices;

namespace Loci.Data;

/// <summary>One token per byte of UTF-8: ids 0 to 255 are the bytes, 256 is the end of text.</summary>
public sealed class ByteTokenizer : Tokenizer
{
    private static readonly byte[] AllBytes = [.. Enumerable.Range(0, 256).Select(value => (byte)value)];

    /// <inheritdoc/>
    public override int VocabularySize => 257;

    /// <inheritdoc/>
    public override int EndOfTextId => 256;

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
        return id < 256 ? AllBytes.AsSpan(id, 1) : [];
    }

    /// <inheritdoc/>
    public override bool IsSpecial(int id)
    {
        ArgumentOutOfRangeException.ThrowIfGreaterThanOrEqual((uint)id, (uint)VocabularySize, nameof(id));
        return id == EndOfTextId;
    }
}
