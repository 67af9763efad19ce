using Loci.Formats;
using static Loci.Sessions.Storage.SessionFormat;

namespace Loci.Sessions.Storage;

internal sealed partial class SessionFile
{
    /// <summary>Writes the session of the last commit to another file, without rows that were cut off. All rows are checked first.</summary>
    /// <param name="path">The file to create, written aside and renamed; its folder must exist.</param>
    /// <param name="overwrite">Whether a file of that name may be replaced.</param>
    /// <exception cref="LociException">Rows are damaged, the file is there and may not be replaced, is in use, is this one, or cannot be written.</exception>
    public void CompactTo(string path, bool overwrite = false)
    {
        ArgumentException.ThrowIfNullOrEmpty(path);
        if (System.IO.Path.GetFullPath(path) == System.IO.Path.GetFullPath(Path))
        {
            throw new LociException($"'{path}' is the session file itself; choose another name for the copy.");
        }

        FileStream? replaced = Hold(path, overwrite);
        try
        {
            Verify();
            AtomicFile.Hold(path, overwrite, stream => WriteCopy(path, stream)).Dispose();
        }
        finally
        {
            replaced?.Dispose();
        }
    }

    /// <summary>
    /// Replaces this file by one without rows that were cut off, and goes on with that; all rows are checked first. The rows are mapped at new addresses.
    /// </summary>
    /// <exception cref="LociException">Rows are damaged, or the new file cannot be written; then the old one stays as it was, and in use unless the system is Windows.</exception>
    public void Compact()
    {
        if (!Writable || _begun)
        {
            throw new InvalidOperationException("A session file is compacted where it is open for writing and no commit is under way.");
        }

        Verify();
        SessionFile? copy = null;
        AtomicFile.Hold(Path, overwrite: true, stream =>
        {
            copy = WriteCopy(Path, stream);
            if (OperatingSystem.IsWindows())
            {
                _disk.Dispose(); // Windows does not replace an open file
            }
        });
        _disk.Dispose();
        _disk = copy!._disk;
        _streams = copy._streams;
        (_logEnd, _logChecksum, _area, _spare, _mappedEnd, _slotInDoubt) = (copy._logEnd, copy._logChecksum, copy._area, copy._spare, 0, false);
        MapAppended();
    }

    private SessionFile WriteCopy(string path, FileStream stream)
    {
        long[] rowBytes = [.. _streams.Select(source => source.RowBytes)];
        SessionDisk disk = new(path, stream);
        WriteStart(disk, BuildHeader(_metadata, rowBytes), withSlot: Commits == 0);
        SessionFile copy = new(disk, _metadata, rowBytes);
        if (Commits == 0)
        {
            return copy;
        }

        copy.Commits = Commits - 1;
        copy.Begin();
        byte[] buffer = [];
        for (int i = 0; i < _streams.Length; i++)
        {
            SessionStream source = _streams[i];
            long step = Math.Min(Math.Max(1, VerifyBytes / source.RowBytes), source.Count);
            if (buffer.Length < step * source.RowBytes)
            {
                buffer = new byte[step * source.RowBytes];
            }

            for (long row = 0; row < source.Count; row += step)
            {
                Span<byte> part = buffer.AsSpan(0, (int)(Math.Min(step, source.Count - row) * source.RowBytes));
                ReadRows(i, row, part);
                copy.AppendRows(i, part);
            }
        }

        copy.Commit(Online);
        return copy;
    }
}
