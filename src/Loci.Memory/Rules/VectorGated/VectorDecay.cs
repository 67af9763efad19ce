using Loci.Numerics;
using Loci.Numerics.Operations;

namespace Loci.Memory.Rules.VectorGated;

/// <summary>
/// A decay for every key dimension through a bottleneck: log alpha = logsigmoid(x W_1^T W_2^T + bias) / 16. The divisor keeps decays near 1, where a gate
/// saturates slowly; at the start alpha is near 2^(-1/16) = 0.96.
/// </summary>
internal sealed class VectorDecay
{
    private const int Rank = 16;
    private const float Divisor = 16;

    private readonly Parameter _down;
    private readonly Parameter _up;
    private readonly Parameter _bias;

    public VectorDecay(LayerContext layer, string name)
    {
        var (device, initializer, prefix) = (layer.Device, layer.Initializer, layer.Prefix + name);
        _down = initializer.Normal(device, prefix + ".down.weight", new Shape(Rank, layer.Dimension), decays: false);
        _up = initializer.Normal(device, prefix + ".up.weight", new Shape(layer.Dimension, Rank), decays: false);
        _bias = initializer.Constant(device, prefix + ".bias", new Shape(layer.Dimension), 0);
        Parameters = [_down, _up, _bias];
    }

    public IReadOnlyList<Parameter> Parameters { get; }

    /// <summary>log alpha, [rows, D].</summary>
    public Tensor Compute(Tape tape, Tensor x)
    {
        var z = Linear.Apply(tape, Linear.Apply(tape, x, _down), _up);                                       // [rows, D]
        return Scale.Apply(tape, Activation.LogSigmoid(tape, z, _bias), 1 / Divisor);
    }
}
