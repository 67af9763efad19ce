using System.Runtime.InteropServices;
using Loci.Caching;
using Loci.Inference.Storage;
using Loci.Models;
using Loci.Numerics;

namespace Loci.Inference;

public sealed partial class Session
{
    private const int TokenStream = 0;
    private const long GarbageAllowed = 64L << 20;

    private SessionFile? _file;
    private SharedMapping? _mapping;       // the same, kept open by what is mapped from it
    private bool _isReadOnly;
    private int _unchangedTokens;          // at the start, as they are in the file
    private SharedRows[] _fileRows = [];   // stream 1 + i of the file
    private DeviceSpan<float>[] _fileBuffers = [];
    private readonly List<int> _numbers = [];
    private float[] _staging = [];
    private byte[] _online = [];

    /// <summary>The file that the session lives in; null if it lives in memory only.</summary>
    public string? Path => _isReadOnly ? null : _file?.Path;

    /// <summary>
    /// Puts the session into a new file, in which it goes on living: at the end of every segment (every 256 tokens where there are none) all that is new is appended, so that a crash loses at
    /// most the open segment.
    /// </summary>
    /// <param name="path">The file; its folder must exist.</param>
    /// <param name="overwrite">Whether a file of that name may be replaced.</param>
    /// <exception cref="LociException">The file is there and may not be replaced, another process uses it, or it cannot be written.</exception>
    public void SaveAs(string path, bool overwrite = false)
    {
        ObjectDisposedException.ThrowIf(_isDisposed, this);
        if (_options.ReadTopK is not null)
        {
            throw new LociException("A session that reads other segments than its model was trained to read is not kept in a file: leave the number of segments to read out.");
        }

        FindContents();
        var metadata = new SessionMetadata
        {
            Model = Model.Fingerprint(),
            Checkpoints = _options.Checkpoints,
            KeepsReturns = _options.KeepsReturns,
            AfterTraining = _options.AfterTraining,
        };
        var file = SessionFile.Create(path, metadata.ToBytes(), [sizeof(int), .. _fileRows.Select(rows => rows.RowLength * sizeof(float))], overwrite);
        CloseFile();
        _file = file;
        _mapping = new SharedMapping(file);
        _isReadOnly = false;
        _unchangedTokens = 0;
        foreach (var rows in _fileRows)
        {
            rows.Unchanged = 0;
        }

        Commit();
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

        Commit();
    }

