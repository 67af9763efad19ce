using Loci.Caching;
using Loci.Layers;
using Loci.Models;
using Loci.Numerics;

namespace Loci.Inference;

/// <summary>
/// Reads one sequence through a model, in pieces of any size or token by token, and gives the logits of the next token. However the text is split, the bits are the same.
/// A session can be forked, saved and taken back to where it was. Sessions share their model's weights, and forks the cached states, which never change.
/// </summary>
/// <remarks>Sessions of one model run on many threads at once; each by itself is used by one thread at a time. After warm-up, nothing is allocated per token on the managed heap.</remarks>
public sealed partial class Session : IDisposable
{
    private readonly SessionOptions _options;
    private readonly Device _device;
    private readonly float[] _logits;
    private readonly float[] _hidden;                  // of the last token, [D]
    private readonly SharedRows _ends;                 // hidden states at the ends of segments, [ends, D]
    private readonly List<int> _endPositions = [];
    private readonly StreamPart[] _parts = new StreamPart[1];
    private MixerState[] _states;
    private int[] _tokens = new int[1024];
    private readonly bool _hasSegments;                // whether any block caches states
    private bool _hasLogits;
    private bool _isDisposed;
    private SegmentReadHandler? _readHandler;
    private IReadOnlyList<SegmentSpan>? _visibleSegments;

    internal Session(LanguageModel model, SessionOptions options)
        : this(model, options, model.CreateStates(new StateOptions(options.Checkpoints, options.KeepsReturns, options.AfterTraining, options.ReadTopK)))
    {
        if (options.ReadTopK < 1)
        {
            Dispose();
            throw new LociException($"A token cannot read {options.ReadTopK} past segments at most: use at least 1.");
        }

        if (options.ReadTopK is not null && !_hasSegments)
        {
            Dispose();
            throw new LociException("This model caches no segments, of which the best could be read: leave the number of segments to read out.");
        }

    }

    private Session(LanguageModel model, SessionOptions options, MixerState[] states)
    {
        Model = model;
        _options = options;
        _device = model.Device;
        _states = states;
        _hasSegments = states.Any(state => state.TokensToBoundary != int.MaxValue);
        _logits = new float[model.Configuration.VocabularySize];
        _hidden = new float[model.Configuration.Dimension];
        _ends = new SharedRows(_device, model.Configuration.Dimension);
    }

    /// <summary>The model that reads.</summary>
    public LanguageModel Model { get; }

    /// <summary>How the memory is kept.</summary>
    public SessionOptions Options => _options;

    /// <summary>Number of tokens read.</summary>
    public int Position { get; private set; }

    /// <summary>The tokens read.</summary>
    public ReadOnlySpan<int> Tokens => _tokens.AsSpan(0, Position);

    /// <summary>Logits of the token after the last one read, [vocabulary].</summary>
    /// <exception cref="InvalidOperationException">Nothing has been read.</exception>
    public ReadOnlySpan<float> Logits =>
        _hasLogits ? _logits : throw new InvalidOperationException("Nothing has been read yet, so there are no logits: read at least one token.");

    /// <summary>Bytes of memory that the sequence needs: online memories, cached states and the last few inputs. What forks share counts for each of them; what lies in a file does not count.</summary>
    public long Bytes
    {
        get
        {
            long bytes = _ends.Bytes + (sizeof(int) * (long)Position);
            foreach (var state in _states)
            {
                bytes += state.Bytes;
            }

            return bytes;
        }
    }

    /// <summary>Number of cached states, over all blocks.</summary>
    public int CachedStates
    {
        get
        {
            var count = 0;
            foreach (var state in _states)
            {
                count += state.CachedStates;
            }

            return count;
        }
    }

    /// <summary>The segments of each block's cache, oldest first: their lengths in tokens. Empty for a block without a cache.</summary>
    public IReadOnlyList<IReadOnlyList<int>> Segments => [.. _states.Select(state => (IReadOnlyList<int>)[.. state.Memory?.Lengths ?? []])];

    /// <summary>Is told what every token reads in every block with a cache; null tells no one.</summary>
    public SegmentReadHandler? ReadHandler
    {
        get => _readHandler;
        set
        {
            _readHandler = value;
            SetObservers();
        }
    }

