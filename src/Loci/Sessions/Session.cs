using Loci.Layers;
using Loci.Memory;
using Loci.Memory.Segments;
using Loci.Memory.Store;
using Loci.Models;
using Loci.Numerics;
using Loci.Sessions.Storage;

namespace Loci.Sessions;

/// <summary>
/// Reads one sequence through a model, in pieces of any size or token by token, and gives the logits of the next token. However the text is split, the bits are the same.
/// A session can be forked, saved and taken back to where it was. Sessions share their model's weights, and forks the cached states, which never change.
/// </summary>
/// <remarks>
/// Sessions of one model run on many threads at once; each by itself is used by one thread at a time. After warm-up, nothing is allocated
/// per token on the managed heap.
/// </remarks>
public sealed class Session : IDisposable
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
    private SessionFileBinding? _binding;

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
    public void Read(ReadOnlySpan<int> tokens) => Read(tokens, default, default);

    /// <summary>Reads the next tokens.</summary>
    /// <param name="tokens">Token ids.</param>
    /// <param name="cancellationToken">
    /// Stops between passes of some hundred tokens; <see cref="Position"/> then says how far it came.
    /// </param>
    /// <exception cref="OperationCanceledException">It was stopped; what has been read stays read.</exception>
    public void Read(ReadOnlySpan<int> tokens, CancellationToken cancellationToken) => Read(tokens, default, cancellationToken);

    /// <summary>Reads one token.</summary>
    /// <param name="token">Its id.</param>
    public void Read(int token) => Read([token], default, default);

    /// <summary>Reads the next tokens and tells how well they were predicted.</summary>
    /// <param name="tokens">Token ids.</param>
    /// <param name="losses">Receives -ln p of every token given all before it, in nats, [tokens]; NaN for the first token of all. May be empty.</param>
    /// <param name="cancellationToken">
    /// Stops between passes of some hundred tokens; <see cref="Position"/> then says how far it came.
    /// </param>
    /// <exception cref="OperationCanceledException">It was stopped; what has been read stays read.</exception>
    public void Read(ReadOnlySpan<int> tokens, Span<float> losses, CancellationToken cancellationToken = default)
    {
        ObjectDisposedException.ThrowIf(_isDisposed, this);
        if (!losses.IsEmpty && losses.Length != tokens.Length)
        {
            throw new ArgumentException($"{tokens.Length} tokens have as many losses, not {losses.Length}.", nameof(losses));
        }

        RequireVocabulary(tokens);
        while (!tokens.IsEmpty)
        {
            cancellationToken.ThrowIfCancellationRequested();
            var rows = NextRows(tokens.Length);
            if (!losses.IsEmpty)
            {
                losses[0] = _hasLogits ? (float)NextToken.Judge(_logits, tokens[0]).Loss : float.NaN;
            }

            Pass(tokens[..rows], losses.IsEmpty ? default : losses[1..rows]);
            tokens = tokens[rows..];
            losses = losses.IsEmpty ? losses : losses[rows..];
        }
    }

    /// <summary>The file that the session lives in; null if it lives in memory only.</summary>
    public string? Path => _binding is { IsReadOnly: false } ? _binding.Path : null;

    /// <summary>Bytes of cached states that lie in the session's file and not in memory.</summary>
    public long MappedBytes => _binding?.MappedBytes ?? 0;

    /// <summary>
    /// Puts the session into a new file, in which it goes on living: at the end of every segment (every 256 tokens where there are none)
    /// all that is new is appended, so that
    /// a crash loses at most the open segment.
    /// </summary>
    /// <param name="path">The file; its folder must exist.</param>
    /// <param name="overwrite">Whether a file of that name may be replaced.</param>
    /// <exception cref="LociException">
    /// The file is there and may not be replaced, another process uses it, or it cannot be written.
    /// </exception>
    public void SaveAs(string path, bool overwrite = false)
    {
        ObjectDisposedException.ThrowIf(_isDisposed, this);
        if (_options.ReadTopK is not null)
        {
            throw new LociException(
                "A session that reads other segments than its model was trained to read is not kept in a file: leave the number of segments to read out.");
        }

        SessionFileBinding.Create(this, path, overwrite, binding =>
        {
            _binding?.Dispose();
            _binding = binding;
        });
    }

    /// <summary>Brings the file up to date with everything read so far, up to the last token.</summary>
    /// <exception cref="LociException">The disk is full or failing; the file is then as it was before.</exception>
    /// <exception cref="InvalidOperationException">The session lives in memory only.</exception>
    public void Save()
    {
        ObjectDisposedException.ThrowIf(_isDisposed, this);
        if (Path is null)
        {
            throw new InvalidOperationException("The session lives in memory only: give it a file with SaveAs.");
        }

        _binding!.Commit();
    }

    /// <summary>Takes a session up from its file, with the same bits, in this or another process.</summary>
    /// <param name="model">The model that it was read with.</param>
    /// <param name="path">The file.</param>
    /// <param name="options">How; none takes the defaults.</param>
    /// <param name="progress">Told how many bytes of the file have been checked.</param>
    /// <exception cref="LociException">
    /// The file is missing, damaged, of another model or in use, or the memory budget is too small.
    /// </exception>
    public static Session Open(LanguageModel model, string path, SessionOpenOptions? options = null, IProgress<long>? progress = null)
    {
        ArgumentNullException.ThrowIfNull(model);
        options ??= new SessionOpenOptions();
        var file = SessionFile.Open(path, !options.IsReadOnly, options.Verifies, progress);
        Session? session = null;
        try
        {
            var metadata = SessionMetadata.Parse(file.Metadata, path);
            if (metadata.Model != model.Fingerprint())
            {
                throw new LociException(
                    ErrorKind.OtherModel,
                    $"The memory in '{path}' was written by another model, or with weights in another format: its states mean nothing to this one. "
                    + "Use the model that read the text, or read the text again.");
            }

            session = Create(model, path, new SessionOptions
            {
                Checkpoints = metadata.Checkpoints,
                KeepsReturns = metadata.KeepsReturns,
                AfterTraining = metadata.AfterTraining,
                MemoryBudget = options.MemoryBudget,
            });
            session._binding = new SessionFileBinding(session, file, options.IsReadOnly);
            session._binding.Load();
            SessionBudget.Require(session, 0);
            return session;
        }
        catch
        {
            if (session?._binding is null)
            {
                file.Dispose();
            }

            session?.Dispose();
            throw;
        }
    }

    private static Session Create(LanguageModel model, string path, SessionOptions options)
    {
        try
        {
            return new Session(model, options);
        }
        catch (LociException exception)
        {
            throw new LociException($"The memory in '{path}' cannot be taken up: {exception.Message}", exception);
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
        _binding?.TokensChanged(Tokens.CommonPrefixLength(kept.Tokens));
        _states = states;
        CopyFrom(kept);
        _ends.Unchanged = unchangedEnds;
        _binding?.FindContents();
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
        _binding?.TokensChanged(start);
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
        _binding?.Dispose();
        _binding = null;
    }

    /// <summary>What each block remembers.</summary>
    internal ReadOnlySpan<MixerState> States => _states;

    /// <summary>Everything of the session that grows by rows.</summary>
    internal IEnumerable<SharedRows> Rows => [_ends, .. _states.SelectMany(state => state.Rows)];

    /// <summary>Everything of the session that changes from token to token.</summary>
    internal IEnumerable<DeviceSpan<float>> Buffers => _states.SelectMany(state => state.Buffers);

    /// <summary>The final hidden state of the last token, [D].</summary>
    internal ReadOnlySpan<float> LastHidden => _hidden;

    /// <summary>Leaves cached states in the session's file.</summary>
    internal void LeaveInFile() => _binding!.LeaveInFile();

    /// <summary>The numbers that go with rows and buffers.</summary>
    internal void Save(List<int> numbers)
    {
        numbers.Add(_hasLogits ? 1 : 0);
        numbers.Add(_endPositions.Count);
        numbers.AddRange(_endPositions);
        foreach (var state in _states)
        {
            state.Save(numbers);
        }
    }

    /// <summary>Takes up the tokens that have been read.</summary>
    internal void LoadTokens(ReadOnlySpan<int> tokens)
    {
        Reserve(tokens.Length);
        tokens.CopyTo(_tokens);
        Position = tokens.Length;
    }

    /// <summary>Takes everything back, after rows and buffers; false if it does not fit together.</summary>
    internal bool Load(ReadOnlySpan<int> tokens, ReadOnlySpan<int> numbers, ReadOnlySpan<float> hidden)
    {
        LoadTokens(tokens);
        _hasLogits = numbers[0] != 0;
        _endPositions.AddRange(numbers.Slice(2, numbers[1]));
        if (numbers.Slice(2, numbers[1]).ContainsAnyExceptInRange(0, Position))
        {
            return false;
        }

        numbers = numbers[(2 + numbers[1])..];
        hidden.CopyTo(_hidden);
        foreach (var state in _states)
        {
            state.Load(ref numbers);
            if (state.Position != Position || state.Memory?.States.Count != state.Memory?.Lengths.Count || state.Memory?.HeldTokens > Position)
            {
                return false;
            }
        }

        if (_hasLogits)
        {
            ComputeLogits();
        }

        return true;
    }

    /// <summary>Makes an unused session what it would be after so many tokens, but for its states.</summary>
    internal void SkipTo(int position)
    {
        Reserve(position);
        Position = position;
    }

    /// <summary>One step of several sessions of one model: session i reads token i.</summary>
    internal static void Read(ReadOnlySpan<Session> sessions, ReadOnlySpan<int> tokens) => Read(sessions, tokens, new StreamPart[sessions.Length]);

    /// <summary>The same, with room for the sessions' states.</summary>
    internal static void Read(ReadOnlySpan<Session> sessions, ReadOnlySpan<int> tokens, StreamPart[] parts)
    {
        for (var i = 0; i < sessions.Length; i++)
        {
            parts[i] = sessions[i].Begin(tokens.Slice(i, 1));
        }

        using var lease = sessions[0].Model.RentRunner();
        var (runner, tape) = (lease.Runner, lease.Runner.Tape);
        var hidden = runner.Read(tokens, parts.AsSpan(0, sessions.Length));
        var logits = runner.Logits(hidden);
        for (var i = 0; i < sessions.Length; i++)
        {
            sessions[i].Finish(tokens.Slice(i, 1), tape.Rows(hidden, i, 1), tape.Rows(logits, i, 1));
        }
    }

    /// <summary>Checks the next tokens and makes room for them: what a pass that reads them needs of the session.</summary>
    internal StreamPart Begin(ReadOnlySpan<int> tokens)
    {
        ObjectDisposedException.ThrowIf(_isDisposed, this);
        RequireVocabulary(tokens);
        SessionBudget.Require(this, tokens.Length);
        return new StreamPart(_states, tokens.Length);
    }

    /// <summary>Takes up what a pass has made of the next tokens.</summary>
    /// <param name="tokens">The tokens.</param>
    /// <param name="lastHidden">The last one's final hidden state, [1, D].</param>
    /// <param name="lastLogits">Logits of the token after it, [1, vocabulary].</param>
    internal void Finish(ReadOnlySpan<int> tokens, Tensor lastHidden, Tensor lastLogits)
    {
        _device.CopyToHost(lastLogits.Data, _logits);
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

        if (Path is not null && (isBoundary || (Position % ModelRunner.MostRows == 0 && !_hasSegments)))
        {
            _binding!.Commit();
        }
    }

    private void Pass(ReadOnlySpan<int> tokens, Span<float> losses)
    {
        _parts[0] = Begin(tokens);
        using var lease = Model.RentRunner();
        var (runner, tape) = (lease.Runner, lease.Runner.Tape);
        var hidden = runner.Read(tokens, _parts);
        if (!losses.IsEmpty)
        {
            runner.Losses(tape.Rows(hidden, 0, losses.Length), tokens[1..], losses);
        }

        var last = tape.Rows(hidden, tokens.Length - 1, 1);
        Finish(tokens, last, runner.Logits(last));
    }

    /// <summary>Rows of the next step: it ends where a segment of any block does.</summary>
    internal int NextRows(int tokens)
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

    internal void RequireVocabulary(ReadOnlySpan<int> tokens)
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
