using System.Buffers.Binary;
using System.Numerics;

namespace Loci.Formats;

/// <summary>The CRC-32C (Castagnoli) checksum, as TFRecord files use it.</summary>
internal static class Crc32C
{
    /// <summary>The checksum of <paramref name="data"/>.</summary>
    public static uint Compute(ReadOnlySpan<byte> data) => Append(0, data);

    /// <summary>The checksum of data that comes in pieces.</summary>
    /// <param name="checksum">The checksum of what came before; 0 for nothing.</param>
    /// <param name="data">The next piece.</param>
    public static uint Append(uint checksum, ReadOnlySpan<byte> data)
    {
        uint crc = ~checksum;
        for (; data.Length >= sizeof(ulong); data = data[sizeof(ulong)..])
        {
            crc = BitOperations.Crc32C(crc, BinaryPrimitives.ReadUInt64LittleEndian(data));
        }

        foreach (byte value in data)
        {
            crc = BitOperations.Crc32C(crc, value);
        }

        return ~crc;
    }

    /// <summary>The checksum rotated and offset, so that data that itself holds checksums stays well protected (TFRecord).</summary>
    public static uint Masked(ReadOnlySpan<byte> data) => unchecked(BitOperations.RotateRight(Compute(data), 15) + 0xA282EAD8u);
}
