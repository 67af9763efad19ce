using Loci.Memory.Rules;
using Loci.Numerics;
using Loci.Numerics.Operations;

namespace Loci.Layers;

/// <summary>
/// The short convolution that makes q, k and v of their projections, q and k normalized per head: over whole sequences, or behind the last
/// inputs of sequences that go on.
/// </summary>
internal sealed class MixerConvolution
{
    private readonly Device _device;
    private readonly Parameter _weight;
    private readonly ConvolutionPart _normalized;
    private readonly ConvolutionPart _plain;
    private readonly int _before;  // rows before the first that it reaches
    private readonly int _columns;

    public MixerConvolution(LayerContext layer, int taps)
    {
        _device = layer.Device;
        _columns = 3 * layer.Dimension;
        _before = taps - 1;
        _weight = layer.Initializer.Convolution(_device, layer.Prefix + "convolution.weight", new Shape(_columns, taps));
        _normalized = new ConvolutionPart(layer.Dimension, layer.HeadWidth);
        _plain = new ConvolutionPart(layer.Dimension);
    }

    /// <summary>The learned taps, [3D, taps].</summary>
    public Parameter Weight => _weight;

    /// <summary>Floats that a sequence keeps: its last inputs, [taps - 1, 3D].</summary>
    public long StateLength => (long)_before * _columns;

    /// <summary>q, k and v, [rows, D] each.</summary>
    /// <param name="tape">The step.</param>
    /// <param name="inputs">Their projections side by side, [rows, 3D].</param>
    /// <param name="rows">The sequences of the rows.</param>
    public (Tensor Q, Tensor K, Tensor V) Forward(Tape tape, Tensor inputs, SequenceRows rows)
    {
        if (!rows.HaveStates)
        {
            return ShortConvolution.Apply(tape, inputs, _weight, rows.Layout, _normalized, _normalized, _plain);
        }

        if (rows.Count == 1)
        {
            return Continue(tape, inputs, rows.State<CachedMixerState>(0));
        }

        var shape = new Shape(inputs.Rows, _columns / 3);
        Tensor q = tape.NewTensor(shape), k = tape.NewTensor(shape), v = tape.NewTensor(shape);
        for (var i = 0; i < rows.Count; i++)
        {
            var (first, count) = rows.RowsOf(i);
            var (nextQ, nextK, nextV) = Continue(tape, tape.Rows(inputs, first, count), rows.State<CachedMixerState>(i));
            _device.Copy(nextQ.Data, tape.Rows(q, first, count).Data);
            _device.Copy(nextK.Data, tape.Rows(k, first, count).Data);
            _device.Copy(nextV.Data, tape.Rows(v, first, count).Data);
        }

        return (q, k, v);
    }

    private (Tensor Q, Tensor K, Tensor V) Continue(Tape tape, Tensor inputs, CachedMixerState state)
    {
        int rows = inputs.Rows, before = _before;
        if (rows == 1 && before > 0)
        {
            return ShortConvolution.Step(tape, inputs, _weight, state.Inputs, _normalized, _normalized, _plain); // the same bits, without the rows before
        }

        var padded = tape.NewTensor(new Shape(before + rows, _columns));
        _device.Copy(inputs.Data, tape.Rows(padded, before, rows).Data);
        if (before > 0)
        {
            _device.Copy(state.Inputs, tape.Rows(padded, 0, before).Data);
            _device.Copy(tape.Rows(padded, rows, before).Data, state.Inputs);
        }

        state.Layout.Set(1, before + rows);
        var (q, k, v) = ShortConvolution.Apply(tape, padded, _weight, state.Layout, _normalized, _normalized, _plain);
        return (tape.Rows(q, before, rows), tape.Rows(k, before, rows), tape.Rows(v, before, rows));
    }
}
