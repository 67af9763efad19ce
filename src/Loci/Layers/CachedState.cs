using Loci.Caching;
using Loci.Numerics;

namespace Loci.Layers;

/// <summary>What a block remembers of one sequence: its memory with the cache, and the last inputs of what stands before the memory.</summary>
internal abstract class CachedState : MixerState
{
    private readonly CacheReturns? _returns;

    /// <param name="device">Where it lives.</param>
    /// <param name="cache">The memory with its cache, owned from now on.</param>
    /// <param name="inputs">Floats of the last inputs, zero at the start.</param>
    /// <param name="keepsReturns">Whether the ends of segments can be returned to.</param>
    protected CachedState(Device device, RecurrentCache cache, long inputs, bool keepsReturns)
    {
        Device = device;
        Cache = cache;
        if (inputs > 0)
        {
            Inputs = device.Allocate<float>(inputs);
            device.Clear(Inputs);
        }

        _returns = keepsReturns && cache.CanGoBack ? new CacheReturns(device, cache, Inputs) : null;
    }

    /// <inheritdoc/>
    public override RecurrentCache Cache { get; }

    public override long Bytes => Cache.Bytes + (sizeof(float) * Inputs.Length) + (_returns?.Rows?.Bytes ?? 0);

    public override int TokensToBoundary => Cache.TokensToBoundary;

    public override IEnumerable<DeviceSpan<float>> Buffers => Inputs.IsEmpty ? Cache.Buffers : [.. Cache.Buffers, Inputs];

    public override IEnumerable<SharedRows> Rows => _returns?.Rows is { } rows ? [.. Cache.Rows, rows] : Cache.Rows;

    protected Device Device { get; }

    /// <summary>The last inputs.</summary>
    protected DeviceSpan<float> Inputs { get; }

    protected bool KeepsReturns => _returns is not null;

    public override long BytesAdded(int tokens) => base.BytesAdded(tokens) + (tokens >= TokensToBoundary ? (_returns?.Rows?.RowLength ?? 0) * sizeof(float) : 0);

    public override void KeepBoundary() => _returns?.Keep();

    public override int LastReturn(int position) => _returns?.Last(position) ?? 0;

    public override void GoBack(int position)
    {
        CacheReturns.GoBack(_returns, Cache, Device, Inputs, position);
        Position = position;
    }

    public override MixerState Fork()
    {
        var fork = CreateFork(Cache.Fork());
        fork.Position = Position;
        Device.Copy(Inputs, fork.Inputs);
        _returns?.CopyTo(fork._returns!);
        return fork;
    }

    public override void Save(List<int> numbers)
    {
        base.Save(numbers);
        Cache.Save(numbers);
    }

    public override void Load(ref ReadOnlySpan<int> numbers)
    {
        base.Load(ref numbers);
        Cache.Load(ref numbers);
    }

    /// <summary>A state of the same kind around a fork of the cache.</summary>
    protected abstract CachedState CreateFork(RecurrentCache cache);

    protected override void Dispose(bool disposing)
    {
        Device.Free(Inputs);
        Cache.Dispose();
        _returns?.Dispose();
    }
}
