using System.Buffers;
using System.Collections.Concurrent;
using System.Text;

namespace Loci.Data;

/// <summary>Variants of byte-level BPE that tokenizer files ask for.</summary>
/// <param name="AddPrefixSpace">Whether a text that does not begin with a space is encoded as if it did. Decoding then gives that space back.</param>
/// <param name="IgnoreMerges">Whether a pre-token that is in the vocabulary is that token, whatever the merges make of it.</param>
public sealed record BpeTokenizerOptions(bool AddPrefixSpace = false, bool IgnoreMerges = false);

/// <summary>
/// Byte-level byte-pair encoding with GPT-2's division of text (Radford et al., 2019). Any bytes can be encoded, and decoding gives them back. In each
/// piece of text the pair of neighbours whose merge ranks lowest is merged, leftmost first, until none is left.
/// </summary>
public sealed class BpeTokenizer : Tokenizer
{
    private readonly byte[][] _bytes;
    private readonly BpeMerge[] _merges;
    private readonly AddedToken[] _added;
    private readonly bool[] _isSpecial;
    private readonly AddedTokenFinder _ordinaryAdded;
    private readonly AddedTokenFinder _allAdded;
    private readonly PairTable _pairs;
    private readonly int[] _byteIds = new int[256];
    private readonly ByteKeyTable? _wholePieces; // numbers the ordinary tokens, whose ids are in _wholeIds
    private readonly int[] _wholeIds;
    private readonly ConcurrentBag<BpeEncoder> _encoders = [];

    /// <summary>Creates the tokenizer.</summary>
    /// <param name="vocabulary">The bytes of each token, by id; those of added tokens are not looked at. All 256 single bytes are among them.</param>
    /// <param name="merges">The merges, in the order of their ranks.</param>
    /// <param name="addedTokens">Special tokens, and tokens found in text before anything else.</param>
    /// <param name="endOfTextId">The document separator: a special token.</param>
    /// <param name="options">Variants.</param>
    /// <exception cref="ArgumentException">The parts do not fit together; the message says what is wrong.</exception>
    internal BpeTokenizer(IReadOnlyList<byte[]> vocabulary, IReadOnlyList<BpeMerge> merges, IReadOnlyList<AddedToken> addedTokens, int endOfTextId, BpeTokenizerOptions? options = null)
    {
        ArgumentNullException.ThrowIfNull(vocabulary);
        ArgumentNullException.ThrowIfNull(merges);
        ArgumentNullException.ThrowIfNull(addedTokens);
        if (FindProblem(vocabulary, merges, addedTokens, endOfTextId) is string problem)
        {
            throw new ArgumentException(problem, nameof(vocabulary));
        }

        Options = options ?? new BpeTokenizerOptions();
        EndOfTextId = endOfTextId;
        _bytes = [.. vocabulary];
        _merges = [.. merges];
        _added = [.. addedTokens];
        _isSpecial = new bool[_bytes.Length];
        foreach (AddedToken token in _added)
        {
            _isSpecial[token.Id] = token.IsSpecial;
            _bytes[token.Id] = token.IsSpecial ? [] : Encoding.UTF8.GetBytes(token.Content);
        }

        HashSet<int> addedIds = [.. _added.Select(token => token.Id)];
        _wholePieces = Options.IgnoreMerges ? new ByteKeyTable() : null;
        List<int> wholeIds = [];
        for (int id = 0; id < _bytes.Length; id++)
        {
            bool ordinary = !addedIds.Contains(id);
            if (ordinary && _bytes[id].Length == 1)
            {
                _byteIds[_bytes[id][0]] = id;
            }

            if (ordinary && _wholePieces is not null)
            {
                _wholePieces.GetOrAdd(_bytes[id]);
                wholeIds.Add(id);
            }
        }

        _wholeIds = [.. wholeIds];
        _pairs = new PairTable(_merges);
        _ordinaryAdded = new AddedTokenFinder(_added.Where(token => !token.IsSpecial));
        _allAdded = new AddedTokenFinder(_added);
    }

    /// <summary>The variants.</summary>
    public BpeTokenizerOptions Options { get; }

    /// <summary>The merges, in the order of their ranks.</summary>
    internal IReadOnlyList<BpeMerge> Merges => _merges;

    /// <summary>Special tokens, and tokens found in text before anything else.</summary>
    internal IReadOnlyList<AddedToken> AddedTokens => _added;

    /// <inheritdoc/>
    public override int VocabularySize => _bytes.Length;

    /// <inheritdoc/>
    public override int EndOfTextId { get; }

    /// <inheritdoc/>
    protected internal override bool CanCutBeforeWhiteSpace => _ordinaryAdded.IsEmpty;

    /// <inheritdoc/>
    public override ReadOnlySpan<byte> GetBytes(int id)
    {
        ArgumentOutOfRangeException.ThrowIfGreaterThanOrEqual((uint)id, (uint)_bytes.Length, nameof(id));
        return _bytes[id];
    }

    /// <inheritdoc/>
    public override bool IsSpecial(int id)
    {
        ArgumentOutOfRangeException.ThrowIfGreaterThanOrEqual((uint)id, (uint)_bytes.Length, nameof(id));
        return _isSpecial[id];
    }

    /// <inheritdoc/>
    public override void EncodeUtf8(ReadOnlySpan<byte> utf8, List<int> destination) => Encode(utf8, destination, _ordinaryAdded);

