using System.Text;
using Loci.Data;
using Loci.Layers;
using Loci.Models;
using Loci.Sessions;

namespace Loci.Evaluation;

/// <summary>
/// A language model as tasks see it. Everything is read by sessions, so that caches after training and cached states in fewer bits can be measured; what contexts begin with in common is read once,
/// and short continuations and generated tokens of several requests share their matrix products. Neither changes a bit of the results.
/// </summary>
/// <remarks>Must be used by one thread at a time.</remarks>
public sealed class LanguageEvaluationModel : IEvaluationModel
{
    private const int PieceLength = 256; // tokens between looks at the cancellation
    private const int MostTogether = 32;
    private const int MostTokensTogether = 256;

    private readonly SessionOptions _options;
    private readonly RequestEncoder _encoder;

    /// <summary>Takes a model.</summary>
    /// <param name="model">The model; it is not disposed.</param>
    /// <param name="tokenizer">Its tokenizer; null for a model of token ids.</param>
    /// <param name="name">What it is called in results.</param>
    /// <param name="options">How its memory is kept; null takes the defaults.</param>
    /// <exception cref="LociException">The options do not go with the model.</exception>
    public LanguageEvaluationModel(LanguageModel model, Tokenizer? tokenizer, string name, SessionOptions? options = null)
    {
        ArgumentNullException.ThrowIfNull(model);
        ArgumentException.ThrowIfNullOrEmpty(name);
        Model = model;
        Tokenizer = tokenizer;
        Name = name;
        _options = (options ?? new SessionOptions()) with { KeepsReturns = false };
        _encoder = new RequestEncoder(name, tokenizer, model.Configuration.VocabularySize);
        model.CreateSession(_options).Dispose();
    }

    /// <summary>The model.</summary>
    public LanguageModel Model { get; }

    /// <inheritdoc/>
    public string Name { get; }

    /// <inheritdoc/>
    public Tokenizer? Tokenizer { get; }

    /// <inheritdoc/>
    public int VocabularySize => Model.Configuration.VocabularySize;

    /// <summary>Tokens read and written so far.</summary>
    public long TokensRead { get; private set; }

    /// <summary>Is told <see cref="TokensRead"/> as it grows; null tells no one.</summary>
    public IProgress<long>? TokenProgress { get; set; }

    /// <inheritdoc/>
    /// <exception cref="LociException">A request does not go with the model, or its logits are not finite.</exception>
    public IReadOnlyList<LogLikelihood> LogLikelihoods(IReadOnlyList<LogLikelihoodRequest> requests, IProgress<int>? progress = null, CancellationToken cancellationToken = default)
    {
        ArgumentNullException.ThrowIfNull(requests);
        (int[] Context, int[] Continuation)[] encoded = [.. requests.Select(_encoder.Encode)];
        var results = new LogLikelihood[requests.Count];
        var done = 0;
        using Group waiting = new();
        Reader(cancellationToken).Read([.. encoded.Select(request => request.Context)], (index, session, isKept) =>
        {
            var continuation = encoded[index].Continuation;
            if (continuation.Length == 1)
            {
                Finish(index, [session.Score(continuation[0])]);
                if (!isKept)
                {
                    session.Dispose();
                }

                return;
            }

            waiting.Add(index, isKept ? session.Fork() : session, continuation.Length);
            if (waiting.Count == MostTogether || waiting.Tokens >= MostTokensTogether)
            {
                Flush();
            }
        });
        Flush();
        return results;

        void Flush()
        {
            // The last token of a continuation is judged but need not be read.
            int[][] asked = [.. waiting.Indices.Select(index => encoded[index].Continuation)];
            TokenScore[][] scores = [.. asked.Select(continuation => new TokenScore[continuation.Length - 1])];
            SessionScorer.Read(waiting.Sessions, [.. asked.Select(continuation => (ReadOnlyMemory<int>)continuation.AsMemory(..^1))], scores, cancellationToken);
            Count(waiting.Tokens - waiting.Count);
            for (var i = 0; i < waiting.Count; i++)
            {
                Finish(waiting.Indices[i], [.. scores[i], waiting.Sessions[i].Score(asked[i][^1])]);
            }

            waiting.Clear();
        }

        void Finish(int index, TokenScore[] scores)
        {
            results[index] = new LogLikelihood(-scores.Sum(score => score.Loss), scores.All(score => score.IsGreedy), scores.Length);
            progress?.Report(++done);
        }
    }

    /// <inheritdoc/>
    /// <exception cref="LociException">A request does not go with the model.</exception>
    public IReadOnlyList<RollingLogLikelihood> RollingLogLikelihoods(IReadOnlyList<RollingRequest> requests, IProgress<int>? progress = null, CancellationToken cancellationToken = default)
    {
        ArgumentNullException.ThrowIfNull(requests);
        var results = new RollingLogLikelihood[requests.Count];
        for (var i = 0; i < results.Length; i++)
        {
            var tokens = _encoder.Encode(requests[i]);
            var losses = new float[tokens.Length];
            using var session = Model.CreateSession(_options);
            for (var start = 0; start < tokens.Length; start += PieceLength)
            {
                var count = Math.Min(PieceLength, tokens.Length - start);
                session.Read(tokens.AsSpan(start, count), losses.AsSpan(start, count), cancellationToken);
                Count(count);
            }

            results[i] = new RollingLogLikelihood(losses[1..]);
            progress?.Report(i + 1);
        }

        return results;
    }

