using System.Collections.Concurrent;
using System.Runtime.InteropServices;
using System.Text;

namespace Loci.Data;

/// <summary>
/// Learns the merges of byte-level byte-pair encoding (Sennrich et al., 2016) from a corpus. Distinct pre-tokens are counted on all cores; then the pair of neighbours
/// that occurs most often (overlapping occurrences counted, as often as their pre-tokens occur) is merged everywhere, from left to right, and
/// so on. Of pairs that occur equally often the one with the smaller left id comes first, then the smaller right id, as in Hugging Face's
/// trainer. Ids are numbered as there: special tokens, the 256 bytes in the order of their characters in files, then merges. The result depends on the corpus and options alone.
/// </summary>
public static class BpeTrainer
{
    private const int PartLength = 1 << 20;

    /// <summary>Learns a tokenizer.</summary>
    /// <param name="corpus">The text to learn from.</param>
    /// <param name="options">What vocabulary to learn.</param>
    /// <param name="progress">Told after about every megabyte of text and every 64 merges.</param>
    /// <param name="cancellationToken">Stops the work.</param>
    /// <exception cref="LociException">The corpus cannot be read, or the options ask for the impossible.</exception>
    public static BpeTokenizer Train(Corpus corpus, BpeTrainerOptions options, IProgress<BpeTrainingProgress>? progress = null, CancellationToken cancellationToken = default)
    {
        ArgumentNullException.ThrowIfNull(corpus);
        ArgumentNullException.ThrowIfNull(options);
        options.Validate();
        PieceCounter counts = Count(corpus, progress, cancellationToken);

        List<AddedToken> special = [new(0, Tokenizer.EndOfText)];
        foreach (string content in options.AdditionalSpecialTokens)
        {
            special.Add(new AddedToken(special.Count, content));
        }

        List<byte[]> vocabulary = [.. special.Select(token => Encoding.UTF8.GetBytes(token.Content))];
        int[] byteIds = new int[256];
        foreach (byte value in ByteAlphabet.BytesInOrder)
        {
            byteIds[value] = vocabulary.Count;
            vocabulary.Add([value]);
        }

        Merger merger = new(counts, byteIds);
        List<BpeMerge> merges = [];
        int total = options.VocabularySize - vocabulary.Count;
        while (merges.Count < total && merger.TryTakeMostFrequent(options.MinimumFrequency, out int left, out int right))
        {
            cancellationToken.ThrowIfCancellationRequested();
            byte[] bytes = [.. vocabulary[left], .. vocabulary[right]];
            if (special.Any(token => vocabulary[token.Id].AsSpan().SequenceEqual(bytes)))
            {
                // Its text would become the special token's in the file; it stays two tokens.
                continue;
            }

            merges.Add(new BpeMerge(left, right, vocabulary.Count));
            merger.Merge(left, right, vocabulary.Count);
            vocabulary.Add(bytes);
            if (merges.Count % 64 == 0)
            {
                progress?.Report(new BpeTrainingProgress(true, merges.Count, total));
            }
        }

        progress?.Report(new BpeTrainingProgress(true, merges.Count, merges.Count));
        return new BpeTokenizer(vocabulary, merges, special, endOfTextId: 0);
    }

    private static PieceCounter Count(Corpus corpus, IProgress<BpeTrainingProgress>? progress, CancellationToken cancellationToken)
    {
        // One counter for each thread that works at once. Their sum, in the order of the pieces' bytes, does not depend on who counted what.
        ConcurrentBag<PieceCounter> counters = [];
        TextPart.ProcessAll(
            corpus,
            PartLength,
            part =>
            {
                PieceCounter counter = counters.TryTake(out PieceCounter? free) ? free : new PieceCounter();
                counter.AddText(part.Utf8.Span);
                counters.Add(counter);
                return true;
            },
            (part, _) => progress?.Report(new BpeTrainingProgress(false, part.SourcePosition, corpus.SourceLength)),
            cancellationToken);

        PieceCounter sum = new();
        foreach (PieceCounter counter in counters)
        {
            sum.AddAll(counter);
        }

        progress?.Report(new BpeTrainingProgress(false, corpus.SourceLength, corpus.SourceLength));
        return sum;
    }

