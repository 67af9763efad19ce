using Loci.Models;
using Loci.Numerics;
using Loci.Numerics.Operations;

namespace Loci.Layers;

/// <summary>SwiGLU: W_2 (SiLU(x W_1) * x W_3), with W_1 and W_3 as one matrix.</summary>
internal sealed class FeedForward
{
    private readonly Parameter _input;
    private readonly Parameter _output;

    public FeedForward(Device device, string prefix, ModelConfiguration configuration, Initializer initializer)
    {
        _input = initializer.Normal(device, prefix + "input.weight", new Shape(2 * configuration.HiddenWidth, configuration.Dimension));
        _output = initializer.Residual(device, prefix + "output.weight", new Shape(configuration.Dimension, configuration.HiddenWidth));
        Parameters = [_input, _output];
    }

    public IReadOnlyList<Parameter> Parameters { get; }

    public Tensor Forward(Tape tape, Tensor x, Tensor? residual) =>
        Linear.Apply(tape, SwiGlu.Apply(tape, Linear.Apply(tape, x, _input)), _output, residual);
}