    /// <inheritdoc/>
    /// <exception cref="LociException">A request does not go with the model.</exception>
    public IReadOnlyList<Generation> GenerateUntil(IReadOnlyList<GenerationRequest> requests, IProgress<int>? progress = null, CancellationToken cancellationToken = default)
    {
        ArgumentNullException.ThrowIfNull(requests);
        int[][] contexts = [.. requests.Select(_encoder.Encode)];
        GreedyWriter[] writers = [.. requests.Select(request => new GreedyWriter(request, Tokenizer, Name))];
        var done = 0;
        using Group waiting = new();
        Reader(cancellationToken).Read(contexts, (index, session, isKept) =>
        {
            waiting.Add(index, isKept ? session.Fork() : session, 1);
            if (waiting.Count == MostTogether)
            {
                Flush();
            }
        });
        Flush();
        return [.. writers.Select(writer => writer.Finish())];

        void Flush()
        {
            List<(Session Session, GreedyWriter Writer)> writing = [.. waiting.Sessions.Zip(waiting.Indices, (session, index) => (session, writers[index]))];
            while (true)
            {
                if (writing.RemoveAll(one => !one.Writer.Next(one.Session.Logits)) is > 0 and var ended)
                {
                    progress?.Report(done += ended);
                }

                if (writing.Count == 0)
                {
                    break;
                }

                cancellationToken.ThrowIfCancellationRequested();
                Session.Read([.. writing.Select(one => one.Session)], [.. writing.Select(one => one.Writer.Last)]);
                Count(writing.Count);
            }

            waiting.Clear();
        }
    }

    private PrefixReader Reader(CancellationToken cancellationToken) => new(() => Model.CreateSession(_options), (session, tokens) =>
    {
        while (!tokens.IsEmpty)
        {
            cancellationToken.ThrowIfCancellationRequested();
            var count = Math.Min(PieceLength, tokens.Length);
            session.Read(tokens.Span[..count]);
            Count(count);
            tokens = tokens[count..];
        }
    });

    private void Count(int tokens)
    {
        TokensRead += tokens;
        TokenProgress?.Report(TokensRead);
    }

    /// <summary>Requests that are gone on with together.</summary>
    private sealed class Group : IDisposable
    {
        public List<int> Indices { get; } = [];

        public List<Session> Sessions { get; } = [];

        public int Count => Indices.Count;

        public int Tokens { get; private set; }

        public void Add(int index, Session session, int tokens)
        {
            Indices.Add(index);
            Sessions.Add(session);
            Tokens += tokens;
        }

        public void Clear()
        {
            Dispose();
            Indices.Clear();
            Sessions.Clear();
            Tokens = 0;
        }

        public void Dispose()
        {
            foreach (var session in Sessions)
            {
                session.Dispose();
            }
        }
    }

    /// <summary>Writes the most likely tokens of one request until it ends.</summary>
    private sealed class GreedyWriter
    {
        private readonly GenerationRequest _request;
        private readonly Tokenizer? _tokenizer;
        private readonly StopTextFilter? _filter;
        private readonly Sampler _sampler = new(new SamplerOptions { Temperature = 0 });
        private readonly StringBuilder _text = new();
        private readonly List<int> _tokens = [];

        public GreedyWriter(GenerationRequest request, Tokenizer? tokenizer, string name)
        {
            _request = request;
            _tokenizer = tokenizer;
            _filter = tokenizer is null ? null : new StopTextFilter(tokenizer.CreateDecoder(), request.Until);
            if (tokenizer is null && request.Until.Any(text => text.Length > 0))
            {
                throw new LociException($"The model {name} has no tokenizer, so that no text can end what it writes: use a task of token ids, such as mqar.");
            }
        }

        public int Last => _tokens[^1];

        /// <summary>Takes the most likely token and says whether there is more to write after it.</summary>
        public bool Next(ReadOnlySpan<float> logits)
        {
            if (_tokens.Count >= _request.MaximumTokens)
            {
                return false;
            }

            _tokens.Add(_sampler.Next(_tokenizer is null ? logits : logits[..Math.Min(logits.Length, _tokenizer.VocabularySize)]));
            if (Last == _tokenizer?.EndOfTextId)
            {
                return false;
            }

            _text.Append(_filter is null ? [] : _filter.Append(Last));
            return _filter is not { IsStopped: true } && _tokens.Count < _request.MaximumTokens;
        }

        public Generation Finish()
        {
            _text.Append(_filter is null ? [] : _filter.Flush());
            return new Generation(_text.ToString(), _tokens);
        }
    }
}
