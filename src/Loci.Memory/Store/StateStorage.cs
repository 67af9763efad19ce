using Loci.Numerics;

namespace Loci.Memory.Store;

/// <summary>A state and the same as it is stored.</summary>
internal struct StateArguments
{
    public StateFormat Format;
    public int Width;                            // d, values to a scale
    public DeviceSpan<float> State;
    public DeviceSpan<float> Stored;
}

/// <summary>States in fewer bits: how much room they take, and the way there and back.</summary>
internal static class StateStorage
{
    /// <summary>
    /// Floats that a stored state of <paramref name="count"/> values takes, a multiple of 16 unless it is stored as it is.
    /// </summary>
    public static long StoredLength(this StateFormat format, long count, int width)
    {
        if (format == StateFormat.Float32)
        {
            return count;
        }

        var bytes = (count / width * sizeof(float)) + (count * (format == StateFormat.Float16 ? 2 : 1));
        return (bytes + 63) / 64 * 16;
    }

    /// <summary>Stores a state in fewer bits; <see cref="StoredLength"/> says how many floats that takes.</summary>
    public static void EncodeState(this Device device, DeviceSpan<float> state, StateFormat format, int width, DeviceSpan<float> stored) =>
        device.Launch<StateCodec.Encoding, StateArguments>(new() { Format = format, Width = width, State = state, Stored = stored });

    /// <summary>The values of a stored state.</summary>
    public static void DecodeState(this Device device, DeviceSpan<float> stored, StateFormat format, int width, DeviceSpan<float> state) =>
        device.Launch<StateCodec.Decoding, StateArguments>(new() { Format = format, Width = width, State = state, Stored = stored });
}