    /// <summary>
    /// What is read next reads only those cached segments, beside the online memory, that hold a token of these spans; null, as at the start, reads all, and an empty list none. For measurements: what a
    /// model would answer if its router found the right segments. Forks take it over; the session's file does not keep it.
    /// </summary>
    /// <exception cref="LociException">A block cannot leave out segments: it reads the sum or average of all, or weighs them by their place.</exception>
    public IReadOnlyList<SegmentSpan>? VisibleSegments
    {
        get => _visibleSegments;
        set
        {
            if (value is not null && _states.Any(state => state.Memory is { CanHideSegments: false }))
            {
                throw new LociException(
                    "Cached segments cannot be hidden from this model, which reads their sum (Residual over matrices), their average or (log-linear attention) each by its place: use one that reads segments through gates.");
            }

            _visibleSegments = value is null ? null : [.. value];
            SetVisible();
        }
    }

    /// <summary>Reads the next tokens.</summary>
    /// <param name="tokens">Token ids.</param>
    /// <exception cref="ArgumentException">A token is not of the vocabulary.</exception>
    /// <exception cref="LociException">The memory would exceed the budget, or the file cannot be written.</exception>
    public void Read(ReadOnlySpan<int> tokens) => Read(tokens, default);

    /// <summary>Reads one token.</summary>
    /// <param name="token">Its id.</param>
    public void Read(int token) => Read([token], default);

    /// <summary>Reads the next tokens and tells how well they were predicted.</summary>
    /// <param name="tokens">Token ids.</param>
    /// <param name="losses">Receives -ln p of every token given all before it, in nats, [tokens]; NaN for the first token of all. May be empty.</param>
    public void Read(ReadOnlySpan<int> tokens, Span<float> losses)
    {
        ObjectDisposedException.ThrowIf(_isDisposed, this);
        if (!losses.IsEmpty && losses.Length != tokens.Length)
        {
            throw new ArgumentException($"{tokens.Length} tokens have as many losses, not {losses.Length}.", nameof(losses));
        }

        RequireVocabulary(tokens);
        while (!tokens.IsEmpty)
        {
            var rows = NextRows(tokens.Length);
            if (!losses.IsEmpty)
            {
                losses[0] = _hasLogits ? LossOf(tokens[0]) : float.NaN;
            }

            Pass(tokens[..rows], losses.IsEmpty ? default : losses[1..rows]);
            tokens = tokens[rows..];
            losses = losses.IsEmpty ? losses : losses[rows..];
        }
    }

    /// <summary>Keeps the session as it is now, to be restored later.</summary>
    public SessionSnapshot Snapshot() => new(Fork());

    /// <summary>Makes the session what it was when a snapshot of it, or of another session of the same model, was taken.</summary>
    /// <exception cref="ArgumentException">The snapshot is of another model, or of a session with other options.</exception>
    public void Restore(SessionSnapshot snapshot)
    {
        ArgumentNullException.ThrowIfNull(snapshot);
        ObjectDisposedException.ThrowIf(_isDisposed, this);
        var kept = snapshot.Kept;
        ObjectDisposedException.ThrowIf(kept._isDisposed, snapshot);
        if (kept.Model != Model || kept._options != _options)
        {
            throw new ArgumentException("The snapshot is of a session of another model, or with other options.", nameof(snapshot));
        }

        // What the file already holds is what the present rows, tokens and the snapshot's have in common.
        MixerState[] states = [.. kept._states.Select(state => state.Fork())];
        foreach (var (present, next) in _states.Zip(states))
        {
            foreach (var (before, after) in present.Rows.Zip(next.Rows))
            {
                after.Unchanged = Math.Min(before.Unchanged, after.CommonWith(before));
            }

            present.Dispose();
        }

        var unchangedEnds = Math.Min(_ends.Unchanged, kept._ends.CommonWith(_ends));
        _unchangedTokens = Math.Min(_unchangedTokens, Tokens.CommonPrefixLength(kept.Tokens));
        _states = states;
        CopyFrom(kept);
        _ends.Unchanged = unchangedEnds;
        FindContents();
        SetObservers();
        SetVisible();
    }

    /// <summary>A second session that goes on from here by itself. Cached states are shared; only the online memories are copied.</summary>
    public Session Fork()
    {
        ObjectDisposedException.ThrowIf(_isDisposed, this);
        Session fork = new(Model, _options, [.. _states.Select(state => state.Fork())]);
        fork.CopyFrom(this);
        fork._visibleSegments = _visibleSegments;
        fork.SetVisible();
        return fork;
    }

    /// <summary>The last position at or before a given one that <see cref="Rewind"/> reaches without reading anything again: the end of a segment in all blocks.</summary>
    public int LastReturn(int position)
    {
        ArgumentOutOfRangeException.ThrowIfNegative(position);
        position = Math.Min(position, Position);
        for (var i = 0; i < _states.Length;)
        {
            var last = _states[i].LastReturn(position);
            i = last < position ? 0 : i + 1;
            position = last;
        }

        return position;
    }

