using Loci.Numerics;

namespace Loci.Memory.Store;

/// <summary>
/// What is needed beside the cached states to come back to the ends of their segments: what the recurrence carries on that is not in a state, and the last inputs of what stands before the memory.
/// </summary>
internal sealed class RollbackPoints : IDisposable
{
    private readonly Device _device;
    private readonly CachedMemoryState _memory;
    private readonly DeviceSpan<float> _inputs;

    /// <param name="device">Where it lives.</param>
    /// <param name="memory">The memory with its cache, which can go back.</param>
    /// <param name="inputs">The last inputs, which the owner keeps up to date.</param>
    public RollbackPoints(Device device, CachedMemoryState memory, DeviceSpan<float> inputs)
    {
        _device = device;
        _memory = memory;
        _inputs = inputs;
        var length = inputs.Length + memory.BoundaryLength;
        Rows = length > 0 ? new SharedRows(device, length) : null;
    }

    /// <summary>One row a cached state: inputs, then the recurrence.</summary>
    public SharedRows? Rows { get; }

    /// <summary>Keeps the end of the segment that was cached last, with which all rows read end.</summary>
    public void Keep()
    {
        if (Rows is null || !_memory.IsAtBoundary)
        {
            return;
        }

        // Merged segments have the end of their last part.
        Rows.Truncate(Math.Min(Rows.Count, _memory.Count - 1));
        var row = Rows.Append();
        _device.Copy(_inputs, row.Slice(0, _inputs.Length));
        _memory.SaveBoundary(row.Slice(_inputs.Length));
    }

    /// <summary>The last end of a cached segment at or before a position.</summary>
    public int Last(int position)
    {
        var end = 0;
        for (var i = 0; i < _memory.Lengths.Count && end + _memory.Lengths[i] <= position; i++)
        {
            end += _memory.Lengths[i];
        }

        return end;
    }

    /// <summary>Goes back to such an end, or, without any of them, to the start.</summary>
    public static void GoBack(RollbackPoints? points, CachedMemoryState memory, Device device, DeviceSpan<float> inputs, int position)
    {
        var slots = 0;
        for (var end = 0; end < position; slots++)
        {
            end += memory.Lengths[slots];
        }

        var row = slots > 0 && points?.Rows is { } rows ? rows[slots - 1] : default;
        if (row.IsEmpty)
        {
            device.Clear(inputs);
            memory.GoBack(slots, default);
        }
        else
        {
            device.Copy(row.Slice(0, inputs.Length), inputs);
            memory.GoBack(slots, row.Slice(inputs.Length));
        }

        points?.Rows?.Truncate(slots);
    }

    public void CopyTo(RollbackPoints destination) => Rows?.CopyTo(destination.Rows!);

    public void Dispose() => Rows?.Dispose();
}
