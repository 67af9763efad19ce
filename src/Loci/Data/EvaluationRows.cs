namespace Loci.Data;

/// <summary>
/// Gives out a corpus once, in order, for evaluation: each document, begun by the end-of-text token, is cut into windows of T positions, and every token, and one end of
/// text per document, is predicted exactly once. A window is a sequence of its own; windows shorter than T share a row while they fit, and what is left of a row is padding.
/// </summary>
internal sealed class EvaluationRows
{
    private readonly TokenizedCorpus _corpus;
    private int _document;
    private int _from;

    /// <summary>Creates the rows.</summary>
    /// <param name="corpus">The documents.</param>
    /// <param name="length">The positions of a row, T.</param>
    /// <exception cref="ArgumentOutOfRangeException">The length is not positive.</exception>
    public EvaluationRows(TokenizedCorpus corpus, int length)
    {
        ArgumentNullException.ThrowIfNull(corpus);
        ArgumentOutOfRangeException.ThrowIfNegativeOrZero(length);
        _corpus = corpus;
        Length = length;
    }

    /// <summary>The positions of a row, T.</summary>
    public int Length { get; }

    /// <summary>The positions at which something is predicted, in all: the tokens and one end of text per document.</summary>
    public long PredictedCount => (long)_corpus.TokenCount + _corpus.DocumentCount;

    /// <summary>Returns to the first document.</summary>
    public void Reset() => (_document, _from) = (0, 0);

    /// <summary>Fills a batch with the next rows; rows after the last are padding.</summary>
    /// <param name="batch">The batch; its rows have this length.</param>
    /// <returns>Whether the batch predicts anything; false at the end.</returns>
    /// <exception cref="ArgumentException">The batch has rows of another length.</exception>
    public bool Next(TokenBatch batch)
    {
        ArgumentNullException.ThrowIfNull(batch);
        if (batch.Length != Length)
        {
            throw new ArgumentException($"The batch has rows of {batch.Length} positions, the evaluation of {Length}.", nameof(batch));
        }

        batch.Clear();
        for (int row = 0; row < batch.Rows; row++)
        {
            int filled = 0;
            while (_document < _corpus.DocumentCount)
            {
                ReadOnlySpan<int> document = _corpus.GetDocument(_document);
                int count = Math.Min(Length, document.Length + 1 - _from);
                if (count > Length - filled)
                {
                    break;
                }

                batch.AddSequence((row * Length) + filled, document, _corpus.EndOfTextId, _from, count);
                filled += count;
                _from += count;
                if (_from > document.Length)
                {
                    _document++;
                    _from = 0;
                }
            }

            batch.AddPadding((row * Length) + filled, _corpus.EndOfTextId, Length - filled);
        }

        return batch.PredictedCount > 0;
    }
}
