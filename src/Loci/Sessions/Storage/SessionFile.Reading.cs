namespace Loci.Sessions.Storage;

internal sealed partial class SessionFile
{
    /// <summary>Whether a row of the last commit lies in memory. After opening all do; those of later commits do from <see cref="MapAppended"/> on.</summary>
    /// <param name="stream">The stream's number.</param>
    /// <param name="row">The row's number.</param>
    public bool IsMapped(int stream, long row) => _streams[stream].Find(row).Address != 0;

    /// <summary>Where a row of the last commit lies in memory, to be read only.</summary>
    /// <param name="stream">The stream's number.</param>
    /// <param name="row">The row's number.</param>
    public nint AddressOf(int stream, long row) => AddressOf(stream, row, out _);

    /// <summary>Where a row of the last commit lies in memory, to be read only, and how many follow it there.</summary>
    /// <param name="stream">The stream's number.</param>
    /// <param name="row">The row's number.</param>
    /// <param name="rows">The number of rows, this one included, that lie there without gaps.</param>
    public nint AddressOf(int stream, long row, out long rows)
    {
        ref readonly SessionStream.Extent extent = ref _streams[stream].Find(row);
        if (extent.Address == 0)
        {
            throw new InvalidOperationException($"Row {row} of stream {stream} is not mapped yet; call {nameof(MapAppended)} first.");
        }

        rows = extent.First + extent.Rows - row;
        return extent.Address + (nint)((row - extent.First) * _streams[stream].RowBytes);
    }

    /// <summary>Copies rows of the last commit out of the file, whether they are mapped or not.</summary>
    /// <param name="stream">The stream's number.</param>
    /// <param name="first">The first row's number.</param>
    /// <param name="destination">Receives as many whole rows as it has room for.</param>
    /// <exception cref="LociException">The disk fails.</exception>
    public void ReadRows(int stream, long first, Span<byte> destination)
    {
        SessionStream source = _streams[stream];
        while (!destination.IsEmpty)
        {
            ref readonly SessionStream.Extent extent = ref source.Find(first);
            long skip = first - extent.First;
            long rows = Math.Min(extent.Rows - skip, destination.Length / source.RowBytes);
            if (rows == 0)
            {
                throw new ArgumentException($"The destination does not hold whole rows of {source.RowBytes} bytes.", nameof(destination));
            }

            int bytes = (int)(rows * source.RowBytes);
            if (!_disk.TryRead(extent.Position + (skip * source.RowBytes), destination[..bytes]))
            {
                throw CutShort();
            }

            first += rows;
            destination = destination[bytes..];
        }
    }

    /// <summary>Maps the rows of all commits since opening, or since the last call, by one view more. Addresses given out before stay valid.</summary>
    /// <exception cref="LociException">The system has no room for it.</exception>
    public void MapAppended()
    {
        if (_mappedEnd == _logEnd)
        {
            return;
        }

        nint address = _disk.Map(_mappedEnd, _logEnd);
        foreach (SessionStream stream in _streams)
        {
            stream.SetAddresses(_mappedEnd, address);
        }

        _mappedEnd = _logEnd;
    }
}