    /// <summary>Goes back to where fewer tokens had been read. What lies between the last end of a segment and there is read again.</summary>
    /// <param name="position">Number of tokens to keep, at most <see cref="Position"/>.</param>
    public void Rewind(int position)
    {
        ObjectDisposedException.ThrowIf(_isDisposed, this);
        ArgumentOutOfRangeException.ThrowIfNegative(position);
        ArgumentOutOfRangeException.ThrowIfGreaterThan(position, Position);
        if (position == Position)
        {
            return;
        }

        var start = LastReturn(position);
        var end = _endPositions.BinarySearch(start);
        if (start == position && position > 0 && end < 0)
        {
            // The state is at hand but not what follows from it: the last token is read again.
            start = LastReturn(position - 1);
            end = _endPositions.BinarySearch(start);
        }

        foreach (var state in _states)
        {
            state.GoBack(start);
        }

        var ends = end >= 0 ? end + 1 : ~end;
        _hasLogits = end >= 0;
        if (_hasLogits)
        {
            _device.CopyToHost(_ends[end], _hidden);
        }

        _ends.Truncate(ends);
        _endPositions.RemoveRange(ends, _endPositions.Count - ends);
        Position = start;
        _unchangedTokens = Math.Min(_unchangedTokens, start);
        if (position > start)
        {
            Read(_tokens.AsSpan(start, position - start));
        }
        else if (_hasLogits)
        {
            ComputeLogits();
        }
    }

    /// <inheritdoc/>
    public void Dispose()
    {
        if (_isDisposed)
        {
            return;
        }

        _isDisposed = true;
        foreach (var state in _states)
        {
            state.Dispose();
        }

        _ends.Dispose();
        CloseFile();
    }

    internal ReadOnlySpan<MixerState> States => _states;

    /// <summary>Makes an unused session's memory as large as if so many tokens had been read, with contents that mean nothing: for measurements of time and space.</summary>
    /// <param name="tokens">How many.</param>
    /// <exception cref="InvalidOperationException">Something has been read.</exception>
    /// <exception cref="InsufficientMemoryException">The memory would be larger than this machine's.</exception>
    public void FillForMeasurement(int tokens)
    {
        ObjectDisposedException.ThrowIf(_isDisposed, this);
        ArgumentOutOfRangeException.ThrowIfNegative(tokens);
        if (Position > 0)
        {
            throw new InvalidOperationException("Only a session that has read nothing can be filled for a measurement.");
        }

        long available = GC.GetGCMemoryInfo().TotalAvailableMemoryBytes, needed = _states.Sum(state => state.BytesAfter(tokens));
        if (needed > available / 10 * 9)
        {
            throw new InsufficientMemoryException($"The session's memory would take {ByteSize.Format(needed, available)} after {tokens:#,0} tokens, and this machine has {ByteSize.Format(available, needed)}.");
        }

        var random = new Random(1);
        var longest = _states.Max(state => state.Rows.Concat([_ends]).Max(rows => rows.RowLength)) + (4L * Model.Configuration.Dimension);
        foreach (var state in _states)
        {
            longest = Math.Max(longest, state.Buffers.Select(buffer => buffer.Length).DefaultIfEmpty().Max());
        }

        var values = new float[longest + 1024];
        foreach (ref var value in values.AsSpan())
        {
            value = 0.2f * (random.NextSingle() - 0.5f);
        }

        var noise = _device.Allocate<float>(values.Length);
        _device.CopyFromHost<float>(values, noise);
        foreach (var state in _states)
        {
            state.Fill(tokens, noise);
        }

        _device.Free(noise);
        Reserve(tokens);
        Position = tokens;
    }

    /// <summary>One step of several sessions of one model: session i reads token i.</summary>
    internal static void Read(ReadOnlySpan<Session> sessions, ReadOnlySpan<int> tokens) => Read(sessions, tokens, new StreamPart[sessions.Length]);

    /// <summary>The same, with room for the sessions' states.</summary>
    internal static void Read(ReadOnlySpan<Session> sessions, ReadOnlySpan<int> tokens, StreamPart[] parts)
    {
        var model = sessions[0].Model;
        for (var i = 0; i < sessions.Length; i++)
        {
            sessions[i].RequireVocabulary(tokens.Slice(i, 1));
            sessions[i].RequireRoom(1);
            parts[i] = new StreamPart(sessions[i]._states, 1);
        }

        using var lease = model.RentRunner();
        var (runner, tape) = (lease.Runner, lease.Runner.Tape);
        var hidden = runner.Read(tokens, parts.AsSpan(0, sessions.Length));
        var logits = runner.Logits(hidden);
        for (var i = 0; i < sessions.Length; i++)
        {
            var session = sessions[i];
            model.Device.CopyToHost(tape.Rows(logits, i, 1).Data, session._logits);
            session.Finish(tokens.Slice(i, 1), tape.Rows(hidden, i, 1));
        }
    }

