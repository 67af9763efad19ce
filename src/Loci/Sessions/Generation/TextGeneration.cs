using Loci.Data;

namespace Loci.Sessions;

/// <summary>A text that is being written, step by step; <see cref="TextGenerator.Begin"/> begins one.</summary>
public sealed class TextGeneration
{
    private readonly Session _session;
    private readonly Sampler _sampler;
    private readonly StopTextFilter _filter;
    private readonly int _vocabulary;
    private readonly int _endOfText;
    private readonly int _maximum;
    private char[] _text = new char[64];
    private int _length;
    private bool _isPending; // the last token is not read yet

    internal TextGeneration(Session session, Tokenizer tokenizer, Sampler sampler, GenerationOptions options)
    {
        (_session, _sampler, _maximum) = (session, sampler, options.MaximumTokens);
        (_vocabulary, _endOfText) = (tokenizer.VocabularySize, tokenizer.EndOfTextId);
        _filter = new StopTextFilter(tokenizer.CreateDecoder(), options.StopTexts);
    }

    /// <summary>Why the text has ended.</summary>
    public GenerationEnd End { get; private set; }

    /// <summary>Tokens written; the one that ends a text is not one of them.</summary>
    public int TokenCount { get; private set; }

    /// <summary>The last token chosen.</summary>
    public int Token { get; private set; }

    /// <summary>The text that became certain with it; valid until the next step.</summary>
    public ReadOnlySpan<char> Text => _text.AsSpan(0, _length);

    /// <summary>Both, to keep.</summary>
    public TextPiece Current => new(Token, Text.ToString());

    /// <summary>Reads the last token and chooses one more.</summary>
    /// <param name="cancellationToken">Nothing is chosen or read any more once it is cancelled.</param>
    /// <returns>Whether there was one; the last brings the text held back, and may be the end of text.</returns>
    /// <exception cref="LociException">The session's budget is full or its file cannot be written, or the logits are not finite.</exception>
    /// <exception cref="OperationCanceledException">It was cancelled.</exception>
    public bool MoveNext(CancellationToken cancellationToken = default)
    {
        if (End != GenerationEnd.None)
        {
            return false;
        }

        cancellationToken.ThrowIfCancellationRequested();
        Complete();
        Token = _sampler.Next(_session.Logits[.._vocabulary]);
        _length = 0;
        if (Token == _endOfText)
        {
            End = GenerationEnd.EndOfText;
        }
        else
        {
            _isPending = true;
            TokenCount++;
            Show(_filter.Append(Token));
            End = _filter.IsStopped ? GenerationEnd.StopText : TokenCount == _maximum ? GenerationEnd.MaximumTokens : GenerationEnd.None;
        }

        if (End != GenerationEnd.None)
        {
            Show(_filter.Flush());
        }

        return true;
    }

    /// <summary>Lets the session read the last token too, to go on behind it; the end of text is left out.</summary>
    /// <exception cref="LociException">The session's budget is full or its file cannot be written.</exception>
    public void Complete()
    {
        if (_isPending)
        {
            _session.Read(Token);
            _isPending = false;
        }
    }

    private void Show(ReadOnlySpan<char> text)
    {
        if (_length + text.Length > _text.Length)
        {
            Array.Resize(ref _text, 2 * (_length + text.Length));
        }

        text.CopyTo(_text.AsSpan(_length));
        _length += text.Length;
    }
}
