using Loci.Memory.Routing;
using Loci.Numerics;

namespace Loci.Memory.Routing;

/// <summary>Router keys in few bits, to find the segments of sparse selective caching: [H, capacity, block], grown by doubling. Forks copy it: it is small beside the states.</summary>
internal sealed class KeyIndex(Device device, int heads, int width) : IDisposable
{
    private readonly long _blockLength = KeyIndexLayout.BlockLength(width);

    /// <summary>Blocks of a head that there is room for.</summary>
    public int Capacity { get; private set; }

    /// <summary>The index; empty before the first key.</summary>
    public DeviceSpan<float> Data { get; private set; }

    public long Bytes => Data.Length * sizeof(float);

    /// <summary>Takes up the key of a slot, [H, d]; what slots behind it held no longer counts.</summary>
    public void Set(int slot, DeviceSpan<float> key)
    {
        if (slot / KeyIndexLayout.BlockSlots >= Capacity)
        {
            Grow(Math.Max(1, 2 * Capacity));
        }

        device.IndexKey(Data, Capacity, slot, key, heads);
    }

    public void CopyTo(KeyIndex destination)
    {
        device.Free(destination.Data);
        destination.Data = device.Allocate<float>(Data.Length);
        destination.Capacity = Capacity;
        device.Copy(Data, destination.Data);
    }

    public void Dispose()
    {
        device.Free(Data);
        Data = default;
        Capacity = 0;
    }

    private void Grow(int capacity)
    {
        var larger = device.Allocate<float>(heads * capacity * _blockLength);
        var length = Capacity * _blockLength;
        for (var head = 0; head < heads && length > 0; head++)
        {
            device.Copy(Data.Slice(head * length, length), larger.Slice(head * capacity * _blockLength, length));
        }

        device.Free(Data);
        Data = larger;
        Capacity = capacity;
    }
}
