using System.Buffers.Binary;
using Loci.Formats;
using static Loci.Sessions.Storage.SessionFormat;

namespace Loci.Sessions.Storage;

internal sealed partial class SessionFile
{
    private const int VerifyBytes = 1 << 20;
    private const int SharingViolationLinux = 11;
    private const int SharingViolationMac = 35;
    private const int SharingViolationWindows = unchecked((int)0x80070020);

    /// <summary>
    /// Opens a session as of its last commit. All of the file that does not lie in rows is checked always; opening changes nothing, and what a
    /// commit that never became valid left behind is ignored and overwritten by the next.
    /// </summary>
    /// <param name="path">The file.</param>
    /// <param name="writable">Whether commits will be made; then no other process may have the file open, otherwise others may read it too.</param>
    /// <param name="verify">Whether to read and check all rows. Without it damaged rows go unnoticed until <see cref="Verify"/>.</param>
    /// <param name="progress">Told how many bytes of rows have been checked, of <see cref="LiveBytes"/>.</param>
    /// <param name="previous">Whether to open the commit before the last, for a file whose last one is damaged; the next commit then takes the place of the last.</param>
    /// <param name="wrap">For tests: makes the object that reads and writes.</param>
    /// <exception cref="LociException">The file is missing, in use, no session file, of a newer version, or damaged.</exception>
    public static SessionFile Open(
        string path, bool writable, bool verify = true, IProgress<long>? progress = null, bool previous = false,
        Func<string, FileStream, SessionDisk>? wrap = null)
    {
        ArgumentException.ThrowIfNullOrEmpty(path);
        FileStream stream = OpenStream(path, writable);
        SessionDisk disk = wrap?.Invoke(path, stream) ?? new SessionDisk(path, stream);
        try
        {
            SessionFile file = ReadStart(disk);
            file.ReadCommit(previous);
            if (verify)
            {
                file.Verify(progress);
            }

            file.MapAppended();
            return file;
        }
        catch (Exception exception)
        {
            disk.Dispose();
            if (FileFailure.Is(exception))
            {
                throw FileFailure.Reading(path, exception);
            }

            throw;
        }
    }

    /// <summary>Reads and checks all rows of the last commit.</summary>
    /// <param name="progress">Told how many bytes of rows have been checked, of <see cref="LiveBytes"/>.</param>
    /// <exception cref="LociException">Rows are damaged, or the disk fails.</exception>
    public void Verify(IProgress<long>? progress = null)
    {
        // Read rather than looked at in the view: a failing disk is then an error, not the end of the process.
        byte[] buffer = new byte[Math.Min(VerifyBytes, Length)];
        long done = 0;
        for (int i = 0; i < _streams.Length; i++)
        {
            SessionStream stream = _streams[i];
            foreach (ref readonly SessionStream.Extent extent in stream.Extents)
            {
                long bytes = extent.RecordRows * stream.RowBytes;
                uint checksum = 0;
                for (long offset = 0; offset < bytes;)
                {
                    Span<byte> part = buffer.AsSpan(0, (int)Math.Min(buffer.Length, bytes - offset));
                    if (!_disk.TryRead(extent.Position + offset, part))
                    {
                        throw CutShort();
                    }

                    checksum = Crc32C.Append(checksum, part);
                    offset += part.Length;
                    progress?.Report(done + Math.Min(offset, extent.Rows * stream.RowBytes));
                }

                if (checksum != extent.Checksum)
                {
                    throw Damaged($"rows {extent.First} to {extent.First + extent.RecordRows - 1} of stream {i} do not match their checksum");
                }

                done += extent.Rows * stream.RowBytes;
            }
        }
    }

    private static FileStream OpenStream(string path, bool writable)
    {
        if (Directory.Exists(path))
        {
            throw new LociException($"'{path}' is a folder where a session file is needed; name a file in it.");
        }

        try
        {
            return writable
                ? new FileStream(path, FileMode.Open, FileAccess.ReadWrite, FileShare.None, bufferSize: 0)
                : new FileStream(path, FileMode.Open, FileAccess.Read, FileShare.Read, bufferSize: 0);
        }
        catch (IOException exception) when (exception.HResult ==
            (OperatingSystem.IsWindows() ? SharingViolationWindows : OperatingSystem.IsLinux() ? SharingViolationLinux : SharingViolationMac))
        {
            throw new LociException(ErrorKind.InUse, $"The session file '{path}' is in use by another process; wait until it ends, or name another file.", exception);
        }
        catch (UnauthorizedAccessException exception) when (writable)
        {
            throw FileFailure.Writing(path, exception);
        }
        catch (Exception exception) when (FileFailure.Is(exception))
        {
            throw FileFailure.Reading(path, exception);
        }
    }

    private static SessionFile ReadStart(SessionDisk disk)
    {
        string path = disk.Path;
        Span<byte> block = stackalloc byte[BlockBytes];
        block.Clear();
        long length = disk.Length;
        if (length == 0)
        {
            throw new LociException($"'{path}' is empty where a session file is needed; name another file, or remove it to start a session under its name.");
        }

        int available = (int)Math.Min(length, BlockBytes);
        if (!disk.TryRead(0, block[..available]) || !block.StartsWith(Magic[..Math.Min(available, Magic.Length)]))
        {
            throw new LociException($"'{path}' is not a session file; name a file that a session was saved to.");
        }

        if (available < BlockBytes)
        {
            throw CutShort(path, length);
        }

        int version = BinaryPrimitives.ReadInt32LittleEndian(block[8..]);
        if (version != FormatVersion)
        {
            throw new LociException($"The session file '{path}' has format {version}, and this version of Loci reads format {FormatVersion}; use the version that wrote it, or a newer one.");
        }

        if (!TryReadSizes(block, out int streams, out int metadataBytes))
        {
            throw Damaged(path, "its header gives impossible sizes");
        }

        byte[] header = new byte[SlotsStart(streams, metadataBytes)];
        if (!disk.TryRead(0, header))
        {
            throw CutShort(path, length);
        }

        return TryReadHeader(header, streams, metadataBytes, out long[] rowBytes, out byte[] metadata)
            ? new SessionFile(disk, metadata, rowBytes)
            : throw Damaged(path, "its header does not match its checksum");
    }

