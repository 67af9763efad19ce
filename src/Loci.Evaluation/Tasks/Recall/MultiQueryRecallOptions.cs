namespace Loci.Evaluation.Tasks.Recall;

/// <summary>The size of a recall sequence.</summary>
/// <param name="Length">Its tokens: even, and at least four for every pair.</param>
/// <param name="Pairs">Its pairs of key and value.</param>
public readonly record struct RecallSize(int Length, int Pairs);

/// <summary>The size of a multi-query associative recall task; the defaults are those of Zoology (Arora et al., 2023, arXiv 2312.04927).</summary>
public sealed record MultiQueryRecallOptions
{
    /// <summary>V, the token ids: 0 is blank, [1, V/2) are keys and [V/2, V) values; enough of both for all pairs. (Zoology asks for more than the length of a row.)</summary>
    public int VocabularySize { get; init; } = 8192;

    /// <summary>T, the tokens of a row: even, and at least four for every pair.</summary>
    public int Length { get; init; } = 64;

    /// <summary>Pairs of key and value in a row; where several numbers are given, every row takes one of them at random.</summary>
    public IReadOnlyList<int> Pairs { get; init; } = [8];

    /// <summary>Sizes of sequences to be mixed: every row takes one at random and holds as many sequences of it as fit, each with a memory of its own. Where there are any, <see cref="Pairs"/> is ignored.</summary>
    public IReadOnlyList<RecallSize>? Sizes { get; init; }

    /// <summary>Rows over which <see cref="Sizes"/> come in, in their order: the first rows take the first size, later ones any of those that are in. 0 mixes all from the start.</summary>
    public int CurriculumRows { get; init; }

    /// <summary>The exponent of the power law of the queries' places: place i, from 1, has the weight i^(a - 1). 1 is uniform, 0.01 favours early places.</summary>
    public double PowerA { get; init; } = 0.01;

    /// <summary>Whether the positions after the pairs that hold no query are random tokens of the whole vocabulary rather than blank.</summary>
    public bool RandomNonQueries { get; init; } = true;

    /// <summary>Checks that the numbers fit together.</summary>
    /// <returns>These options.</returns>
    /// <exception cref="LociException">They do not; the message says what to change.</exception>
    public MultiQueryRecallOptions Validate()
    {
        Require(Sizes is not { Count: 0 }, "The recall task's list of sizes is empty: give sizes of a length and pairs, or leave it out.");
        if (Sizes is not null)
        {
            foreach (var size in Sizes)
            {
                Require(size.Length <= Length, $"Sequences of {size.Length} tokens do not fit into rows of {Length}: use a length of at least that.");
                ValidateSize(size.Length, size.Pairs);
            }
        }
        else
        {
            Require(Pairs is { Count: > 0 }, "The recall task has no number of pairs: give at least one, such as 8.");
            foreach (var pairs in Pairs)
            {
                ValidateSize(Length, pairs);
            }
        }

        Require(CurriculumRows >= 0, $"The sizes of the recall task come in over {CurriculumRows} rows: use 0 or more.");
        Require(PowerA > 0 && double.IsFinite(PowerA), $"The power of the queries' places is {PowerA}: use a positive number, such as 0.01, or 1 for uniform places.");
        return this;
    }

    /// <summary>All sizes of sequences that are measured.</summary>
    internal IReadOnlyList<RecallSize> MeasuredSizes => [.. (Sizes ?? Pairs.Select(pairs => new RecallSize(Length, pairs))).Distinct().OrderBy(size => size.Length).ThenBy(size => size.Pairs)];

    private void ValidateSize(int length, int pairs)
    {
        Require(length >= 4 && length % 2 == 0, $"A row of {length} tokens cannot hold pairs and queries: use an even length of at least 4.");
        Require(pairs >= 1, $"A row of {pairs} pairs is empty: use at least 1.");
        Require(4L * pairs <= length, $"A row of {length} tokens cannot hold {pairs} pairs and as many queries: use a length of at least {4L * pairs}, or fewer pairs.");
        Require(pairs < VocabularySize / 2, $"A vocabulary of {VocabularySize} tokens has {(VocabularySize / 2) - 1} keys, too few for {pairs} pairs: use a larger one.");
    }

    private static void Require(bool condition, string message)
    {
        if (!condition)
        {
            throw new LociException(message);
        }
    }
}
