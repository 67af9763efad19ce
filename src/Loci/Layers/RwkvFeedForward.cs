using Loci.Models;
using Loci.Numerics;
using Loci.Numerics.Operations;

namespace Loci.Layers;

/// <summary>
/// The channel mix of RWKV: W_2 max(W_1 m, 0)^2 of a mixture m of a token with the one before; in RWKV-5 multiplied by the sigmoid of a linear map of a second mixture.
/// </summary>
internal sealed class RwkvFeedForward
{
    private readonly Parameter _share;
    private readonly Parameter _key;
    private readonly Parameter _value;
    private readonly Parameter? _receptance;

    public RwkvFeedForward(Device device, string prefix, ModelConfiguration configuration, bool isGated, Initializer initializer)
    {
        var d = configuration.Dimension;
        _share = initializer.Constant(device, prefix + "shift.weight", new Shape(isGated ? 2 : 1, d), 0.5f);
        _key = initializer.Normal(device, prefix + "key.weight", new Shape(configuration.HiddenWidth, d));
        _value = initializer.Residual(device, prefix + "value.weight", new Shape(d, configuration.HiddenWidth));
        _receptance = isGated ? initializer.Normal(device, prefix + "receptance.weight", new Shape(d, d)) : null;
        Parameters = [_share, _key, _value, .. _receptance is null ? (Parameter[])[] : [_receptance]];
    }

    public IReadOnlyList<Parameter> Parameters { get; }

    /// <summary>Adds the result to the residual stream.</summary>
    /// <param name="tape">The step.</param>
    /// <param name="x">Normalized input, [rows, D].</param>
    /// <param name="residual">[rows, D].</param>
    /// <param name="rows">The sequences of the rows.</param>
    /// <returns>[rows, D].</returns>
    public Tensor Forward(Tape tape, Tensor x, Tensor residual, SequenceRows rows)
    {
        var shifted = RwkvShift.Forward(tape, x, _share, rows, 1);
        var hidden = Activation.SquaredRelu(tape, Linear.Apply(tape, tape.Rows(shifted, 0, x.Rows), _key));
        if (_receptance is null)
        {
            return Linear.Apply(tape, hidden, _value, residual);
        }

        var gate = Activation.Sigmoid(tape, Linear.Apply(tape, tape.Rows(shifted, x.Rows, x.Rows), _receptance));
        return MultiplyAdd.Apply(tape, Linear.Apply(tape, hidden, _value), gate, residual);
    }
}
