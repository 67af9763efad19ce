using Loci.Data;

namespace Loci.Evaluation;

/// <summary>Turns what a task asks into token ids, as the lm-evaluation-harness does.</summary>
/// <param name="name">The model's name, for messages.</param>
/// <param name="tokenizer">The model's tokenizer; null for one that only knows token ids.</param>
/// <param name="vocabularySize">Token ids are below this.</param>
internal sealed class RequestEncoder(string name, Tokenizer? tokenizer, int vocabularySize)
{
    private string? _text;
    private int[] _tokens = [];

    /// <summary>Context and continuation of a request.</summary>
    /// <exception cref="LociException">The request is text and the model has no tokenizer, or its token ids are not of the vocabulary.</exception>
    /// <exception cref="ArgumentException">There is nothing before the first token to predict it from, or nothing to predict.</exception>
    public (int[] Context, int[] Continuation) Encode(LogLikelihoodRequest request)
    {
        var (context, continuation) = request is { Context.Text: { } before, Continuation.Text: { } text } ? Split(before, text) : (Begin(request.Context), Plain(request.Continuation));
        return continuation.Length == 0 ? throw new ArgumentException("A continuation is empty, so that there is nothing to measure.", nameof(request)) : (RequireBeginning(context), continuation);
    }

    /// <summary>A whole text behind the beginning of the document, which is its own first token where it is given as token ids.</summary>
    public int[] Encode(RollingRequest request) => RequireBeginning(Begin(request.Text));

    /// <summary>A context to go on from.</summary>
    public int[] Encode(GenerationRequest request) => RequireBeginning(Begin(request.Context));

    /// <summary>
    /// Context and continuation are encoded as one text, so that tokens at the seam are those of the running text; the continuation's are what is beyond as many tokens as the context has by itself.
    /// White space at the end of the context belongs to the continuation, whose first word it is a part of in most vocabularies.
    /// </summary>
    private (int[] Context, int[] Continuation) Split(string context, string continuation)
    {
        var end = context.AsSpan().TrimEnd().Length;
        var before = context[..end];
        var after = context[end..] + continuation;
        var alone = EncodeText(before);
        var whole = Require().Encode(before + after);
        var continued = whole.Length > alone.Length ? whole[alone.Length..] : Require().Encode(after); // a token may have grown over the whole continuation
        return (Behind(alone), continued);
    }

    /// <summary>A text behind an end-of-text token, which begins every document in training; token ids are as they are.</summary>
    private int[] Begin(EvaluationText text) => text.Text is { } characters ? Behind(EncodeText(characters)) : Plain(text);

    private int[] Plain(EvaluationText text)
    {
        if (text.Text is { } characters)
        {
            return EncodeText(characters);
        }

        foreach (var token in text.Tokens.Span)
        {
            if ((uint)token >= (uint)vocabularySize)
            {
                throw new LociException($"A task asks for token {token}, but the vocabulary of {name} has the ids 0 to {vocabularySize - 1}: use a model with the task's vocabulary, or set the task's to the model's.");
            }
        }

        return text.Tokens.ToArray();
    }

    private int[] Behind(int[] tokens) => [Require().EndOfTextId, .. tokens];

    // The choices of a question share a context.
    private int[] EncodeText(string text)
    {
        if (text != _text)
        {
            _tokens = Require().Encode(text);
            _text = text;
        }

        return _tokens;
    }

    private Tokenizer Require() =>
        tokenizer ?? throw new LociException($"The model {name} has no tokenizer, so that it cannot read text: use a task of token ids, such as mqar, or put the tokenizer.json it was trained with in its folder.");

    private static int[] RequireBeginning(int[] tokens) =>
        tokens.Length > 0 ? tokens : throw new ArgumentException("Token ids need at least one to predict the next from: give the beginning of the document as one.", nameof(tokens));
}
