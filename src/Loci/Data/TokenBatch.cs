namespace Loci.Data;

/// <summary>
/// Rows of tokens for one step, with what is to be predicted at each. The memory is made once and filled again and again.
/// </summary>
public sealed class TokenBatch
{
    private readonly int[] _sequenceStarts;

    /// <summary>The target of a position at which nothing is predicted.</summary>
    public const int Ignored = -1;

    /// <summary>Makes a batch.</summary>
    /// <param name="rows">The number of rows, B.</param>
    /// <param name="length">The positions of a row, T.</param>
    /// <exception cref="ArgumentOutOfRangeException">A size is not positive.</exception>
    public TokenBatch(int rows, int length)
    {
        ArgumentOutOfRangeException.ThrowIfNegativeOrZero(rows);
        ArgumentOutOfRangeException.ThrowIfNegativeOrZero(length);
        Rows = rows;
        Length = length;
        Inputs = new int[checked(rows * length)];
        Targets = new int[rows * length];
        _sequenceStarts = new int[rows * length];
    }

    /// <summary>The number of rows, B.</summary>
    public int Rows { get; }

    /// <summary>The positions of a row, T.</summary>
    public int Length { get; }

    /// <summary>The token at each position. [B * T]</summary>
    public int[] Inputs { get; }

    /// <summary>The token to predict at each position, or <see cref="Ignored"/>. [B * T]</summary>
    public int[] Targets { get; }

    /// <summary>The positions in [0, B * T), ascending, at which a sequence begins and memory starts anew: every multiple of T, and each beginning of a document.</summary>
    public ReadOnlySpan<int> SequenceStarts => _sequenceStarts.AsSpan(0, SequenceCount);

    /// <summary>The number of sequences.</summary>
    public int SequenceCount { get; private set; }

    /// <summary>The number of positions at which something is predicted.</summary>
    public int PredictedCount { get; private set; }

    /// <summary>Forgets all sequences; what stands in the rows stays until it is overwritten.</summary>
    public void Clear()
    {
        SequenceCount = 0;
        PredictedCount = 0;
    }

    /// <summary>
    /// Writes positions [<paramref name="from"/>, <paramref name="from"/> + <paramref name="count"/>) of a document of n tokens as a sequence of its own. A document has n + 1
    /// positions: the end-of-text token, then its tokens; at each the next token is predicted, and end of text at the last.
    /// </summary>
    internal void AddSequence(int position, ReadOnlySpan<int> document, int endOfText, int from, int count)
    {
        _sequenceStarts[SequenceCount++] = position;
        PredictedCount += count;
        Span<int> inputs = Inputs.AsSpan(position, count);
        Span<int> targets = Targets.AsSpan(position, count);
        int first = 0;
        if (from == 0)
        {
            inputs[0] = endOfText;
            first = 1;
        }

        document.Slice(from + first - 1, count - first).CopyTo(inputs[first..]);
        int fromDocument = Math.Min(count, document.Length - from);
        document.Slice(from, fromDocument).CopyTo(targets);
        if (fromDocument < count)
        {
            targets[fromDocument] = endOfText;
        }
    }

    /// <summary>Begins a sequence whose inputs and targets the caller writes.</summary>
    /// <param name="position">Where it begins in <see cref="Inputs"/>; sequences are added in order, and each row begins one.</param>
    /// <param name="predicted">At how many of its positions something is predicted: the others have the target <see cref="Ignored"/>.</param>
    /// <exception cref="ArgumentOutOfRangeException">The position does not lie behind the last sequence's.</exception>
    public void AddSequence(int position, int predicted)
    {
        Require(position, 1);
        ArgumentOutOfRangeException.ThrowIfNegative(predicted);
        _sequenceStarts[SequenceCount++] = position;
        PredictedCount += predicted;
    }

    /// <summary>Writes a sequence at which nothing is predicted.</summary>
    /// <param name="position">Where it begins.</param>
    /// <param name="endOfText">The token that it is made of.</param>
    /// <param name="count">Its positions; 0 adds none.</param>
    /// <exception cref="ArgumentOutOfRangeException">The batch has no such positions behind the last sequence's begin.</exception>
    public void AddPadding(int position, int endOfText, int count)
    {
        ArgumentOutOfRangeException.ThrowIfNegative(count);
        if (count > 0)
        {
            Require(position, count);
            _sequenceStarts[SequenceCount++] = position;
            Inputs.AsSpan(position, count).Fill(endOfText);
            Targets.AsSpan(position, count).Fill(Ignored);
        }
    }

    private void Require(int position, int count)
    {
        ArgumentOutOfRangeException.ThrowIfLessThan(position, SequenceCount == 0 ? 0 : _sequenceStarts[SequenceCount - 1] + 1);
        ArgumentOutOfRangeException.ThrowIfGreaterThan(position, Inputs.Length - count);
    }
}