    /// <summary>How often each pre-token occurs.</summary>
    private sealed class PieceCounter
    {
        private readonly ByteKeyTable _pieces = new();
        private long[] _counts = new long[1024];

        public int Distinct => _pieces.Count;

        public ReadOnlySpan<byte> GetPiece(int index) => _pieces[index];

        public long GetCount(int index) => _counts[index];

        public void AddText(ReadOnlySpan<byte> utf8)
        {
            for (int begin = 0; begin < utf8.Length;)
            {
                int end = Gpt2PreTokenizer.FindEnd(utf8, begin);
                Add(utf8[begin..end], 1);
                begin = end;
            }
        }

        public void AddAll(PieceCounter other)
        {
            for (int i = 0; i < other.Distinct; i++)
            {
                Add(other.GetPiece(i), other.GetCount(i));
            }
        }

        private void Add(ReadOnlySpan<byte> piece, long count)
        {
            int index = _pieces.GetOrAdd(piece);
            if (index == _counts.Length)
            {
                Array.Resize(ref _counts, index * 2);
            }

            _counts[index] += count;
        }
    }

    /// <summary>
    /// All distinct pre-tokens as tokens, how often each pair of neighbours occurs in them, and in which. A merge touches only the pre-tokens that hold the pair. The order
    /// of pre-tokens does not matter: counts are sums.
    /// </summary>
    private sealed class Merger
    {
        private readonly int[] _tokens; // of all pre-tokens, each from its start; shrinks in place
        private readonly int[] _starts;
        private readonly int[] _lengths;
        private readonly long[] _weights;
        private readonly Dictionary<ulong, int> _pairIndexes = [];
        private readonly List<Pair> _pairs = [];
        private readonly List<int> _grown = []; // pairs whose count a merge raised
        private readonly PriorityQueue<int, Candidate> _candidates = new();

        // The pre-tokens of each pair: linked lists through one array, whose free places are a list too.
        private Holder[] _holders = new Holder[1 << 16];
        private int _holdersUsed;
        private int _freeHolder = -1;

        public Merger(PieceCounter pieces, int[] byteIds)
        {
            int count = pieces.Distinct;
            _starts = new int[count];
            _lengths = new int[count];
            _weights = new long[count];
            long total = 0;
            for (int i = 0; i < count; i++)
            {
                _starts[i] = checked((int)total);
                _lengths[i] = pieces.GetPiece(i).Length;
                _weights[i] = pieces.GetCount(i);
                total += _lengths[i];
            }

            _tokens = new int[total];
            for (int i = 0; i < count; i++)
            {
                ReadOnlySpan<byte> piece = pieces.GetPiece(i);
                Span<int> tokens = _tokens.AsSpan(_starts[i], piece.Length);
                for (int j = 0; j < piece.Length; j++)
                {
                    tokens[j] = byteIds[piece[j]];
                }

                for (int j = 1; j < tokens.Length; j++)
                {
                    Raise(tokens[j - 1], tokens[j], i, _weights[i]);
                }
            }

            OfferGrown();
        }

        /// <summary>Takes the most frequent pair that has not been taken before.</summary>
        public bool TryTakeMostFrequent(long minimum, out int left, out int right)
        {
            while (_candidates.TryDequeue(out int index, out Candidate candidate) && candidate.Count >= minimum)
            {
                long count = _pairs[index].Count;
                if (count == candidate.Count)
                {
                    (left, right) = Split(candidate.Key);
                    return true;
                }

                // The count has sunk since, so the pair waits for its turn. (Counts that rose were offered anew.)
                _candidates.Enqueue(index, candidate with { Count = count });
            }

            (left, right) = (-1, -1);
            return false;
        }

