using Loci.Formats;
using static Loci.Sessions.Storage.SessionFormat;

namespace Loci.Sessions.Storage;

/// <summary>
/// The file that a decoding session lives in: some streams of rows, which grow at their ends and may be cut back, and one blob with everything else.
/// A commit moves all of it from one state to the next; whenever the process or the machine dies, the file opens as the last commit that was made.
/// </summary>
/// <remarks>
/// <para>
/// A commit appends its rows behind the last one's, writes the blob where the blob before the last one was, flushes, and then writes the slot that
/// makes it valid, and flushes again. So everything a valid slot speaks of is on the disk, and damage to it is reported rather than taken for a crash.
/// </para>
/// <para>
/// Rows are read where they lie, in a view of the file in memory. Data of records begins at multiples of 64 bytes; rows within one record follow each
/// other without gaps. The views are valid until the object is disposed or <see cref="Compact()"/> replaces the file. Rows that were cut off keep their room until the file is compacted.
/// </para>
/// <para>One process writes a file, or several read it. An object serves one thread at a time; rows may be read at their addresses from any.</para>
/// </remarks>
internal sealed partial class SessionFile : IDisposable
{
    private const int BufferBytes = 1 << 18;

    private readonly byte[] _metadata;
    private readonly long _logStart;
    private readonly byte[] _block = new byte[BlockBytes];
    private readonly byte[] _page = new byte[PageBytes];
    private byte[]? _buffer; // what comes next in the log, not written yet
    private SessionDisk _disk;
    private SessionStream[] _streams;

    // The last commit.
    private long _logEnd;
    private uint _logChecksum;
    private Area _area; // holds its blob
    private Area _spare; // free for the next one
    private byte[] _online = [];
    private int _onlineBytes;
    private long _mappedEnd;

    // The commit under way.
    private bool _begun;
    private bool _slotInDoubt;
    private long _bufferPosition;
    private int _buffered;
    private uint _nextChecksum;
    private int _openStream = -1; // the stream whose record is being written
    private long _openPosition;
    private long _openKeep;
    private long _openRows;
    private uint _openChecksum;

    private SessionFile(SessionDisk disk, byte[] metadata, ReadOnlySpan<long> rowBytes)
    {
        _disk = disk;
        _metadata = metadata;
        _streams = new SessionStream[rowBytes.Length];
        for (int i = 0; i < _streams.Length; i++)
        {
            _streams[i] = new SessionStream(rowBytes[i]);
        }

        _logStart = SlotsStart(rowBytes.Length, metadata.Length) + (2 * PageBytes);
        _logEnd = _logStart;
    }

    /// <summary>The path the file was opened by.</summary>
    public string Path => _disk.Path;

    /// <summary>Whether commits can be made.</summary>
    public bool Writable => _disk.Writable;

    /// <summary>What the creator noted about the session.</summary>
    public ReadOnlySpan<byte> Metadata => _metadata;

    /// <summary>How many streams there are.</summary>
    public int StreamCount => _streams.Length;

    /// <summary>How many commits have been made; 0 for a session that has just been created.</summary>
    public long Commits { get; private set; }

    /// <summary>The blob of the last commit; valid until the next one.</summary>
    public ReadOnlySpan<byte> Online => _online.AsSpan(0, _onlineBytes);

    /// <summary>The bytes of the file up to the end of the last commit.</summary>
    public long Length => _logEnd;

    /// <summary>The bytes that all rows of the last commit take; what <see cref="Length"/> has beyond them and two blobs is mostly rows that were cut off.</summary>
    public long LiveBytes
    {
        get
        {
            long bytes = 0;
            foreach (SessionStream stream in _streams)
            {
                bytes += stream.Count * stream.RowBytes;
            }

            return bytes;
        }
    }

    /// <summary>The size of a row.</summary>
    /// <param name="stream">The stream's number.</param>
    public long RowBytes(int stream) => _streams[stream].RowBytes;

