using Loci.Models;
using Loci.Numerics;
using Loci.Numerics.Operations;

namespace Loci.Memories;

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

    public VectorDecay(Device device, string prefix, ModelConfiguration model, Initializer initializer)
    {
        _down = initializer.Normal(device, prefix + ".down.weight", new Shape(Rank, model.Dimension), decays: false);
        _up = initializer.Normal(device, prefix + ".up.weight", new Shape(model.Dimension, Rank), decays: false);
        _bias = initializer.Constant(device, prefix + ".bias", new Shape(model.Dimension), 0);
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