    private void Pass(ReadOnlySpan<int> tokens, Span<float> losses)
    {
        RequireRoom(tokens.Length);
        using var lease = Model.RentRunner();
        var (runner, tape) = (lease.Runner, lease.Runner.Tape);
        _parts[0] = new StreamPart(_states, tokens.Length);
        var hidden = runner.Read(tokens, _parts);
        if (!losses.IsEmpty)
        {
            runner.Losses(tape.Rows(hidden, 0, losses.Length), tokens[1..], losses);
        }

        var last = tape.Rows(hidden, tokens.Length - 1, 1);
        _device.CopyToHost(runner.Logits(last).Data, _logits);
        Finish(tokens, last);
    }

    private void Finish(ReadOnlySpan<int> tokens, Tensor lastHidden)
    {
        _device.CopyToHost(lastHidden.Data, _hidden);
        _hasLogits = true;
        Reserve(Position + tokens.Length);
        tokens.CopyTo(_tokens.AsSpan(Position));
        Position += tokens.Length;
        var isBoundary = false;
        foreach (var state in _states)
        {
            if (state.Memory is { IsAtBoundary: true })
            {
                isBoundary = true;
                state.KeepBoundary();
            }
        }

        if (isBoundary && LastReturn(Position) == Position)
        {
            // Merged segments have lost their inner ends.
            while (_endPositions.Count > 0 && LastReturn(_endPositions[^1]) != _endPositions[^1])
            {
                _endPositions.RemoveAt(_endPositions.Count - 1);
            }

            _ends.Truncate(_endPositions.Count);
            _ends.Append(lastHidden.Data, 1);
            _endPositions.Add(Position);
        }

        Persist(isBoundary);
    }

    /// <summary>Rows of the next step: it ends where a segment of any block does.</summary>
    private int NextRows(int tokens)
    {
        var rows = Math.Min(tokens, ModelRunner.MostRows);
        foreach (var state in _states)
        {
            rows = Math.Min(rows, state.TokensToBoundary);
        }

        return rows;
    }

    private void ComputeLogits()
    {
        using var lease = Model.RentRunner();
        var tape = lease.Runner.Tape;
        tape.Reset();
        var hidden = tape.FromHost(new Shape(1, _hidden.Length), _hidden);
        _device.CopyToHost(lease.Runner.Logits(hidden).Data, _logits);
    }

    /// <summary>-ln p of a token under the present logits.</summary>
    private float LossOf(int token)
    {
        var largest = _logits[0];
        foreach (var logit in _logits)
        {
            largest = MathF.Max(largest, logit);
        }

        var sum = 0.0;
        foreach (var logit in _logits)
        {
            sum += Math.Exp(logit - largest);
        }

        return (float)(Math.Log(sum) - (_logits[token] - largest));
    }

    private void RequireVocabulary(ReadOnlySpan<int> tokens)
    {
        var size = Model.Configuration.VocabularySize;
        foreach (var token in tokens)
        {
            if ((uint)token >= (uint)size)
            {
                throw new ArgumentException($"Token {token} is not of the vocabulary, whose ids go from 0 to {size - 1}.", nameof(tokens));
            }
        }
    }

    private void SetObservers()
    {
        for (var i = 0; i < _states.Length; i++)
        {
            if (_states[i].Memory is { } cache)
            {
                cache.Observer = _readHandler is null ? null : new ReadObserver(i, _readHandler);
            }
        }
    }

    private void SetVisible()
    {
        foreach (var state in _states)
        {
            if (state.Memory is { CanHideSegments: true } cache)
            {
                cache.VisibleSpans = _visibleSegments;
            }
        }
    }

    private void Reserve(int count)
    {
        if (count > _tokens.Length)
        {
            Array.Resize(ref _tokens, Math.Max(count, 2 * _tokens.Length));
        }
    }

    /// <summary>Takes over everything of another session but its states.</summary>
    private void CopyFrom(Session other)
    {
        Reserve(other.Position);
        other.Tokens.CopyTo(_tokens);
        Position = other.Position;
        other._ends.CopyTo(_ends);
        _endPositions.Clear();
        _endPositions.AddRange(other._endPositions);
        _hasLogits = other._hasLogits;
        other._hidden.CopyTo(_hidden, 0);
        other._logits.CopyTo(_logits, 0);
    }
}