    /// <summary>The rows of a stream as of the last commit.</summary>
    /// <param name="stream">The stream's number.</param>
    public long RowCount(int stream) => _streams[stream].Count;

    /// <summary>Creates a session without rows, open for writing. The file appears under its name only when it is complete.</summary>
    /// <param name="path">The file; its folder must exist.</param>
    /// <param name="metadata">What to note about the session; up to 16 MB.</param>
    /// <param name="rowBytes">The size of a row of each stream, in bytes.</param>
    /// <param name="overwrite">Whether a file of that name may be replaced.</param>
    /// <param name="wrap">For tests: makes the object that reads and writes.</param>
    /// <exception cref="LociException">The file is there and may not be replaced, another process uses it, or it cannot be written.</exception>
    public static SessionFile Create(
        string path, ReadOnlySpan<byte> metadata, ReadOnlySpan<long> rowBytes, bool overwrite, Func<string, FileStream, SessionDisk>? wrap = null)
    {
        ArgumentException.ThrowIfNullOrEmpty(path);
        ArgumentOutOfRangeException.ThrowIfGreaterThan(metadata.Length, MaximumMetadata);
        ArgumentOutOfRangeException.ThrowIfGreaterThan(rowBytes.Length, MaximumStreams);
        foreach (long bytes in rowBytes)
        {
            ArgumentOutOfRangeException.ThrowIfNegativeOrZero(bytes);
            ArgumentOutOfRangeException.ThrowIfGreaterThan(bytes, int.MaxValue);
        }

        byte[] header = BuildHeader(metadata, rowBytes);
        FileStream? replaced = Hold(path, overwrite);
        try
        {
            FileStream stream = AtomicFile.Hold(path, overwrite, stream => WriteStart(new SessionDisk(path, stream), header));
            return new SessionFile(wrap?.Invoke(path, stream) ?? new SessionDisk(path, stream), metadata.ToArray(), rowBytes);
        }
        finally
        {
            replaced?.Dispose();
        }
    }

    /// <summary>Begins a commit.</summary>
    /// <exception cref="LociException">An earlier commit failed half-way, and the disk still does not let it be taken back.</exception>
    public void Begin()
    {
        if (!Writable)
        {
            throw new InvalidOperationException("The session file is open for reading only.");
        }

        if (_begun)
        {
            throw new InvalidOperationException("A commit is under way already.");
        }

        if (_slotInDoubt)
        {
            // Its slot may have reached the disk, and its rows are about to be overwritten.
            _page.AsSpan().Clear();
            try
            {
                _disk.Write(SlotPosition(Commits + 1), _page);
                _disk.Flush();
            }
            catch (Exception exception) when (FileFailure.Is(exception))
            {
                throw FileFailure.Writing(Path, exception);
            }

            _slotInDoubt = false;
        }

        foreach (SessionStream stream in _streams)
        {
            stream.Reset();
        }

        _buffer ??= new byte[BufferBytes];
        _bufferPosition = _logEnd;
        _buffered = 0;
        _nextChecksum = _logChecksum;
        _openStream = -1;
        _begun = true;
    }

    /// <summary>Keeps the first rows of a stream and cuts the others off; without this call all stay.</summary>
    /// <param name="stream">The stream's number.</param>
    /// <param name="rows">How many to keep, at most as many as it has by now.</param>
    /// <exception cref="LociException">The disk is full or failing; the commit under way is taken back.</exception>
    public void Keep(int stream, long rows)
    {
        RequireBegun();
        SessionStream target = _streams[stream];
        ArgumentOutOfRangeException.ThrowIfNegative(rows);
        if (stream == _openStream)
        {
            Attempt(static file => file.CloseRecord());
        }

        ArgumentOutOfRangeException.ThrowIfGreaterThan(rows, target.NextCount);
        target.Keep(rows);
    }

