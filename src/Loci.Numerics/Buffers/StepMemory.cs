using System.Runtime.InteropServices;

namespace Loci.Numerics;

/// <summary>
/// The memory of one step: blocks of device memory handed out by advancing an offset, returned all at once by <see cref="Reset"/>. Ranges given back
/// earlier are kept by size and handed out again first, so that a backward pass runs in memory that is still in the cache.
/// After a first step of the same shapes it allocates nothing.
/// </summary>
internal sealed class StepMemory(Device device) : IDisposable
{
    private const long Alignment = 64;
    private const long MinimumBlock = 1 << 20;

    private readonly List<DeviceSpan<float>> _blocks = [];
    private readonly Dictionary<long, Stack<DeviceSpan<float>>> _returned = [];
    private int _block;
    private long _offset;

    /// <summary>Bytes of device memory held.</summary>
    public long BytesHeld { get; private set; }

    /// <summary>Floats handed out since the last reset, not counting reuse.</summary>
    public long HighWater { get; private set; }

    public DeviceSpan<float> Allocate(long count)
    {
        if (count == 0)
        {
            return default;
        }

        var size = RoundUp(count);
        DeviceSpan<float> span;
        if (_returned.TryGetValue(size, out var stack) && stack.Count > 0)
        {
            span = stack.Pop();
        }
        else
        {
            span = Take(size);
        }

        FillWithNaN(span);
        return span.Slice(0, count);
    }

    /// <summary>Gives a range back before the reset. The caller must not use it again.</summary>
    public void Return(DeviceSpan<float> span)
    {
        if (span.IsEmpty)
        {
            return;
        }

        var size = RoundUp(span.Length);
        ref var stack = ref CollectionsMarshal.GetValueRefOrAddDefault(_returned, size, out _);
        stack ??= new Stack<DeviceSpan<float>>();
        stack.Push(new DeviceSpan<float>(span.Address, size));
    }

    public void Reset()
    {
        foreach (var stack in _returned.Values)
        {
            stack.Clear();
        }

        _block = 0;
        _offset = 0;
        HighWater = 0;
    }

    public void Dispose()
    {
        foreach (var block in _blocks)
        {
            device.Free(block);
        }

        _blocks.Clear();
        _returned.Clear();
    }

    private static long RoundUp(long count) => (count + Alignment - 1) / Alignment * Alignment;

    private DeviceSpan<float> Take(long size)
    {
        while (_block < _blocks.Count && _offset + size > _blocks[_block].Length)
        {
            _block++;
            _offset = 0;
        }

        if (_block == _blocks.Count)
        {
            // Blocks grow with what is held, so that their number stays logarithmic in the size of a step.
            var length = Math.Max(size, Math.Max(MinimumBlock, BytesHeld / sizeof(float) / 4));
            _blocks.Add(device.Allocate<float>(length));
            BytesHeld += length * sizeof(float);
            _offset = 0;
        }

        var span = _blocks[_block].Slice(_offset, size);
        _offset += size;
        HighWater += size;
        return span;
    }

    [System.Diagnostics.Conditional("DEBUG")]
    private void FillWithNaN(DeviceSpan<float> span) => device.Fill(span, float.NaN);
}
