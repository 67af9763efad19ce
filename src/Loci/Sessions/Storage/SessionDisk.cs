using System.IO.MemoryMappedFiles;
using Loci.Formats;
using Microsoft.Win32.SafeHandles;

namespace Loci.Sessions.Storage;

/// <summary>The open file below a <see cref="SessionFile"/>: reads, writes and flushes at positions, and views of it in memory. Tests put a failing one in its place.</summary>
internal class SessionDisk : IDisposable
{
    private readonly FileStream _stream;
    private readonly SafeFileHandle _handle;
    private readonly List<MemoryMappedViewAccessor> _views = [];

    /// <summary>Takes over an open file.</summary>
    /// <param name="path">What messages call it.</param>
    /// <param name="stream">The file, which this object closes.</param>
    public SessionDisk(string path, FileStream stream)
    {
        Path = path;
        _stream = stream;
        _handle = stream.SafeFileHandle;
    }

    /// <summary>The path the file was opened by.</summary>
    public string Path { get; }

    /// <summary>Whether it was opened for writing.</summary>
    public bool Writable => _stream.CanWrite;

    /// <summary>The bytes the file has, whether they belong to a commit or not.</summary>
    public long Length => RandomAccess.GetLength(_handle);

    /// <summary>Writes at a position.</summary>
    public virtual void Write(long position, ReadOnlySpan<byte> data) => RandomAccess.Write(_handle, data, position);

    /// <summary>Makes the file at least so long; what is new takes no room on the disk until it is written.</summary>
    public virtual void Extend(long length)
    {
        if (Length < length)
        {
            RandomAccess.SetLength(_handle, length);
        }
    }

    /// <summary>Forces what was written to the disk.</summary>
    public virtual void Flush() => RandomAccess.FlushToDisk(_handle);

    /// <summary>Reads as many bytes as asked for; false where the file ends before.</summary>
    /// <exception cref="LociException">The disk is failing.</exception>
    public bool TryRead(long position, Span<byte> destination)
    {
        try
        {
            while (!destination.IsEmpty)
            {
                int count = RandomAccess.Read(_handle, destination, position);
                if (count == 0)
                {
                    return false;
                }

                position += count;
                destination = destination[count..];
            }

            return true;
        }
        catch (Exception exception) when (FileFailure.Is(exception))
        {
            throw FileFailure.Reading(Path, exception);
        }
    }

    /// <summary>Puts a part of the file into memory, to be read there until this object is disposed.</summary>
    /// <returns>The address of byte <paramref name="start"/>.</returns>
    /// <exception cref="LociException">The system has no room for it or does not map such a file.</exception>
    public nint Map(long start, long end)
    {
        try
        {
            // A mapping object knows only the length the file had when it was made, hence one each time; its views outlive it.
            using MemoryMappedFile mapping = MemoryMappedFile.CreateFromFile(
                _handle, null, 0, MemoryMappedFileAccess.Read, HandleInheritability.None, leaveOpen: true);
            MemoryMappedViewAccessor view = mapping.CreateViewAccessor(start, end - start, MemoryMappedFileAccess.Read);
            _views.Add(view);
            return view.SafeMemoryMappedViewHandle.DangerousGetHandle() + (nint)view.PointerOffset;
        }
        catch (Exception exception) when (FileFailure.Is(exception))
        {
            throw new LociException(
                $"Cannot map '{Path}' into memory: {exception.Message.ReplaceLineEndings(" ").TrimEnd('.')}; move it to a local disk or free some memory.", exception);
        }
    }

    /// <inheritdoc/>
    public void Dispose()
    {
        foreach (MemoryMappedViewAccessor view in _views)
        {
            view.Dispose();
        }

        _views.Clear();
        _stream.Dispose();
        GC.SuppressFinalize(this);
    }
}
