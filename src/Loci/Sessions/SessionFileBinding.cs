using System.Runtime.InteropServices;
using Loci.Memory.Store;
using Loci.Models;
using Loci.Numerics;
using Loci.Sessions.Storage;

namespace Loci.Sessions;

/// <summary>
/// Ties a session to the file that it lives in: what of the session the file holds, and where cached states that lie in the file are mapped
/// from.
/// </summary>
internal sealed class SessionFileBinding : IDisposable
{
    private const int TokenStream = 0;
    private const long GarbageAllowed = 64L << 20;

    private readonly Session _session;
    private readonly SessionFile _file;
    private readonly SharedMapping _mapping;   // the file, kept open by what is mapped from it
    private readonly List<int> _numbers = [];
    private SharedRows[] _rows = [];           // stream 1 + i of the file
    private DeviceSpan<float>[] _buffers = [];
    private float[] _staging = [];
    private byte[] _online = [];
    private int _unchangedTokens;              // at the start, as they are in the file

    public SessionFileBinding(Session session, SessionFile file, bool isReadOnly)
    {
        _session = session;
        _file = file;
        _mapping = new SharedMapping(file);
        IsReadOnly = isReadOnly;
        FindContents();
    }

    /// <summary>Whether the file stays as it is.</summary>
    public bool IsReadOnly { get; }

    /// <summary>Where the file is.</summary>
    public string Path => _file.Path;

    /// <summary>Bytes of cached states that lie in the file and not in memory.</summary>
    public long MappedBytes
    {
        get
        {
            long bytes = 0;
            foreach (var rows in _rows)
            {
                bytes += rows.MappedCount * rows.RowLength * sizeof(float);
            }

            return bytes;
        }
    }

    /// <summary>Makes a new file for a session and writes all of the session to it.</summary>
    /// <exception cref="LociException">
    /// The file is there and may not be replaced, another process uses it, or it cannot be written.
    /// </exception>
    public static SessionFileBinding Create(Session session, string path, bool overwrite, Action<SessionFileBinding> bind)
    {
        var metadata = new SessionMetadata
        {
            Model = session.Model.Fingerprint(),
            Checkpoints = session.Options.Checkpoints,
            KeepsReturns = session.Options.KeepsReturns,
            AfterTraining = session.Options.AfterTraining,
        };
        SharedRows[] rows = [.. session.Rows];
        var file = SessionFile.Create(path, metadata.ToBytes(), [sizeof(int), .. rows.Select(one => one.RowLength * sizeof(float))], overwrite);
        var binding = new SessionFileBinding(session, file, false);
        foreach (var one in rows)
        {
            one.Unchanged = 0;
        }

        bind(binding);
        binding.Commit();
        return binding;
    }

    /// <summary>Lists what the file holds; anew after the session's states have been replaced.</summary>
    public void FindContents()
    {
        _rows = [.. _session.Rows];
        _buffers = [.. _session.Buffers];
    }

    /// <summary>Tokens from here on are no longer those in the file.</summary>
    public void TokensChanged(int from) => _unchangedTokens = Math.Min(_unchangedTokens, from);

    /// <summary>Brings the file up to date with the session.</summary>
    /// <exception cref="LociException">The disk is full or failing; the file is then as it was before.</exception>
    public void Commit()
    {
        _file.Begin();
        if (_file.RowCount(TokenStream) > _unchangedTokens)
        {
            _file.Keep(TokenStream, _unchangedTokens);
        }

        _file.AppendRows(TokenStream, MemoryMarshal.AsBytes(_session.Tokens[_unchangedTokens..]));
        for (var i = 0; i < _rows.Length; i++)
        {
            var rows = _rows[i];
            if (_file.RowCount(i + 1) > rows.Unchanged)
            {
                _file.Keep(i + 1, rows.Unchanged);
            }

            for (var row = rows.Unchanged; row < rows.Count; row++)
            {
                _file.AppendRows(i + 1, MemoryMarshal.AsBytes(Stage(rows[row])));
            }
        }

        var online = WriteOnline();
        _file.Commit(online);
        _unchangedTokens = _session.Position;
        foreach (var rows in _rows)
        {
            rows.Unchanged = rows.Count;
        }

        // Merged segments and rewinding leave rows behind that are no longer there.
        if (_file.Length > (2 * (_file.LiveBytes + online.Length)) + GarbageAllowed && !_mapping.IsShared)
        {
            _file.Compact();
        }
    }

