namespace Loci.Data;

/// <summary>Merges the bytes of pre-tokens into tokens and remembers the results. For one thread at a time.</summary>
/// <param name="pairs">The merges.</param>
/// <param name="byteIds">The token of each byte.</param>
/// <param name="wholePieces">If given, numbers the vocabulary: a pre-token that is in it is that token, whatever the merges make of it.</param>
/// <param name="wholeIds">The ids of the numbers.</param>
internal sealed class BpeEncoder(PairTable pairs, int[] byteIds, ByteKeyTable? wholePieces, int[] wholeIds)
{
    private const int MaximumCachedLength = 64;
    private const int MaximumCached = 1 << 17;

    private readonly ByteKeyTable _cache = new();
    private int[] _cachedStarts = new int[1024]; // [cached + 1]
    private int[] _cachedIds = new int[4096];

    // The tokens of the pre-token at hand as a list: their ids (negative once merged into the one before), and their neighbours.
    private int[] _ids = new int[MaximumCachedLength];
    private int[] _next = new int[MaximumCachedLength];
    private int[] _previous = new int[MaximumCachedLength];
    private readonly PriorityQueue<int, ulong> _candidates = new(); // where the left token of a pair is, by rank, then place

    /// <summary>Appends the tokens of a pre-token.</summary>
    public void Encode(ReadOnlySpan<byte> piece, List<int> destination)
    {
        if (piece.Length > MaximumCachedLength)
        {
            int tokens = Merge(piece);
            for (int i = 0; tokens > 0; i = _next[i], tokens--)
            {
                destination.Add(_ids[i]);
            }

            return;
        }

        if (_cache.Count == MaximumCached)
        {
            _cache.Clear();
        }

        int known = _cache.Count;
        int index = _cache.GetOrAdd(piece);
        if (index == known)
        {
            Remember(index, piece);
        }

        int start = _cachedStarts[index];
        int count = _cachedStarts[index + 1] - start;
        if (count == 1)
        {
            destination.Add(_cachedIds[start]);
        }
        else
        {
            destination.AddRange(_cachedIds.AsSpan(start, count));
        }
    }

    private void Remember(int index, ReadOnlySpan<byte> piece)
    {
        int count = Merge(piece);
        if (index + 2 > _cachedStarts.Length)
        {
            Array.Resize(ref _cachedStarts, _cachedStarts.Length * 2);
        }

        int start = index == 0 ? 0 : _cachedStarts[index];
        _cachedStarts[index] = start;
        if (start + count > _cachedIds.Length)
        {
            Array.Resize(ref _cachedIds, _cachedIds.Length * 2);
        }

        for (int i = 0, written = start; written < start + count; i = _next[i], written++)
        {
            _cachedIds[written] = _ids[i];
        }

        _cachedStarts[index + 1] = start + count;
    }

    /// <summary>Merges the pair of lowest rank, the leftmost of these, until none is left. The list begins at place 0.</summary>
    /// <returns>The number of tokens.</returns>
    private int Merge(ReadOnlySpan<byte> piece)
    {
        int length = piece.Length;
        if (length > _ids.Length)
        {
            int capacity = (int)Math.Min(Array.MaxLength, length * 2L);
            _ids = new int[capacity];
            _next = new int[capacity];
            _previous = new int[capacity];
        }

        int whole = wholePieces?.Find(piece) ?? -1;
        if (whole >= 0)
        {
            _ids[0] = wholeIds[whole];
            return 1;
        }

        for (int i = 0; i < length; i++)
        {
            _ids[i] = byteIds[piece[i]];
            _next[i] = i + 1;
            _previous[i] = i - 1;
        }

        for (int i = 0; i + 1 < length; i++)
        {
            AddCandidate(i, i + 1);
        }

        int count = length;
        while (_candidates.TryDequeue(out int left, out ulong priority))
        {
            // An entry is stale if one of its tokens has changed since.
            int right = _next[left];
            if (_ids[left] < 0 || right >= length || pairs.Find(_ids[left], _ids[right], out int result) != (int)(priority >> 32))
            {
                continue;
            }

            _ids[left] = result;
            _ids[right] = -1;
            int following = _next[right];
            _next[left] = following;
            count--;
            if (following < length)
            {
                _previous[following] = left;
                AddCandidate(left, following);
            }

            if (_previous[left] >= 0)
            {
                AddCandidate(_previous[left], left);
            }
        }

        return count;
    }

    private void AddCandidate(int left, int right)
    {
        int rank = pairs.Find(_ids[left], _ids[right], out _);
        if (rank != int.MaxValue)
        {
            _candidates.Enqueue(left, ((ulong)(uint)rank << 32) | (uint)left);
        }
    }
}