    private void ReadCommit(bool previous)
    {
        Slot slot = ReadSlot(previous);
        if (_disk.Length < slot.LogEnd)
        {
            throw CutShort();
        }

        ReadLog(slot);
        Commits = slot.Commit;
        if (_area.Position != slot.BlobPosition || slot.BlobLength < 0 || slot.BlobLength > Math.Min(_area.Capacity, Array.MaxLength))
        {
            throw Damaged("its last commit does not fit its log");
        }

        _online = new byte[slot.BlobLength];
        _onlineBytes = _online.Length;
        if (!_disk.TryRead(slot.BlobPosition, _online))
        {
            throw CutShort();
        }

        if (Crc32C.Compute(_online) != slot.BlobChecksum)
        {
            throw Damaged("the state of its last commit does not match its checksum");
        }
    }

    private Slot ReadSlot(bool previous)
    {
        Span<byte> block = stackalloc byte[BlockBytes];
        Slot none = new(-1, 0, 0, 0, 0, 0);
        Slot newest = none;
        Slot older = none;
        for (long position = SlotPosition(0); position < _logStart; position += SlotCopy)
        {
            if (!_disk.TryRead(position, block))
            {
                throw CutShort();
            }

            if (!Slot.TryRead(block, out Slot slot) || slot.LogEnd < _logStart)
            {
                continue;
            }

            if (slot.Commit > newest.Commit)
            {
                (newest, older) = (slot, newest);
            }
            else if (slot.Commit < newest.Commit)
            {
                older = slot;
            }
        }

        // The next commit overwrites rows of the one that is passed over.
        _slotInDoubt = previous;
        Slot chosen = previous ? older : newest;
        return chosen != none ? chosen : throw Damaged(previous ? "no commit before its last is whole" : "no commit in it is whole");
    }

    private void ReadLog(in Slot slot)
    {
        foreach (SessionStream stream in _streams)
        {
            stream.Reset();
        }

        long position = _logStart;
        long commit = 0;
        Span<byte> buffer = stackalloc byte[PageBytes]; // small records come many at once, and large ones are skipped
        long bufferStart = 0;
        int bufferLength = 0;
        while (position < slot.LogEnd)
        {
            if (position + BlockBytes > bufferStart + bufferLength)
            {
                bufferStart = position;
                bufferLength = (int)Math.Min(buffer.Length, slot.LogEnd - position);
                if (!_disk.TryRead(bufferStart, buffer[..bufferLength]))
                {
                    throw CutShort();
                }
            }

            int offset = (int)(position - bufferStart);
            if (bufferLength - offset < BlockBytes)
            {
                throw Damaged($"its log ends within a record at byte {position}");
            }

            Span<byte> block = buffer.Slice(offset, BlockBytes);
            if (!Record.TryRead(block, out Record record) || record.Commit < commit || record.Commit > slot.Commit
                || record.PayloadBytes > slot.LogEnd - position - BlockBytes || (record.Kind == RecordKind.Rows && !TryTakeRows(record, position + BlockBytes)))
            {
                throw Damaged($"the record at byte {position} is not whole");
            }

            if (record.Kind == RecordKind.Area)
            {
                Area area = new(position + BlockBytes, record.PayloadBytes);
                if (area.Position == slot.BlobPosition)
                {
                    _area = area;
                }
                else if (area.Capacity >= _spare.Capacity)
                {
                    _spare = area;
                }
            }

            _logChecksum = Crc32C.Append(_logChecksum, block);
            commit = record.Commit;
            position += BlockBytes + Align(record.PayloadBytes, Alignment);
        }

        if (position != slot.LogEnd || _logChecksum != slot.LogChecksum)
        {
            throw Damaged("its log is not the one its last commit ended");
        }

        _logEnd = position;
        foreach (SessionStream stream in _streams)
        {
            stream.Apply();
        }
    }

    /// <summary>Applies a record of rows; false where it does not fit those before.</summary>
    private bool TryTakeRows(in Record record, long payload)
    {
        if ((uint)record.Stream >= (uint)_streams.Length)
        {
            return false;
        }

        SessionStream stream = _streams[record.Stream];
        if (record.Keep < 0 || record.Keep > stream.NextCount || Math.DivRem(record.PayloadBytes, stream.RowBytes) != (record.Rows, 0))
        {
            return false;
        }

        stream.Keep(record.Keep);
        stream.Add(record.Rows, payload, record.DataChecksum);
        return true;
    }

    private LociException CutShort() => CutShort(Path, _disk.Length);

    private LociException Damaged(string what) => Damaged(Path, what);

    private static LociException CutShort(string path, long length) =>
        new(ErrorKind.Damaged, $"The session file '{path}' is cut short at {length} bytes, within what was committed; fetch it again, restore a copy, or start the session anew.");

    private static LociException Damaged(string path, string what) =>
        new(ErrorKind.Damaged, $"The session file '{path}' is damaged: {what}; restore a copy, or start the session anew.");
}