    /// <summary>Takes a session up from its file, with the same bits, in this or another process.</summary>
    /// <param name="model">The model that it was read with.</param>
    /// <param name="path">The file.</param>
    /// <param name="options">How; none takes the defaults.</param>
    /// <param name="progress">Told how many bytes of the file have been checked.</param>
    /// <exception cref="LociException">The file is missing, damaged, of another model or in use, or the memory budget is too small.</exception>
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
                throw new LociException($"The memory in '{path}' was written by another model, or with weights in another format: its states mean nothing to this one. Use the model that read the text, or read the text again.");
            }

            session = Create(model, path, new SessionOptions
            {
                Checkpoints = metadata.Checkpoints,
                KeepsReturns = metadata.KeepsReturns,
                AfterTraining = metadata.AfterTraining,
                MemoryBudget = options.MemoryBudget,
            });
            session._file = file;
            session._mapping = new SharedMapping(file);
            session._isReadOnly = options.IsReadOnly;
            session.LoadChecked();
            session.RequireRoom(0);
            return session;
        }
        catch
        {
            if (session is null)
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

    /// <summary>Bytes of cached states that lie in the session's file and not in memory.</summary>
    public long MappedBytes
    {
        get
        {
            long bytes = 0;
            foreach (var rows in _fileRows)
            {
                bytes += rows.MappedCount * rows.RowLength * sizeof(float);
            }

            return bytes;
        }
    }

    /// <summary>Makes room for the next tokens under the memory budget, or says why there is none.</summary>
    private void RequireRoom(int tokens)
    {
        if (_options.MemoryBudget is not { } budget)
        {
            return;
        }

        long added = 0;
        foreach (var state in _states)
        {
            added += state.BytesAdded(tokens);
        }

        if (Position > 0 && added == 0 && tokens > 0)
        {
            return;
        }

        var needed = Bytes + added;
        foreach (var state in _states)
        {
            if (state.ReadsEverything && needed + MappedBytes > budget)
            {
                throw new LociException(
                    $"The session's memory would take {ByteSize.Format(needed + MappedBytes, budget)} after {Position + tokens:#,0} tokens, more than the budget of {ByteSize.Format(budget, needed + MappedBytes)}, and this model reads all of it for every token: raise the budget, store checkpoints as float16 or int8, or use a model with sparse selective caching, whose checkpoints can stay on the disk.");
            }
        }

        if (needed > budget && Path is not null)
        {
            LeaveInFile();
            needed = Bytes + added;
        }

        if (needed > budget)
        {
            throw new LociException(Path is null && _states.Any(state => state.CachedStates > 0)
                ? $"The session's memory would take {ByteSize.Format(needed, budget)} after {Position + tokens:#,0} tokens, more than the budget of {ByteSize.Format(budget, needed)}: raise it, or give the session a file, in which its checkpoints can stay."
                : $"The session needs {ByteSize.Format(needed, budget)}, even with all checkpoints on the disk, which is more than the budget of {ByteSize.Format(budget, needed)}: raise it.");
        }
    }

    /// <summary>Called after every step.</summary>
    private void Persist(bool isBoundary)
    {
        if (Path is not null && (isBoundary || (Position % StepWorkspace.MostRows == 0 && !_hasSegments)))
        {
            Commit();
        }
    }

    private void CloseFile()
    {
        _mapping?.Release();
        _mapping = null;
        _file = null;
    }

    /// <summary>Lists what the file holds; anew after the states have been replaced.</summary>
    private void FindContents()
    {
        _fileRows = [_ends, .. _states.SelectMany(state => state.Rows)];
        _fileBuffers = [.. _states.SelectMany(state => state.Buffers)];
    }

    private void Commit()
    {
        var file = _file!;
        file.Begin();
        if (file.RowCount(TokenStream) > _unchangedTokens)
        {
            file.Keep(TokenStream, _unchangedTokens);
        }

        file.AppendRows(TokenStream, MemoryMarshal.AsBytes(_tokens.AsSpan(_unchangedTokens, Position - _unchangedTokens)));
        for (var i = 0; i < _fileRows.Length; i++)
        {
            var rows = _fileRows[i];
            if (file.RowCount(i + 1) > rows.Unchanged)
            {
                file.Keep(i + 1, rows.Unchanged);
            }

            for (var row = rows.Unchanged; row < rows.Count; row++)
            {
                file.AppendRows(i + 1, MemoryMarshal.AsBytes(Stage(rows[row])));
            }
        }

        var online = WriteOnline();
        file.Commit(online);
        _unchangedTokens = Position;
        foreach (var rows in _fileRows)
        {
            rows.Unchanged = rows.Count;
        }

        // Merged segments and rewinding leave rows behind that are no longer there.
        if (file.Length > (2 * (file.LiveBytes + online.Length)) + GarbageAllowed && !_mapping!.IsShared)
        {
            file.Compact();
        }
    }

    private Span<float> Stage(DeviceSpan<float> source)
    {
        if (_staging.Length < source.Length)
        {
            _staging = new float[source.Length];
        }

        var staged = _staging.AsSpan(0, (int)source.Length);
        _device.CopyToHost(source, staged);
        return staged;
    }

    /// <summary>Numbers (how many, then they), the last hidden state, buffers.</summary>
    private ReadOnlySpan<byte> WriteOnline()
    {
        _numbers.Clear();
        _numbers.Add(_hasLogits ? 1 : 0);
        _numbers.Add(_endPositions.Count);
        _numbers.AddRange(_endPositions);
        foreach (var state in _states)
        {
            state.Save(_numbers);
        }

        long bytes = sizeof(int) * (1L + _numbers.Count + _hidden.Length);
        foreach (var buffer in _fileBuffers)
        {
            bytes += buffer.Length * sizeof(float);
        }

        if (_online.Length < bytes)
        {
            _online = new byte[bytes + (bytes / 4)];
        }

        var rest = _online.AsSpan();
        var count = _numbers.Count;
        Put<int>(new ReadOnlySpan<int>(in count), ref rest);
        Put<int>(CollectionsMarshal.AsSpan(_numbers), ref rest);
        Put<float>(_hidden, ref rest);
        foreach (var buffer in _fileBuffers)
        {
            Put<float>(Stage(buffer), ref rest);
        }

        return _online.AsSpan(0, (int)bytes);

        static void Put<T>(scoped ReadOnlySpan<T> values, ref Span<byte> destination) where T : unmanaged
        {
            var source = MemoryMarshal.AsBytes(values);
            source.CopyTo(destination);
            destination = destination[source.Length..];
        }
    }

    /// <summary>Loads the file's contents, whose numbers may be any where another program wrote them.</summary>
    private void LoadChecked()
    {
        try
        {
            Load();
        }
        catch (Exception exception) when (
            exception is ArgumentException or IndexOutOfRangeException or OverflowException or FormatException)
        {
            throw Unreadable();
        }
    }

    private LociException Unreadable() =>
        new($"The memory in '{_file!.Path}' does not fit this model, although it says so: "
            + "it was written by another version of Loci. Read the text again.");

    private void Load()
    {
        var file = _file!;
        FindContents();
        var isOther = file.StreamCount != _fileRows.Length + 1 || file.RowBytes(TokenStream) != sizeof(int);
        for (var i = 0; i < _fileRows.Length && !isOther; i++)
        {
            isOther = file.RowBytes(i + 1) != _fileRows[i].RowLength * sizeof(float);
        }

        if (isOther)
        {
            throw Unreadable();
        }

        var count = checked((int)file.RowCount(TokenStream));
        Reserve(count);
        file.ReadRows(TokenStream, 0, MemoryMarshal.AsBytes(_tokens.AsSpan(0, count)));
        Position = _unchangedTokens = count;
        if (_tokens.AsSpan(0, count).ContainsAnyExceptInRange(0, Model.Configuration.VocabularySize - 1))
        {
            throw Unreadable();
        }

        for (var i = 0; i < _fileRows.Length; i++)
        {
            LoadRows(i + 1, _fileRows[i]);
        }

        var rest = file.Online;
        if (rest.IsEmpty)
        {
            return; // created, and nothing more
        }

        var numbers = Take<int>(Take<int>(1, ref rest)[0], ref rest);
        _hasLogits = numbers[0] != 0;
        _endPositions.AddRange(numbers.Slice(2, numbers[1]));
        if (numbers[2..(2 + numbers[1])].ContainsAnyExceptInRange(0, Position))
        {
            throw Unreadable();
        }

        var left = numbers[(2 + numbers[1])..];
        Take<float>(_hidden.Length, ref rest).CopyTo(_hidden);
        foreach (var buffer in _fileBuffers)
        {
            _device.CopyFromHost(Take<float>((int)buffer.Length, ref rest), buffer);
        }

        foreach (var state in _states)
        {
            state.Load(ref left);
            if (state.Position != Position || state.Cache?.States.Count != state.Cache?.Lengths.Count || state.Cache?.HeldTokens > Position)
            {
                throw Unreadable();
            }
        }

        if (_hasLogits)
        {
            ComputeLogits();
        }

        ReadOnlySpan<T> Take<T>(int count, ref ReadOnlySpan<byte> source) where T : unmanaged
        {
            var bytes = (long)count * Marshal.SizeOf<T>();
            if (count < 0 || bytes > source.Length)
            {
                throw Unreadable();
            }

            var values = MemoryMarshal.Cast<byte, T>(source[..(int)bytes]);
            source = source[(int)bytes..];
            return values;
        }
    }

    private void LoadRows(int stream, SharedRows rows)
    {
        var count = checked((int)_file!.RowCount(stream));
        for (var row = 0; row < count; row++)
        {
            if (rows.CanMap)
            {
                rows.AppendMapped(_file.AddressOf(stream, row), _mapping!);
            }
            else
            {
                var buffer = _staging.Length < rows.RowLength ? _staging = new float[rows.RowLength] : _staging;
                _file.ReadRows(stream, row, MemoryMarshal.AsBytes(buffer.AsSpan(0, (int)rows.RowLength)));
                _device.CopyFromHost<float>(buffer.AsSpan(0, (int)rows.RowLength), rows.Append());
            }
        }

        rows.Unchanged = count;
    }

    /// <summary>Replaces cached states in memory by the same ones in the file.</summary>
    private void LeaveInFile()
    {
        var file = _file!;
        Commit();
        file.MapAppended();
        for (var i = 0; i < _fileRows.Length; i++)
        {
            var rows = _fileRows[i];
            for (var row = rows.MappedCount; row < rows.Count && rows.CanMap; row++)
            {
                rows.Map(row, file.AddressOf(i + 1, row), _mapping!);
            }
        }
    }
}
