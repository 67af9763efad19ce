namespace Loci.Evaluation.Recall;

/// <summary>The size of a multi-query associative recall task; the defaults are those of Zoology (Arora et al., 2023, arXiv 2312.04927).</summary>
public sealed record MultiQueryRecallOptions
{
    /// <summary>V, the token ids: 0 is blank, [1, V/2) are keys and [V/2, V) values. More than the length of a row.</summary>
    public int VocabularySize { get; init; } = 8192;

    /// <summary>T, the tokens of a row: even, and at least four for every pair.</summary>
    public int Length { get; init; } = 64;

    /// <summary>Pairs of key and value in a row; where several numbers are given, every row takes one of them at random.</summary>
    public IReadOnlyList<int> Pairs { get; init; } = [8];

    /// <summary>The exponent of the power law of the queries' places: place i, from 1, has the weight i^(a - 1). 1 is uniform, 0.01 favours early places.</summary>
    public double PowerA { get; init; } = 0.01;

    /// <summary>Whether the positions after the pairs that hold no query are random tokens of the whole vocabulary rather than blank.</summary>
    public bool RandomNonQueries { get; init; } = true;

    /// <summary>Checks that the numbers fit together.</summary>
    /// <returns>These options.</returns>
    /// <exception cref="LociException">They do not; the message says what to change.</exception>
    public MultiQueryRecallOptions Validate()
    {
        Require(Length >= 4 && Length % 2 == 0, $"A row of {Length} tokens cannot hold pairs and queries: use an even length of at least 4.");
        Require(VocabularySize > Length, $"A vocabulary of {VocabularySize} tokens is too small for rows of {Length}: use more tokens than a row has.");
        Require(Pairs is { Count: > 0 }, "The recall task has no number of pairs: give at least one, such as 8.");
        foreach (var pairs in Pairs)
        {
            Require(pairs >= 1, $"A row of {pairs} pairs is empty: use at least 1.");
            Require(4L * pairs <= Length, $"A row of {Length} tokens cannot hold {pairs} pairs and as many queries: use a length of at least {4L * pairs}, or fewer pairs.");
            Require(pairs < VocabularySize / 2, $"A vocabulary of {VocabularySize} tokens has {(VocabularySize / 2) - 1} keys, too few for {pairs} pairs: use a larger one.");
        }

        Require(PowerA > 0 && double.IsFinite(PowerA), $"The power of the queries' places is {PowerA}: use a positive number, such as 0.01, or 1 for uniform places.");
        return this;
    }

    private static void Require(bool condition, string message)
    {
        if (!condition)
        {
            throw new LociException(message);
        }
    }
}
