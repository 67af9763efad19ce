using Loci.Models;
using Loci.Numerics;
using Loci.Numerics.Operations;

namespace Loci.Memories;

/// <summary>One gate per head: a function of x W^T + bias.</summary>
internal sealed class GateProjection
{
    /// <summary>Puts a decay near 0.97 at the start: logit(0.97).</summary>
    public const float DecayBias = 3.4761f;

    private readonly Parameter _weight;
    private readonly Parameter _bias;

    public GateProjection(Device device, string prefix, ModelConfiguration configuration, Initializer initializer, float bias)
        : this(device, prefix, configuration, initializer, initializer.Constant(device, prefix + ".bias", new Shape(configuration.Heads), bias))
    {
    }

    public GateProjection(Device device, string prefix, ModelConfiguration configuration, Initializer initializer, Parameter bias)
    {
        _weight = initializer.Normal(device, prefix + ".weight", new Shape(configuration.Heads, configuration.Dimension), decays: false);
        _bias = bias;
        Parameters = [_weight, _bias];
    }

    public IReadOnlyList<Parameter> Parameters { get; }

    public Tensor Sigmoid(Tape tape, Tensor x) => Activation.Sigmoid(tape, Linear.Apply(tape, x, _weight), _bias);

    public Tensor LogSigmoid(Tape tape, Tensor x) => Activation.LogSigmoid(tape, Linear.Apply(tape, x, _weight), _bias);

    public Tensor Softplus(Tape tape, Tensor x) => Activation.Softplus(tape, Linear.Apply(tape, x, _weight), _bias);
}
