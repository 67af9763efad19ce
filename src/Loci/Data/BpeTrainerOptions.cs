namespace Loci.Data;

/// <summary>What vocabulary <see cref="BpeTrainer"/> learns.</summary>
public sealed record BpeTrainerOptions
{
    /// <summary>The number of tokens, special ones and the 256 bytes included. A small corpus may give fewer.</summary>
    public int VocabularySize { get; init; } = 8192;

    /// <summary>How often a pair must occur to be merged.</summary>
    public long MinimumFrequency { get; init; } = 2;

    /// <summary>Special tokens beside the end of text, in the order of their ids from 1.</summary>
    public IReadOnlyList<string> AdditionalSpecialTokens { get; init; } = [];

    internal void Validate()
    {
        int smallest = 256 + 1 + AdditionalSpecialTokens.Count;
        if (VocabularySize < smallest)
        {
            throw new LociException($"A vocabulary of {VocabularySize} tokens is too small: the 256 bytes and the special tokens need {smallest}.");
        }

        if (MinimumFrequency < 1)
        {
            throw new LociException($"The minimum frequency must be at least 1, not {MinimumFrequency}.");
        }

        HashSet<string> distinct = [Tokenizer.EndOfText];
        foreach (string token in AdditionalSpecialTokens)
        {
            if (string.IsNullOrEmpty(token) || !distinct.Add(token))
            {
                throw new LociException($"The special token \"{token}\" is empty or there twice.");
            }
        }
    }
}

/// <summary>Progress of <see cref="BpeTrainer"/>: first the corpus is counted, then merges are learnt.</summary>
/// <param name="IsMerging">Whether the corpus has been counted.</param>
/// <param name="Done">Bytes counted, or merges learnt.</param>
/// <param name="Total">Bytes or merges in all.</param>
public readonly record struct BpeTrainingProgress(bool IsMerging, long Done, long Total);
