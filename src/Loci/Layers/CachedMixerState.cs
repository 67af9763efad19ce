using Loci.Memory;
using Loci.Memory.Store;
using Loci.Numerics;

namespace Loci.Layers;

/// <summary>
/// What a block remembers of one sequence: its memory with the cache, and the last inputs of what stands before the memory.
/// </summary>
internal sealed class CachedMixerState : MixerState
{
    private readonly Device _device;
    private readonly RollbackPoints? _points;

    /// <param name="device">Where it lives.</param>
    /// <param name="memory">The memory with its cache, owned from now on.</param>
    /// <param name="inputs">Floats of the last inputs, zero at the start.</param>
    /// <param name="keepsPoints">Whether the ends of segments can be returned to.</param>
    public CachedMixerState(Device device, CachedMemoryState memory, long inputs, bool keepsPoints)
    {
        _device = device;
        Memory = memory;
        if (inputs > 0)
        {
            Inputs = device.Allocate<float>(inputs);
            device.Clear(Inputs);
        }

        _points = keepsPoints && memory.CanGoBack ? new RollbackPoints(device, memory, Inputs) : null;
    }

    /// <inheritdoc/>
    public override CachedMemoryState Memory { get; }

    /// <summary>The last inputs.</summary>
    public DeviceSpan<float> Inputs { get; }

    /// <summary>The rows at hand as one sequence.</summary>
    public SequenceLayout Layout { get; } = new(1, 1);

    public override long Bytes => Memory.Bytes + (sizeof(float) * Inputs.Length) + (_points?.Rows?.Bytes ?? 0);

    public override int TokensToBoundary => Memory.TokensToBoundary;

    public override IEnumerable<DeviceSpan<float>> Buffers => Inputs.IsEmpty ? Memory.Buffers : [.. Memory.Buffers, Inputs];

    public override IEnumerable<SharedRows> Rows => _points?.Rows is { } rows ? [.. Memory.Rows, rows] : Memory.Rows;

    public override long BytesAdded(int tokens) => base.BytesAdded(tokens) + (tokens >= TokensToBoundary ? (_points?.Rows?.RowLength ?? 0) * sizeof(float) : 0);

    public override void KeepBoundary() => _points?.Keep();

    public override int LastReturn(int position) => _points?.Last(position) ?? 0;

    public override void GoBack(int position)
    {
        RollbackPoints.GoBack(_points, Memory, _device, Inputs, position);
        Position = position;
    }

    public override MixerState Fork()
    {
        var fork = new CachedMixerState(_device, Memory.Fork(), Inputs.Length, _points is not null) { Position = Position };
        _device.Copy(Inputs, fork.Inputs);
        _points?.CopyTo(fork._points!);
        return fork;
    }

    public override void Save(List<int> numbers)
    {
        base.Save(numbers);
        Memory.Save(numbers);
    }

    public override void Load(ref ReadOnlySpan<int> numbers)
    {
        base.Load(ref numbers);
        Memory.Load(ref numbers);
    }

    protected override void Dispose(bool disposing)
    {
        _device.Free(Inputs);
        Memory.Dispose();
        _points?.Dispose();
    }
}