    /// <summary>Appends the tokens of a text in which the contents of special tokens stand for these tokens. For trusted text, such as prompts with markers.</summary>
    /// <param name="text">The text.</param>
    /// <param name="destination">Receives the token ids.</param>
    public void EncodeWithSpecialTokens(ReadOnlySpan<char> text, List<int> destination)
    {
        byte[] bytes = ArrayPool<byte>.Shared.Rent(checked(text.Length * Wtf8.MaximumBytesPerChar));
        Encode(bytes.AsSpan(0, Wtf8.Encode(text, bytes)), destination, _allAdded);
        ArrayPool<byte>.Shared.Return(bytes);
    }

    /// <inheritdoc/>
    protected internal override void EncodeContinuation(ReadOnlySpan<byte> utf8, List<int> destination)
    {
        BpeEncoder encoder = RentEncoder();
        EncodePieces(utf8, destination, encoder);
        _encoders.Add(encoder);
    }

    /// <summary>What keeps these parts from making a tokenizer, in one sentence; null if nothing.</summary>
    internal static string? FindProblem(IReadOnlyList<byte[]> vocabulary, IReadOnlyList<BpeMerge> merges, IReadOnlyList<AddedToken> addedTokens, int endOfTextId)
    {
        HashSet<int> addedIds = [];
        HashSet<string> contents = [];
        bool endsText = false;
        foreach (AddedToken token in addedTokens)
        {
            if ((uint)token.Id >= (uint)vocabulary.Count || !addedIds.Add(token.Id))
            {
                return $"The added token \"{token.Content}\" has the id {token.Id}, which is outside the vocabulary of {vocabulary.Count} or taken.";
            }

            if (token.Content.Length == 0 || !contents.Add(token.Content))
            {
                return $"The added token \"{token.Content}\" is empty or there twice.";
            }

            endsText |= token.IsSpecial && token.Id == endOfTextId;
        }

        if (!endsText)
        {
            return $"The end-of-text id {endOfTextId} is not a special token.";
        }

        bool[] seen = new bool[256];
        HashSet<ReadOnlyMemory<byte>> distinct = new(BytesComparer.Instance);
        for (int id = 0; id < vocabulary.Count; id++)
        {
            if (addedIds.Contains(id))
            {
                continue;
            }

            if (vocabulary[id].Length == 0 || !distinct.Add(vocabulary[id]))
            {
                return $"Token {id} is empty or there twice.";
            }

            if (vocabulary[id].Length == 1)
            {
                seen[vocabulary[id][0]] = true;
            }
        }

        int missing = seen.AsSpan().IndexOf(false);
        if (missing >= 0)
        {
            return $"The vocabulary has no token for the byte 0x{missing:X2}; a byte-level vocabulary has all 256.";
        }

        for (int rank = 0; rank < merges.Count; rank++)
        {
            (int left, int right, int result) = merges[rank];
            bool known = IsOrdinary(left) && IsOrdinary(right) && IsOrdinary(result);
            if (!known || !IsConcatenation(vocabulary[left], vocabulary[right], vocabulary[result]))
            {
                return $"Merge {rank} does not make a token of the vocabulary from two others.";
            }
        }

        return null;

        bool IsOrdinary(int id) => (uint)id < (uint)vocabulary.Count && !addedIds.Contains(id);
    }

    private static bool IsConcatenation(byte[] left, byte[] right, byte[] result) =>
        result.Length == left.Length + right.Length && result.AsSpan().StartsWith(left) && result.AsSpan().EndsWith(right);

    private void Encode(ReadOnlySpan<byte> utf8, List<int> destination, AddedTokenFinder finder)
    {
        ArgumentNullException.ThrowIfNull(destination);
        BpeEncoder encoder = RentEncoder();
        if (finder.IsEmpty)
        {
            EncodeSegment(utf8, destination, encoder);
        }
        else
        {
            int begin = 0;
            AddedTokenFinder.Cursor cursor = finder.Start();
            while (cursor.FindNext(utf8, begin, out int index, out AddedToken? token, out int length))
            {
                EncodeSegment(utf8[begin..index], destination, encoder);
                destination.Add(token.Id);
                begin = index + length;
            }

            EncodeSegment(utf8[begin..], destination, encoder);
        }

        _encoders.Add(encoder);
    }

    private void EncodeSegment(ReadOnlySpan<byte> utf8, List<int> destination, BpeEncoder encoder)
    {
        if (!Options.AddPrefixSpace || utf8.IsEmpty || utf8[0] == (byte)' ')
        {
            EncodePieces(utf8, destination, encoder);
            return;
        }

        byte[] spaced = ArrayPool<byte>.Shared.Rent(checked(utf8.Length + 1));
        spaced[0] = (byte)' ';
        utf8.CopyTo(spaced.AsSpan(1));
        EncodePieces(spaced.AsSpan(0, utf8.Length + 1), destination, encoder);
        ArrayPool<byte>.Shared.Return(spaced);
    }

    private static void EncodePieces(ReadOnlySpan<byte> utf8, List<int> destination, BpeEncoder encoder)
    {
        for (int begin = 0; begin < utf8.Length;)
        {
            int end = Gpt2PreTokenizer.FindEnd(utf8, begin);
            encoder.Encode(utf8[begin..end], destination);
            begin = end;
        }
    }

    private BpeEncoder RentEncoder() => _encoders.TryTake(out BpeEncoder? encoder) ? encoder : new BpeEncoder(_pairs, _byteIds, _wholePieces, _wholeIds);

    private sealed class BytesComparer : IEqualityComparer<ReadOnlyMemory<byte>>
    {
        public static BytesComparer Instance { get; } = new();

        public bool Equals(ReadOnlyMemory<byte> x, ReadOnlyMemory<byte> y) => x.Span.SequenceEqual(y.Span);

        public int GetHashCode(ReadOnlyMemory<byte> obj)
        {
            HashCode hash = default;
            hash.AddBytes(obj.Span);
            return hash.ToHashCode();
        }
    }
}
