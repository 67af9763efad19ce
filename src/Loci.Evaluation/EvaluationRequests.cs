namespace Loci.Evaluation;

/// <summary>What a model reads: text, or token ids for tasks that have a vocabulary of their own. A string is one by itself.</summary>
public sealed record EvaluationText
{
    /// <summary>Text.</summary>
    /// <param name="text">The text; may be empty.</param>
    public EvaluationText(string text)
    {
        ArgumentNullException.ThrowIfNull(text);
        Text = text;
    }

    /// <summary>Token ids.</summary>
    /// <param name="tokens">The ids.</param>
    public EvaluationText(ReadOnlyMemory<int> tokens) => Tokens = tokens;

    /// <summary>The text; null where it is given as token ids.</summary>
    public string? Text { get; }

    /// <summary>The token ids, where it is not text.</summary>
    public ReadOnlyMemory<int> Tokens { get; }

    /// <summary>A string as what a model reads.</summary>
    /// <param name="text">The text.</param>
    public static implicit operator EvaluationText(string text) => new(text);
}

/// <summary>Something that is asked of a model.</summary>
public abstract record EvaluationRequest;

/// <summary>How likely is a continuation after a context?</summary>
/// <param name="Context">What comes before; an empty one is the beginning of a document.</param>
/// <param name="Continuation">What is measured; not empty.</param>
public sealed record LogLikelihoodRequest(EvaluationText Context, EvaluationText Continuation) : EvaluationRequest;

/// <summary>How likely is a whole text, every token given all before it from the beginning of the document?</summary>
/// <param name="Text">The text; not empty.</param>
public sealed record RollingRequest(EvaluationText Text) : EvaluationRequest;

/// <summary>What does the model write after a context, always the most likely token?</summary>
/// <param name="Context">What comes before.</param>
/// <param name="Until">Texts that end it; they are not part of what was written. May be empty. The end of the document always ends it.</param>
/// <param name="MaximumTokens">The most tokens to write.</param>
public sealed record GenerationRequest(EvaluationText Context, IReadOnlyList<string> Until, int MaximumTokens) : EvaluationRequest;

/// <summary>What a model gave for a request.</summary>
public abstract record EvaluationResponse;

/// <summary>How likely a continuation is.</summary>
/// <param name="LogProbability">The sum of ln p over its tokens.</param>
/// <param name="IsGreedy">Whether every token of it is the most likely one (a tie is not).</param>
/// <param name="Tokens">Its tokens.</param>
public sealed record LogLikelihood(double LogProbability, bool IsGreedy, int Tokens) : EvaluationResponse;

/// <summary>How likely a text is.</summary>
/// <param name="Losses">-ln p of every token, in nats, from the first one after the beginning of the document.</param>
public sealed record RollingLogLikelihood(IReadOnlyList<float> Losses) : EvaluationResponse
{
    /// <summary>The sum of ln p.</summary>
    public double LogProbability => -Losses.Sum(loss => (double)loss);
}

/// <summary>What a model wrote.</summary>
/// <param name="Text">The text; empty for a model without a tokenizer.</param>
/// <param name="Tokens">Its token ids, with those of the text that ended it.</param>
public sealed record Generation(string Text, IReadOnlyList<int> Tokens) : EvaluationResponse;
