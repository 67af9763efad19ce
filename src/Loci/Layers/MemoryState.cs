using Loci.Caching;
using Loci.Models;
using Loci.Numerics;

namespace Loci.Layers;

/// <summary>What a <see cref="MemoryMixer"/> remembers of one sequence: its memory with the cache, and the last inputs of the convolution.</summary>
internal sealed class MemoryState : MixerState
{
    private readonly Device _device;
    private readonly int _taps;
    private readonly RecurrentCache _cache;
    private readonly CacheReturns? _returns;
    private readonly DeviceSpan<float> _convolution;  // last inputs of the convolution, [width - 1, 3D]
    private readonly SequenceLayout _layout = new(1, 1);

    public MemoryState(Device device, MemoryMixer mixer, ModelConfiguration configuration, StateOptions options)
        : this(device, configuration.ConvolutionWidth, configuration.Dimension, CreateCache(device, mixer, configuration, options), options.KeepsReturns)
    {
    }

    private MemoryState(Device device, int taps, int dimension, RecurrentCache cache, bool keepsReturns)
    {
        _device = device;
        _taps = taps;
        _cache = cache;
        if (taps > 1)
        {
            _convolution = device.Allocate<float>((taps - 1) * 3L * dimension);
            device.Clear(_convolution);
        }

        _returns = keepsReturns && cache.CanGoBack ? new CacheReturns(device, cache, _convolution) : null;
    }

    public override RecurrentCache Cache => _cache;

    public override long Bytes => _cache.Bytes + (sizeof(float) * _convolution.Length) + (_returns?.Rows?.Bytes ?? 0);

    public override long BytesAdded(int tokens) => base.BytesAdded(tokens) + (tokens >= TokensToBoundary ? (_returns?.Rows?.RowLength ?? 0) * sizeof(float) : 0);

    public override int TokensToBoundary => _cache.TokensToBoundary;

    public override IEnumerable<DeviceSpan<float>> Buffers => _convolution.IsEmpty ? _cache.Buffers : [.. _cache.Buffers, _convolution];

    public override IEnumerable<SharedRows> Rows => _returns?.Rows is { } rows ? [.. _cache.Rows, rows] : _cache.Rows;

    /// <summary>The convolution of the next rows, with the last rows before them in front.</summary>
    public (Tensor Q, Tensor K, Tensor V) Convolve(Tape tape, Tensor inputs, MemoryMixer mixer)
    {
        int rows = inputs.Rows, before = _taps - 1, columns = inputs.Columns;
        var padded = tape.NewTensor(new Shape(before + rows, columns));
        if (before > 0)
        {
            _device.Copy(_convolution, tape.Rows(padded, 0, before).Data);
        }

        _device.Copy(inputs.Data, tape.Rows(padded, before, rows).Data);
        if (before > 0)
        {
            _device.Copy(tape.Rows(padded, rows, before).Data, _convolution);
        }

        _layout.Set(1, before + rows);
        var (q, k, v) = mixer.Convolve(tape, padded, _layout);
        return (tape.Rows(q, before, rows), tape.Rows(k, before, rows), tape.Rows(v, before, rows));
    }

    public override void KeepBoundary() => _returns?.Keep();

    public override int LastReturn(int position) => _returns?.Last(position) ?? 0;

    public override void GoBack(int position)
    {
        CacheReturns.GoBack(_returns, _cache, _device, _convolution, position);
        Position = position;
    }

    public override MixerState Fork()
    {
        MemoryState fork = new(_device, _taps, (int)(_convolution.Length / Math.Max(1, (_taps - 1) * 3)), _cache.Fork(), _returns is not null) { Position = Position };
        _device.Copy(_convolution, fork._convolution);
        _returns?.CopyTo(fork._returns!);
        return fork;
    }

    public override void Save(List<int> numbers)
    {
        base.Save(numbers);
        _cache.Save(numbers);
    }

    public override void Load(ref ReadOnlySpan<int> numbers)
    {
        base.Load(ref numbers);
        _cache.Load(ref numbers);
    }

    protected override void Dispose(bool disposing)
    {
        _device.Free(_convolution);
        _cache.Dispose();
        _returns?.Dispose();
    }

    private static RecurrentCache CreateCache(Device device, MemoryMixer mixer, ModelConfiguration configuration, StateOptions options)
    {
        var (reader, segmentation) = (mixer.Reader, mixer.Segmentation);
        if (options.AfterTraining is { } after)
        {
            if (!segmentation.IsNone)
            {
                throw new LociException("Caching after training is for memories that were trained without a cache, and this model has one: leave it out.");
            }

            (reader, segmentation) = mixer.ReaderAfterTraining(after);
        }

        return new RecurrentCache(device, mixer.Memory.CreateRecurrent(segmentation), reader, segmentation, configuration.Heads, configuration.HeadWidth, options.Format);
    }
}
