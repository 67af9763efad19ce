using Loci.Numerics;

namespace Loci.Caching;

/// <summary>Rows of device memory that grow by doubling.</summary>
internal sealed class GrowingMemory(Device device, long rowLength) : IDisposable
{
    private DeviceSpan<float> _memory;

    /// <summary>Rows in use.</summary>
    public int Count { get; private set; }

    /// <summary>The rows in use.</summary>
    public DeviceSpan<float> Data => Count == 0 ? default : _memory.Slice(0, Count * rowLength);

    public DeviceSpan<float> this[int row] => _memory.Slice(row * rowLength, rowLength);

    public void Append(DeviceSpan<float> rows, int count)
    {
        Extend(count);
        device.Copy(rows, _memory.Slice((Count - count) * rowLength, count * rowLength));
    }

    /// <summary>Adds rows with undefined contents.</summary>
    public void Extend(int count)
    {
        var needed = (Count + count) * rowLength;
        if (needed > _memory.Length)
        {
            var larger = device.Allocate<float>(Math.Max(needed, 2 * _memory.Length));
            if (Count > 0)
            {
                device.Copy(Data, larger.Slice(0, Count * rowLength));
            }

            device.Free(_memory);
            _memory = larger;
        }

        Count += count;
    }

    public void RemoveLast() => Count--;

    public void Dispose()
    {
        device.Free(_memory);
        _memory = default;
        Count = 0;
    }
}