    /// <summary>Appends rows to a stream. Streams may come in any order; several calls in a row for one stream make one record.</summary>
    /// <param name="stream">The stream's number.</param>
    /// <param name="data">Whole rows.</param>
    /// <exception cref="LociException">The disk is full or failing; the commit under way is taken back.</exception>
    public void AppendRows(int stream, ReadOnlySpan<byte> data)
    {
        RequireBegun();
        (long rows, long rest) = Math.DivRem(data.Length, _streams[stream].RowBytes);
        if (rest != 0)
        {
            throw new ArgumentException($"{data.Length} bytes are not whole rows of {_streams[stream].RowBytes} bytes.", nameof(data));
        }

        if (rows == 0)
        {
            return;
        }

        try
        {
            if (stream != _openStream)
            {
                OpenRecord(stream);
            }

            Append(data);
        }
        catch (Exception exception) when (FileFailure.Is(exception))
        {
            throw Failed(exception);
        }

        _openRows += rows;
        _openChecksum = Crc32C.Append(_openChecksum, data);
    }

    /// <summary>Makes what was done since <see cref="Begin"/> the session that opens from now on, also after a power failure.</summary>
    /// <param name="online">The blob.</param>
    /// <exception cref="LociException">
    /// The disk is full or failing. The commit is taken back and the one before goes on being the last, unless only the very last flush failed and the
    /// process ends without another commit: then the file may open as either.
    /// </exception>
    public void Commit(ReadOnlySpan<byte> online)
    {
        RequireBegun();
        if (_online.Length < online.Length)
        {
            Array.Resize(ref _online, (int)Math.Min(Array.MaxLength, online.Length + (online.Length / 4L)));
        }

        Area area;
        long logEnd;
        try
        {
            CloseRecord();
            for (int i = 0; i < _streams.Length; i++)
            {
                if (_streams[i].CutUnrecorded)
                {
                    OpenRecord(i);
                    CloseRecord();
                }
            }

            area = TakeArea(online.Length);
            FlushBuffer();
            logEnd = area.Position < _logEnd ? _bufferPosition : area.Position + area.Capacity;

            _disk.Write(area.Position, online);
            _disk.Extend(logEnd);
            _disk.Flush();
            new Slot(Commits + 1, logEnd, _nextChecksum, area.Position, online.Length, Crc32C.Compute(online)).Write(_page);
            _slotInDoubt = true;
            _disk.Write(SlotPosition(Commits + 1), _page);
            _disk.Flush();
            _slotInDoubt = false;
        }
        catch (Exception exception) when (FileFailure.Is(exception))
        {
            throw Failed(exception);
        }

        // Of all areas but the blob's, the largest is the next one's; smaller ones stay unused until the file is compacted.
        (_area, _spare) = (area, area == _spare || _area.Capacity >= _spare.Capacity ? _area : _spare);
        foreach (SessionStream stream in _streams)
        {
            stream.Apply();
        }

        online.CopyTo(_online);
        _onlineBytes = online.Length;
        _logEnd = logEnd;
        _logChecksum = _nextChecksum;
        Commits++;
        _begun = false;
    }

    /// <summary>Takes back what was done since <see cref="Begin"/>; nothing where no commit is under way.</summary>
    public void Rollback()
    {
        foreach (SessionStream stream in _streams)
        {
            stream.Reset();
        }

        _begun = false;
    }

    /// <inheritdoc/>
    public void Dispose() => _disk.Dispose();

    /// <summary>Takes a file that is about to be replaced, so that a session another process has open does not lose its file; null where there is none.</summary>
    private static FileStream? Hold(string path, bool overwrite)
    {
        if (!File.Exists(path))
        {
            return null;
        }

        if (!overwrite)
        {
            throw new LociException($"There is already a file '{path}'; choose another name, or remove it first.");
        }

        FileStream stream = OpenStream(path, writable: true);
        if (OperatingSystem.IsWindows())
        {
            stream.Dispose(); // Windows does not replace an open file
        }

        return stream;
    }

