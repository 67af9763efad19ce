namespace Loci.Numerics;

/// <summary>
/// A range of elements in the memory of one <see cref="Device"/>. It is an address that only its device may follow:
/// code outside the device passes it on, slices it, or copies it to and from the host.
/// </summary>
/// <typeparam name="T">The element type.</typeparam>
public readonly struct DeviceSpan<T> where T : unmanaged
{
    internal DeviceSpan(nint address, long length)
    {
        Address = address;
        Length = length;
    }

    internal nint Address { get; }

    /// <summary>Number of elements.</summary>
    public long Length { get; }

    /// <summary>True where there is no memory behind the span.</summary>
    public bool IsEmpty => Length == 0;

    /// <summary>The part that starts at <paramref name="offset"/> and holds <paramref name="length"/> elements.</summary>
    /// <exception cref="ArgumentOutOfRangeException">The part does not lie inside the span.</exception>
    public unsafe DeviceSpan<T> Slice(long offset, long length)
    {
        if (offset < 0 || length < 0 || offset > Length - length)
        {
            throw new ArgumentOutOfRangeException(nameof(offset), $"Elements {offset} to {offset + length} lie outside a span of {Length}.");
        }

        return new DeviceSpan<T>(Address + (nint)(offset * sizeof(T)), length);
    }

    /// <summary>The part from <paramref name="offset"/> to the end.</summary>
    public DeviceSpan<T> Slice(long offset) => Slice(offset, Length - offset);
}
