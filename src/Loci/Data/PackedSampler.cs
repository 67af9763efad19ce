namespace Loci.Data;

/// <summary>Where a <see cref="PackedSampler"/> stands.</summary>
/// <param name="Epoch">The passes over the corpus that are complete.</param>
/// <param name="Position">The rows of this pass that have been given out.</param>
internal readonly record struct PackedSamplerState(long Epoch, int Position);

/// <summary>
/// Gives out a corpus as training batches, pass after pass. In each pass every document, begun by the end-of-text token, is laid end to end in a random order; the line is cut
/// into rows of T positions, and the rows come in a random order. At each position the next token of the same document is predicted, end of text after its last; so
/// in each pass every token, and one end of text per document, is predicted exactly once. A document cut by the end of a row goes on as a sequence of its own. The orders depend on
/// seed and pass alone, and a batch may hold the last rows of one pass and the first of the next. No memory is allocated after construction.
/// </summary>
internal sealed class PackedSampler : ITrainingBatches
{
    private readonly TokenizedCorpus _corpus;
    private readonly ulong _seed;
    private readonly RandomGenerator _random = new(0);
    private readonly int[] _documents; // [documents], in the order of this epoch
    private readonly long[] _begins;   // [documents + 1], the positions at which they begin
    private readonly int[] _rows;      // [rows], in the order of this epoch
    private long _orderedEpoch = -1;
    private long _epoch;
    private int _position;

    /// <summary>Creates the sampler at the beginning of the first pass.</summary>
    /// <param name="corpus">The documents.</param>
    /// <param name="length">The positions of a row, T.</param>
    /// <param name="seed">Decides the orders.</param>
    /// <exception cref="ArgumentOutOfRangeException">The length is not positive.</exception>
    public PackedSampler(TokenizedCorpus corpus, int length, ulong seed)
    {
        ArgumentNullException.ThrowIfNull(corpus);
        ArgumentOutOfRangeException.ThrowIfNegativeOrZero(length);
        _corpus = corpus;
        _seed = seed;
        Length = length;
        _documents = new int[corpus.DocumentCount];
        _begins = new long[corpus.DocumentCount + 1];
        PositionsPerEpoch = (long)corpus.TokenCount + corpus.DocumentCount;
        _rows = new int[checked((int)((PositionsPerEpoch + length - 1) / length))];
    }

    /// <inheritdoc/>
    public string Name => _corpus.Name;

    /// <inheritdoc/>
    public int VocabularySize => _corpus.VocabularySize;

    /// <summary>The positions of a row, T.</summary>
    public int Length { get; }

    /// <summary>The rows of a pass. The last one in the line may be padded with ignored targets.</summary>
    public int RowsPerEpoch => _rows.Length;

    /// <summary>The positions of a pass at which something is predicted: its tokens and one end of text per document.</summary>
    public long PositionsPerEpoch { get; }

    /// <summary>The state: read it to save, set it to continue with exactly the batches that would have come.</summary>
    /// <exception cref="ArgumentException">The state is not one of a sampler with this corpus and length.</exception>
    public PackedSamplerState State
    {
        get => new(_epoch, _position);
        set
        {
            if (value.Epoch < 0 || value.Position < 0 || value.Position >= RowsPerEpoch)
            {
                throw new ArgumentException($"Row {value.Position} of epoch {value.Epoch} does not exist: an epoch of this corpus has {RowsPerEpoch} rows of {Length} tokens.", nameof(value));
            }

            (_epoch, _position) = (value.Epoch, value.Position);
        }
    }

    long? ITrainingBatches.RowsPerEpoch => RowsPerEpoch;

    /// <inheritdoc/>
    public long RowsTaken
    {
        get => (_epoch * RowsPerEpoch) + _position;
        set
        {
            ArgumentOutOfRangeException.ThrowIfNegative(value);
            State = new PackedSamplerState(value / RowsPerEpoch, (int)(value % RowsPerEpoch));
        }
    }

    /// <summary>Fills a batch with the next rows.</summary>
    /// <param name="batch">The batch; its rows have this sampler's length.</param>
    /// <exception cref="ArgumentException">The batch has rows of another length.</exception>
    public void Next(TokenBatch batch)
    {
        ArgumentNullException.ThrowIfNull(batch);
        if (batch.Length != Length)
        {
            throw new ArgumentException($"The batch has rows of {batch.Length} positions, the sampler of {Length}.", nameof(batch));
        }

        batch.Clear();
        for (int row = 0; row < batch.Rows; row++)
        {
            Order();
            Fill(batch, row * Length, _rows[_position]);
            if (++_position == RowsPerEpoch)
            {
                _position = 0;
                _epoch++;
            }
        }
    }

    private void Fill(TokenBatch batch, int start, int row)
    {
        long position = (long)row * Length;
        int place = Array.BinarySearch(_begins, position);
        place = place >= 0 ? place : ~place - 1; // the document that holds the position
        int filled = 0;
        while (filled < Length && place < _documents.Length)
        {
            ReadOnlySpan<int> document = _corpus.GetDocument(_documents[place]);
            int from = (int)(position + filled - _begins[place]);
            int count = Math.Min(Length - filled, document.Length + 1 - from);
            batch.AddSequence(start + filled, document, _corpus.EndOfTextId, from, count);
            filled += count;
            place++;
        }

        batch.AddPadding(start + filled, _corpus.EndOfTextId, Length - filled);
    }

    private void Order()
    {
        if (_orderedEpoch == _epoch)
        {
            return;
        }

        // Both orders start from the natural one, so that they depend on seed and epoch alone.
        _random.Reset(_seed, (ulong)_epoch);
        Shuffle(_documents);
        Shuffle(_rows);
        for (int i = 0; i < _documents.Length; i++)
        {
            _begins[i + 1] = _begins[i] + _corpus.GetDocument(_documents[i]).Length + 1;
        }

        _orderedEpoch = _epoch;
    }

    private void Shuffle(int[] order)
    {
        for (int i = 0; i < order.Length; i++)
        {
            order[i] = i;
        }

        _random.Shuffle(order);
    }
}