        /// <summary>Replaces a pair everywhere, from left to right.</summary>
        public void Merge(int left, int right, int result)
        {
            int pairIndex = _pairIndexes[Join(left, right)];
            int holder = _pairs[pairIndex].FirstHolder;
            while (holder >= 0)
            {
                MergeIn(_holders[holder].Piece, left, right, result);
                int next = _holders[holder].Next;
                _holders[holder].Next = _freeHolder;
                _freeHolder = holder;
                holder = next;
            }

            ref Pair pair = ref CollectionsMarshal.AsSpan(_pairs)[pairIndex];
            pair.FirstHolder = -1;
            OfferGrown();
        }

        private void MergeIn(int piece, int left, int right, int result)
        {
            Span<int> tokens = _tokens.AsSpan(_starts[piece], _lengths[piece]);
            long weight = _weights[piece];
            int written = 0;
            for (int i = 0; i < tokens.Length; i++)
            {
                if (i + 1 == tokens.Length || tokens[i] != left || tokens[i + 1] != right)
                {
                    tokens[written++] = tokens[i];
                    continue;
                }

                if (written > 0)
                {
                    Lower(tokens[written - 1], left, weight);
                    Raise(tokens[written - 1], result, piece, weight);
                }

                if (i + 2 < tokens.Length)
                {
                    Lower(right, tokens[i + 2], weight);
                    Raise(result, tokens[i + 2], piece, weight);
                }

                Lower(left, right, weight);
                tokens[written++] = result;
                i++;
            }

            _lengths[piece] = written;
        }

        private void Lower(int left, int right, long weight) =>
            CollectionsMarshal.AsSpan(_pairs)[_pairIndexes[Join(left, right)]].Count -= weight;

        private void Raise(int left, int right, int piece, long weight)
        {
            ref int index = ref CollectionsMarshal.GetValueRefOrAddDefault(_pairIndexes, Join(left, right), out bool exists);
            if (!exists)
            {
                index = _pairs.Count;
                _pairs.Add(new Pair { Key = Join(left, right), FirstHolder = -1 });
            }

            ref Pair pair = ref CollectionsMarshal.AsSpan(_pairs)[index];
            pair.Count += weight;
            if (!pair.IsGrown)
            {
                pair.IsGrown = true;
                _grown.Add(index);
            }

            // Pieces are worked on one at a time, so one that is there already is the first.
            if (pair.FirstHolder < 0 || _holders[pair.FirstHolder].Piece != piece)
            {
                int place = _freeHolder;
                if (place >= 0)
                {
                    _freeHolder = _holders[place].Next;
                }
                else
                {
                    if (_holdersUsed == _holders.Length)
                    {
                        Array.Resize(ref _holders, (int)Math.Min(Array.MaxLength, _holders.Length * 2L));
                    }

                    place = _holdersUsed++;
                }

                _holders[place] = new Holder { Piece = piece, Next = pair.FirstHolder };
                pair.FirstHolder = place;
            }
        }

        private void OfferGrown()
        {
            Span<Pair> pairs = CollectionsMarshal.AsSpan(_pairs);
            foreach (int index in _grown)
            {
                pairs[index].IsGrown = false;
                if (pairs[index].Count > 0)
                {
                    _candidates.Enqueue(index, new Candidate(pairs[index].Count, pairs[index].Key));
                }
            }

            _grown.Clear();
        }

        private static ulong Join(int left, int right) => ((ulong)(uint)left << 32) | (uint)right;

        private static (int Left, int Right) Split(ulong key) => ((int)(key >> 32), (int)key);

        private struct Pair
        {
            public ulong Key;
            public long Count;
            public int FirstHolder;
            public bool IsGrown;
        }

        private struct Holder
        {
            public int Piece;
            public int Next;
        }

        /// <summary>Orders pairs: the most frequent first, then the smaller ids.</summary>
        private readonly record struct Candidate(long Count, ulong Key) : IComparable<Candidate>
        {
            public int CompareTo(Candidate other) => Count != other.Count ? other.Count.CompareTo(Count) : Key.CompareTo(other.Key);
        }
    }
}
