using Loci.Caching;
using Loci.Numerics;

namespace Loci.Layers;

/// <summary>What a <see cref="MemoryMixer"/> remembers of one sequence: its memory with the cache, and the last inputs of the convolution, [taps - 1, 3D].</summary>
internal sealed class MemoryState : CachedState
{
    private readonly int _before;
    private readonly int _columns;
    private readonly SequenceLayout _layout = new(1, 1);

    /// <param name="device">Where it lives.</param>
    /// <param name="cache">The memory with its cache, owned from now on.</param>
    /// <param name="before">Rows before the next one that the convolution reaches.</param>
    /// <param name="columns">3D.</param>
    /// <param name="keepsReturns">Whether the ends of segments can be returned to.</param>
    public MemoryState(Device device, RecurrentCache cache, int before, int columns, bool keepsReturns)
        : base(device, cache, (long)before * columns, keepsReturns)
    {
        _before = before;
        _columns = columns;
    }

    /// <summary>The convolution of the next rows, with the last rows before them in front.</summary>
    public (Tensor Q, Tensor K, Tensor V) Convolve(Tape tape, Tensor inputs, MemoryMixer mixer)
    {
        int rows = inputs.Rows, before = _before;
        if (rows == 1 && before > 0)
        {
            return mixer.ConvolveNext(tape, inputs, Inputs); // the same bits, without the rows before
        }

        var padded = tape.NewTensor(new Shape(before + rows, _columns));
        if (before > 0)
        {
            Device.Copy(Inputs, tape.Rows(padded, 0, before).Data);
        }

        Device.Copy(inputs.Data, tape.Rows(padded, before, rows).Data);
        if (before > 0)
        {
            Device.Copy(tape.Rows(padded, rows, before).Data, Inputs);
        }

        _layout.Set(1, before + rows);
        var (q, k, v) = mixer.Convolve(tape, padded, _layout);
        return (tape.Rows(q, before, rows), tape.Rows(k, before, rows), tape.Rows(v, before, rows));
    }

    /// <summary>The layout of one sequence of so many rows.</summary>
    public SequenceLayout LayoutOf(int rows)
    {
        _layout.Set(1, rows);
        return _layout;
    }

    protected override CachedState CreateFork(RecurrentCache cache) => new MemoryState(Device, cache, _before, _columns, KeepsReturns);
}