    /// <summary>Fills an empty session with what the file holds, whose numbers may be any where another program wrote them.</summary>
    /// <exception cref="LociException">The file does not fit the session's model.</exception>
    public void Load()
    {
        try
        {
            LoadContents();
        }
        catch (Exception exception) when (exception is ArgumentException or IndexOutOfRangeException or OverflowException or FormatException)
        {
            throw Unreadable();
        }
    }

    private void LoadContents()
    {
        var isOther = _file.StreamCount != _rows.Length + 1 || _file.RowBytes(TokenStream) != sizeof(int);
        for (var i = 0; i < _rows.Length && !isOther; i++)
        {
            isOther = _file.RowBytes(i + 1) != _rows[i].RowLength * sizeof(float);
        }

        if (isOther)
        {
            throw Unreadable();
        }

        var tokens = new int[checked((int)_file.RowCount(TokenStream))];
        _file.ReadRows(TokenStream, 0, MemoryMarshal.AsBytes(tokens.AsSpan()));
        _unchangedTokens = tokens.Length;
        if (tokens.AsSpan().ContainsAnyExceptInRange(0, _session.Model.Configuration.VocabularySize - 1))
        {
            throw Unreadable();
        }

        for (var i = 0; i < _rows.Length; i++)
        {
            LoadRows(i + 1, _rows[i]);
        }

        var rest = _file.Online;
        if (rest.IsEmpty)
        {
            _session.LoadTokens(tokens);
            return; // created, and nothing more
        }

        var numbers = Take<int>(Take<int>(1, ref rest)[0], ref rest);
        var hidden = Take<float>(_session.Model.Configuration.Dimension, ref rest);
        foreach (var buffer in _buffers)
        {
            _session.Model.Device.CopyFromHost(Take<float>((int)buffer.Length, ref rest), buffer);
        }

        if (!_session.Load(tokens, numbers, hidden))
        {
            throw Unreadable();
        }
    }

    /// <summary>Replaces cached states in memory by the same ones in the file.</summary>
    public void LeaveInFile()
    {
        Commit();
        _file.MapAppended();
        for (var i = 0; i < _rows.Length; i++)
        {
            var rows = _rows[i];
            for (var row = rows.MappedCount; row < rows.Count && rows.CanMap; row++)
            {
                rows.Map(row, _file.AddressOf(i + 1, row), _mapping);
            }
        }
    }

    /// <summary>Lets go of the file, which closes when nothing is mapped from it any more.</summary>
    public void Dispose() => _mapping.Release();

    private Span<float> Stage(DeviceSpan<float> source)
    {
        if (_staging.Length < source.Length)
        {
            _staging = new float[source.Length];
        }

        var staged = _staging.AsSpan(0, (int)source.Length);
        _session.Model.Device.CopyToHost(source, staged);
        return staged;
    }

    /// <summary>Numbers (how many, then they), the last hidden state, buffers.</summary>
    private ReadOnlySpan<byte> WriteOnline()
    {
        _numbers.Clear();
        _session.Save(_numbers);
        long bytes = sizeof(int) * (1L + _numbers.Count + _session.LastHidden.Length);
        foreach (var buffer in _buffers)
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
        Put(_session.LastHidden, ref rest);
        foreach (var buffer in _buffers)
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

    private void LoadRows(int stream, SharedRows rows)
    {
        var count = checked((int)_file.RowCount(stream));
        for (var row = 0; row < count; row++)
        {
            if (rows.CanMap)
            {
                rows.AppendMapped(_file.AddressOf(stream, row), _mapping);
            }
            else
            {
                var buffer = _staging.Length < rows.RowLength ? _staging = new float[rows.RowLength] : _staging;
                _file.ReadRows(stream, row, MemoryMarshal.AsBytes(buffer.AsSpan(0, (int)rows.RowLength)));
                _session.Model.Device.CopyFromHost<float>(buffer.AsSpan(0, (int)rows.RowLength), rows.Append());
            }
        }

        rows.Unchanged = count;
    }

    private ReadOnlySpan<T> Take<T>(int count, ref ReadOnlySpan<byte> source) where T : unmanaged
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

    private LociException Unreadable() =>
        new($"The memory in '{Path}' does not fit this model, although it says so: it was written by another version of Loci. Read the text again.");
}
