using Loci.Numerics;

namespace Loci.Memory.Routing;

/// <summary>A router key on its way into an index.</summary>
internal struct IndexKeyArguments
{
    public DeviceSpan<float> Index;              // [H, capacity, block]
    public int Capacity;                         // blocks of a head
    public int Slot;
    public int Heads;
    public DeviceSpan<float> Key;                // [H, d]
}

/// <summary>
/// How an index of router keys is laid out, [H, capacity, block]: a head's blocks lie one behind the other, to be read as a stream. A block
/// holds
/// <see cref="BlockSlots"/> slots: their scales, then for every dimension as many whole numbers of eight bits, one a slot.
/// </summary>
internal static class KeyIndexLayout
{
    /// <summary>Slots of a block.</summary>
    public const int BlockSlots = 64;

    /// <summary>Floats of a block.</summary>
    public static long BlockLength(int width) => BlockSlots + (width * (BlockSlots / 4));

    /// <summary>Puts a router key, [H, d], into an index of keys.</summary>
    public static void IndexKey(this Device device, DeviceSpan<float> index, int capacity, int slot, DeviceSpan<float> key, int heads) =>
        device.Launch<KeyIndexKernel.Insertion, IndexKeyArguments>(
            new() { Index = index, Capacity = capacity, Slot = slot, Heads = heads, Key = key });
}
