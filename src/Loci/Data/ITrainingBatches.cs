namespace Loci.Data;

/// <summary>
/// Where a training takes its batches from: text, or a task that makes its examples. What a row holds depends on the source's seed and the row's number alone, so the number of
/// rows given out is the whole state.
/// </summary>
public interface ITrainingBatches
{
    /// <summary>What the source is called in messages.</summary>
    string Name { get; }

    /// <summary>Token ids are below this.</summary>
    int VocabularySize { get; }

    /// <summary>The positions of a row, T.</summary>
    int Length { get; }

    /// <summary>The rows of a pass over the source; null where it has no end.</summary>
    long? RowsPerEpoch { get; }

    /// <summary>The rows given out since the beginning: read it to save, set it to continue with exactly the batches that would have come.</summary>
    /// <exception cref="ArgumentOutOfRangeException">It is negative.</exception>
    long RowsTaken { get; set; }

    /// <summary>Fills a batch with the next rows. Allocates nothing.</summary>
    /// <param name="batch">The batch; its rows have this length.</param>
    /// <exception cref="ArgumentException">The batch has rows of another length.</exception>
    void Next(TokenBatch batch);
}