    /// <summary>Writes header and slots; the slot of commit 0, unless a later commit comes right behind.</summary>
    private static void WriteStart(SessionDisk disk, ReadOnlySpan<byte> header, bool withSlot = true)
    {
        Span<byte> pages = stackalloc byte[2 * PageBytes];
        pages.Clear();
        if (withSlot)
        {
            new Slot(0, header.Length + pages.Length, 0, 0, 0, 0).Write(pages[..PageBytes]);
        }

        disk.Write(0, header);
        disk.Write(header.Length, pages);
    }

    private long SlotPosition(long commit) => _logStart - (2 * PageBytes) + ((commit & 1) * PageBytes);

    private void RequireBegun()
    {
        if (!_begun)
        {
            throw new InvalidOperationException("No commit is under way; call Begin first.");
        }
    }

    private void Attempt(Action<SessionFile> action)
    {
        try
        {
            action(this);
        }
        catch (Exception exception) when (FileFailure.Is(exception))
        {
            throw Failed(exception);
        }
    }

    private LociException Failed(Exception exception)
    {
        Rollback();
        return FileFailure.Writing(Path, exception);
    }

    /// <summary>The room for the next blob: what the blob before the last one had, or a larger one at the end of the log.</summary>
    private Area TakeArea(long bytes)
    {
        if (bytes <= _spare.Capacity)
        {
            return _spare;
        }

        long largest = Math.Max(_area.Capacity, _spare.Capacity);
        long capacity = bytes <= largest ? largest : Align(Math.Max(bytes + (bytes / 4), largest + (largest / 2)), PageBytes);
        Area area = new(_bufferPosition + _buffered + BlockBytes, capacity);
        AppendHeader(new Record(RecordKind.Area, Commits + 1, capacity, 0, 0, 0, 0));
        return area;
    }

    private void OpenRecord(int stream)
    {
        CloseRecord();
        _openStream = stream;
        _openPosition = _bufferPosition + _buffered;
        _openKeep = _streams[stream].NextCount;
        _openRows = 0;
        _openChecksum = 0;
        _block.AsSpan().Clear(); // the header comes when the rows are known
        Append(_block);
    }

    private void CloseRecord()
    {
        if (_openStream < 0)
        {
            return;
        }

        SessionStream stream = _streams[_openStream];
        long bytes = _openRows * stream.RowBytes;
        _block.AsSpan().Clear();
        Append(_block.AsSpan(0, (int)(Align(bytes, Alignment) - bytes)));
        new Record(RecordKind.Rows, Commits + 1, bytes, _openStream, _openKeep, _openRows, _openChecksum).Write(_block);
        if (_openPosition >= _bufferPosition)
        {
            _block.CopyTo(_buffer.AsSpan((int)(_openPosition - _bufferPosition)));
        }
        else
        {
            _disk.Write(_openPosition, _block);
        }

        _nextChecksum = Crc32C.Append(_nextChecksum, _block);
        stream.Add(_openRows, _openPosition + BlockBytes, _openChecksum);
        _openStream = -1;
    }

    private void AppendHeader(in Record record)
    {
        record.Write(_block);
        _nextChecksum = Crc32C.Append(_nextChecksum, _block);
        Append(_block);
    }

    private void Append(ReadOnlySpan<byte> data)
    {
        if (data.Length > _buffer!.Length - _buffered)
        {
            FlushBuffer();
        }

        if (data.Length > _buffer.Length / 2)
        {
            FlushBuffer();
            _disk.Write(_bufferPosition, data);
            _bufferPosition += data.Length;
            return;
        }

        data.CopyTo(_buffer.AsSpan(_buffered));
        _buffered += data.Length;
    }

    private void FlushBuffer()
    {
        if (_buffered > 0)
        {
            _disk.Write(_bufferPosition, _buffer.AsSpan(0, _buffered));
            _bufferPosition += _buffered;
            _buffered = 0;
        }
    }

    /// <summary>Room in the log that a blob is written to in place; none where the capacity is 0.</summary>
    private readonly record struct Area(long Position, long Capacity);
}
