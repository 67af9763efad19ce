using Loci.Data;

namespace Loci.Evaluation.Tasks.Recall;

/// <summary>
/// Makes the rows of multi-query associative recall (Arora et al., 2023, arXiv 2312.04927), as their Zoology does: n pairs of a key and its value, no key and no value twice;
/// then every key once more, as a query, at an even distance from the end of the pairs that is drawn without replacement from a power law. What is to be predicted at a query is the value
/// of its key, and nothing anywhere else. Row i is decided by the seed and i alone. No memory is allocated after construction.
/// </summary>
internal sealed class MultiQueryRecall : ITrainingBatches
{
    private readonly RandomGenerator _random = new(0);
    private readonly ulong _seed;
    private readonly int[] _keys;       // [V/2 - 1], permuted
    private readonly int[] _values;     // [V - V/2], permuted
    private readonly double[] _weights; // [places], of the row at hand; 0 where a query stands
    private long _taken;

    /// <summary>Makes the task.</summary>
    /// <param name="options">Its size.</param>
    /// <param name="seed">Decides the rows: training and measuring take different ones.</param>
    /// <exception cref="LociException">The options are out of range.</exception>
    public MultiQueryRecall(MultiQueryRecallOptions options, ulong seed)
    {
        ArgumentNullException.ThrowIfNull(options);
        Options = options.Validate();
        _seed = seed;
        _keys = new int[(options.VocabularySize / 2) - 1];
        _values = new int[options.VocabularySize - (options.VocabularySize / 2)];
        _weights = new double[options.Length / 2];
    }

    /// <summary>Its size.</summary>
    public MultiQueryRecallOptions Options { get; }

    /// <inheritdoc/>
    public string Name => "The recall task";

    /// <inheritdoc/>
    public int VocabularySize => Options.VocabularySize;

    /// <inheritdoc/>
    public int Length => Options.Length;

    /// <inheritdoc/>
    public long? RowsPerEpoch => null;

    /// <inheritdoc/>
    public long RowsTaken
    {
        get => _taken;
        set
        {
            ArgumentOutOfRangeException.ThrowIfNegative(value);
            _taken = value;
        }
    }

    /// <inheritdoc/>
    public void Next(TokenBatch batch)
    {
        ArgumentNullException.ThrowIfNull(batch);
        if (batch.Length != Length)
        {
            throw new ArgumentException($"The batch has rows of {batch.Length} positions, the recall task of {Length}.", nameof(batch));
        }

        batch.Clear();
        for (var row = 0; row < batch.Rows; row++)
        {
            var number = _taken++;
            _random.Reset(_seed, (ulong)number);
            if (Options.Sizes is { } sizes)
            {
                var available = number >= Options.CurriculumRows ? sizes.Count : 1 + (int)(number * (sizes.Count - 1) / Options.CurriculumRows);
                FillMixed(batch, row, sizes[available == 1 ? 0 : _random.NextInt32(available)]);
                continue;
            }

            var pairs = Options.Pairs[Options.Pairs.Count == 1 ? 0 : _random.NextInt32(Options.Pairs.Count)];
            Fill(batch.Inputs.AsSpan(row * Length, Length), batch.Targets.AsSpan(row * Length, Length), pairs);
            batch.AddSequence(row * Length, pairs);
        }
    }

    private void FillMixed(TokenBatch batch, int row, RecallSize size)
    {
        int position = row * Length, end = position + Length;
        for (; position + size.Length <= end; position += size.Length)
        {
            Fill(batch.Inputs.AsSpan(position, size.Length), batch.Targets.AsSpan(position, size.Length), size.Pairs);
            batch.AddSequence(position, size.Pairs);
        }

        batch.AddPadding(position, 0, end - position);
    }

    private void Fill(Span<int> inputs, Span<int> targets, int pairs)
    {
        inputs.Clear();
        targets.Fill(TokenBatch.Ignored);
        Choose(_keys, 1, pairs);
        Choose(_values, VocabularySize / 2, pairs);
        for (var i = 0; i < pairs; i++)
        {
            inputs[2 * i] = _keys[i];
            inputs[(2 * i) + 1] = _values[i];
        }

        var end = 2 * pairs;
        var places = (inputs.Length - end) / 2;
        var total = 0.0;
        for (var place = 0; place < places; place++)
        {
            _weights[place] = Math.Pow(place + 1, Options.PowerA - 1);
            total += _weights[place];
        }

        for (var i = 0; i < pairs; i++)
        {
            var position = end + (2 * DrawPlace(places, ref total));
            inputs[position] = _keys[i];
            targets[position] = _values[i];
        }

        if (Options.RandomNonQueries)
        {
            foreach (ref var token in inputs[end..])
            {
                token = token == 0 ? _random.NextInt32(VocabularySize) : token;
            }
        }
    }

    /// <summary>Puts a random choice of the consecutive ids from <paramref name="first"/> at the beginning, in random order.</summary>
    private void Choose(int[] ids, int first, int count)
    {
        for (var i = 0; i < ids.Length; i++)
        {
            ids[i] = first + i;
        }

        for (var i = 0; i < count; i++)
        {
            var j = i + _random.NextInt32(ids.Length - i);
            (ids[i], ids[j]) = (ids[j], ids[i]);
        }
    }

    /// <summary>Draws one of the free places by their weights, and takes it.</summary>
    private int DrawPlace(int places, ref double total)
    {
        var rest = _random.NextDouble() * total;
        var drawn = -1;
        for (var place = 0; place < places && rest >= 0; place++)
        {
            if (_weights[place] > 0)
            {
                drawn = place; // the last free one, should rounding leave a rest
                rest -= _weights[place];
            }
        }

        total -= _weights[drawn];
        _weights[drawn] = 0;
        return drawn;
    }
}
