using Loci.Caching;
using Loci.Models;
using Loci.Numerics;

namespace Loci.Layers;

/// <summary>What a <see cref="MemoryMixer"/> remembers of one sequence: its memory with the cache, and the last inputs of the convolution.</summary>
internal sealed class MemoryState : MixerState
{
    private readonly Device _device;
    private readonly int _taps;
    private readonly DeviceSpan<float> _convolution;  // last inputs of the convolution, [width - 1, 3D]
    private readonly SequenceLayout _layout = new(1, 1);

    public MemoryState(Device device, MemoryMixer mixer, ModelConfiguration configuration)
    {
        _device = device;
        _taps = configuration.ConvolutionWidth;
        Cache = new RecurrentCache(device, mixer.Memory.CreateRecurrent(mixer.Segmentation), mixer.Reader, mixer.Segmentation, configuration.Heads, configuration.HeadWidth);
        if (_taps > 1)
        {
            _convolution = device.Allocate<float>((_taps - 1) * 3L * configuration.Dimension);
            device.Clear(_convolution);
        }
    }

    public RecurrentCache Cache { get; }

    public override int CachedStates => Cache.CachedStates;

    public override long Bytes => Cache.Bytes + (sizeof(float) * _convolution.Length);

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

    protected override void Dispose(bool disposing)
    {
        _device.Free(_convolution);
        Cache.Dispose();
    }
}
