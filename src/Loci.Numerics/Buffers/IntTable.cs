namespace Loci.Numerics;

/// <summary>A growing list of integers on the host with a copy in device memory.</summary>
internal sealed class IntTable(Device device) : IDisposable
{
    private int[] _values = new int[16];
    private DeviceSpan<int> _memory;

    public int Count { get; private set; }

    public Span<int> Values => _values.AsSpan(0, Count);

    /// <summary>The values as of the last <see cref="Upload"/>.</summary>
    public DeviceSpan<int> Data { get; private set; }

    public void Clear() => Count = 0;

    public void Add(int value)
    {
        Reserve(Count + 1);
        _values[Count++] = value;
    }

    public void Resize(int count)
    {
        Reserve(count);
        Count = count;
    }

    public void Upload(Device target)
    {
        if (_memory.Length < Count)
        {
            target.Free(_memory);
            _memory = target.Allocate<int>(_values.Length);
        }

        target.CopyFromHost<int>(Values, _memory);
        Data = _memory.IsEmpty ? default : _memory.Slice(0, Count);
    }

    public void Dispose()
    {
        device.Free(_memory);
        _memory = default;
        Data = default;
    }

    private void Reserve(int count)
    {
        if (count > _values.Length)
        {
            Array.Resize(ref _values, Math.Max(count, 2 * _values.Length));
        }
    }
}
