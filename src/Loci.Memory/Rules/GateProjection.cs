using Loci.Numerics;
using Loci.Numerics.Operations;

namespace Loci.Memory.Rules;

/// <summary>One gate per head: a function of x W^T + bias.</summary>
internal sealed class GateProjection
{
    /// <summary>Puts a decay near 0.97 at the start: logit(0.97).</summary>
    public const float DecayBias = 3.4761f;

    private readonly Parameter _weight;
    private readonly Parameter _bias;

    public GateProjection(LayerContext layer, string name, float bias)
        : this(layer, name, layer.Initializer.Constant(layer.Device, layer.Prefix + name + ".bias", new Shape(layer.Heads), bias))
    {
    }

    public GateProjection(LayerContext layer, string name, Parameter bias)
    {
        _weight = layer.Initializer.Normal(layer.Device, layer.Prefix + name + ".weight", new Shape(layer.Heads, layer.Dimension), decays: false);
        _bias = bias;
        Parameters = [_weight, _bias];
    }

    public IReadOnlyList<Parameter> Parameters { get; }

    public Tensor Sigmoid(Tape tape, Tensor x) => Activation.Sigmoid(tape, Linear.Apply(tape, x, _weight), _bias);

    public Tensor LogSigmoid(Tape tape, Tensor x) => Activation.LogSigmoid(tape, Linear.Apply(tape, x, _weight), _bias);

    public Tensor Softplus(Tape tape, Tensor x) => Activation.Softplus(tape, Linear.Apply(tape, x, _weight), _bias);
}
