using System.Runtime.CompilerServices;
using Loci.Data;

namespace Loci.Sessions;

/// <summary>
/// Lets a session go on by itself: token after token is chosen, decoded and read. Like its session, it is used by one thread at a time.
/// </summary>
public sealed class TextGenerator
{
    private readonly Session _session;
    private readonly Tokenizer _tokenizer;
    private readonly Sampler _sampler;

    /// <summary>Makes a generator.</summary>
    /// <param name="session">Goes on from what it has read, at least one token.</param>
    /// <param name="tokenizer">The model's tokenizer.</param>
    /// <param name="sampler">Chooses the tokens; none takes the likeliest.</param>
    /// <exception cref="LociException">The tokenizer knows more tokens than the model.</exception>
    public TextGenerator(Session session, Tokenizer tokenizer, Sampler? sampler = null)
    {
        ArgumentNullException.ThrowIfNull(session);
        ArgumentNullException.ThrowIfNull(tokenizer);
        var size = session.Model.Configuration.VocabularySize;
        if (tokenizer.VocabularySize > size)
        {
            throw new LociException($"The tokenizer has {tokenizer.VocabularySize} tokens and the model {size}: use the tokenizer that the model was trained with.");
        }

        (_session, _tokenizer) = (session, tokenizer);
        _sampler = sampler ?? new Sampler(new SamplerOptions { Temperature = 0 });
    }

    /// <summary>Begins a text. Its steps allocate nothing after the first.</summary>
    /// <param name="options">When it ends; none: when the model ends it.</param>
    /// <exception cref="LociException">An option is out of range.</exception>
    public TextGeneration Begin(GenerationOptions? options = null)
    {
        options ??= new GenerationOptions();
        options.Validate();
        return new TextGeneration(_session, _tokenizer, _sampler, options);
    }

    /// <summary>Writes a text, a token at a time. Whoever stops early leaves a session that has read every token handed out.</summary>
    /// <param name="options">When it ends; none: when the model ends it.</param>
    /// <param name="cancellationToken">Ends it before the next token.</param>
    /// <exception cref="LociException">An option is out of range, the session's budget is full or its file cannot be written.</exception>
    /// <exception cref="OperationCanceledException">It was cancelled; the session has read every token handed out.</exception>
    public IEnumerable<TextPiece> Generate(GenerationOptions? options = null, CancellationToken cancellationToken = default)
    {
        return Pieces(Begin(options), cancellationToken);

        static IEnumerable<TextPiece> Pieces(TextGeneration generation, CancellationToken cancellationToken)
        {
            try
            {
                while (generation.MoveNext(cancellationToken))
                {
                    yield return generation.Current;
                }
            }
            finally
            {
                generation.Complete();
            }
        }
    }

    /// <summary>The same, each token computed on the thread pool.</summary>
    /// <param name="options">When it ends; none: when the model ends it.</param>
    /// <param name="cancellationToken">Ends it before the next token.</param>
    /// <exception cref="LociException">An option is out of range, the session's budget is full or its file cannot be written.</exception>
    /// <exception cref="OperationCanceledException">It was cancelled; the session has read every token handed out.</exception>
    public IAsyncEnumerable<TextPiece> GenerateAsync(GenerationOptions? options = null, CancellationToken cancellationToken = default)
    {
        return Pieces(Begin(options), cancellationToken);

        static async IAsyncEnumerable<TextPiece> Pieces(TextGeneration generation, [EnumeratorCancellation] CancellationToken cancellationToken)
        {
            try
            {
                while (await Task.Run(() => generation.MoveNext(cancellationToken), CancellationToken.None).ConfigureAwait(false))
                {
                    yield return generation.Current;
                }
            }
            finally
            {
                await Task.Run(generation.Complete, CancellationToken.None).ConfigureAwait(false);
            }
        }
    }
}
