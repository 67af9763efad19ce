using Loci.Numerics;

namespace Loci.Memory.Store;

/// <summary>The memory of one sequence: buffers of fixed size, which change from token to token, and rows, one a cached state. It is copied, counted and freed as a whole.</summary>
internal sealed class SequenceStore(Device device) : IDisposable
{
    private readonly List<DeviceSpan<float>> _buffers = [];
    private readonly List<SharedRows> _rows = [];

    /// <summary>The buffers, in the order in which they were made.</summary>
    public IReadOnlyList<DeviceSpan<float>> Buffers => _buffers;

    /// <summary>The rows, likewise.</summary>
    public IReadOnlyList<SharedRows> Rows => _rows;

    /// <summary>Bytes of all of it that lie in memory.</summary>
    public long Bytes
    {
        get
        {
            long bytes = 0;
            foreach (var buffer in _buffers)
            {
                bytes += buffer.Length * sizeof(float);
            }

            foreach (var rows in _rows)
            {
                bytes += rows.Bytes;
            }

            return bytes;
        }
    }

    /// <summary>Bytes that a row in each of the rows takes.</summary>
    public long BytesPerRow
    {
        get
        {
            long floats = 0;
            foreach (var rows in _rows)
            {
                floats += rows.RowLength;
            }

            return floats * sizeof(float);
        }
    }

    /// <summary>Makes a buffer, zero at the start; an empty one is none.</summary>
    public DeviceSpan<float> AddBuffer(long length)
    {
        var buffer = device.Allocate<float>(length);
        if (length > 0)
        {
            device.Clear(buffer);
            _buffers.Add(buffer);
        }

        return buffer;
    }

    /// <summary>Makes rows, none at the start; parameters as of <see cref="SharedRows"/>.</summary>
    public SharedRows AddRows(long rowLength, bool isAlone = false)
    {
        SharedRows rows = new(device, rowLength, isAlone);
        _rows.Add(rows);
        return rows;
    }

    /// <summary>Takes over the contents of a store of the same make; rows are shared.</summary>
    public void CopyFrom(SequenceStore source)
    {
        for (var i = 0; i < _buffers.Count; i++)
        {
            device.Copy(source._buffers[i], _buffers[i]);
        }

        for (var i = 0; i < _rows.Count; i++)
        {
            source._rows[i].CopyTo(_rows[i]);
        }
    }

    /// <summary>Makes all buffers zero and drops all rows but the first <paramref name="count"/>.</summary>
    public void GoBack(int count)
    {
        foreach (var buffer in _buffers)
        {
            device.Clear(buffer);
        }

        Truncate(count);
    }

    /// <summary>Drops all rows but the first <paramref name="count"/>.</summary>
    public void Truncate(int count)
    {
        foreach (var rows in _rows)
        {
            rows.Truncate(Math.Min(rows.Count, count));
        }
    }

    public void Dispose()
    {
        foreach (var buffer in _buffers)
        {
            device.Free(buffer);
        }

        foreach (var rows in _rows)
        {
            rows.Dispose();
        }
    }
}
