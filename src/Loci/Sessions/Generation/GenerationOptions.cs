namespace Loci.Sessions;

/// <summary>When a text ends that a model writes.</summary>
public sealed record GenerationOptions
{
    /// <summary>Tokens at most, 1 or more.</summary>
    public int MaximumTokens { get; init; } = int.MaxValue;

    /// <summary>Texts of which the first to come ends it; they are not part of it.</summary>
    public IReadOnlyList<string> StopTexts { get; init; } = [];

    internal void Validate()
    {
        if (MaximumTokens < 1)
        {
            throw new LociException($"A text of at most {MaximumTokens} tokens cannot be written: use at least 1.");
        }
    }
}

/// <summary>Why a text has ended.</summary>
public enum GenerationEnd
{
    /// <summary>It has not.</summary>
    None,

    /// <summary>The model chose its end-of-text token.</summary>
    EndOfText,

    /// <summary>One of the texts to stop at came.</summary>
    StopText,

    /// <summary>It has as many tokens as it may.</summary>
    MaximumTokens,
}

/// <summary>What one token added to a text.</summary>
/// <param name="Token">Its id.</param>
/// <param name="Text">The text that is certain with it: empty while a character, or what may be a text to stop at, is incomplete.</param>
public readonly record struct TextPiece(int Token, string Text);
