using Loci.Memory;
using Loci.Memory.Rules;
using Loci.Models;
using Loci.Numerics;
using Loci.Numerics.Operations;

namespace Loci.Layers;

/// <summary>x = x + Mixer(RMSNorm(x)); x = x + SwiGLU(RMSNorm(x)).</summary>
internal sealed class Block : ModelBlock
{
    private readonly ModelConfiguration _configuration;
    private readonly Parameter _mixerNorm;
    private readonly Parameter _feedForwardNorm;
    private readonly FeedForward _feedForward;

    public Block(Device device, string prefix, ModelConfiguration configuration, MixerConfiguration mixer, Initializer initializer)
    {
        _configuration = configuration;
        _mixerNorm = initializer.Constant(device, prefix + "mixer_norm.weight", new Shape(configuration.Dimension), 1);
        var layer = new LayerContext(device, prefix + "mixer.", initializer)
        {
            Dimension = configuration.Dimension,
            Heads = configuration.Heads,
            NormEpsilon = configuration.NormEpsilon,
            RotaryBase = configuration.RotaryBase,
        };
        Mixer = mixer.IsAttention ? new AttentionMixer(layer) : new MemoryMixer(layer, mixer, configuration.ConvolutionWidth);
        _feedForwardNorm = initializer.Constant(device, prefix + "feed_forward_norm.weight", new Shape(configuration.Dimension), 1);
        _feedForward = new FeedForward(device, prefix + "feed_forward.", configuration, initializer);
        Parameters = [_mixerNorm, .. Mixer.Parameters, _feedForwardNorm, .. _feedForward.Parameters];
    }

    public override Mixer Mixer { get; }

    public override IReadOnlyList<Parameter> Parameters { get; }

    public override Tensor Forward(Tape tape, Tensor x, SequenceRows rows)
    {
        var normalized = RmsNorm.Apply(tape, x, _mixerNorm, epsilon: _configuration.NormEpsilon);
        if (_configuration.Dropout > 0 && tape.IsTraining)
        {
            x = Dropout.Add(tape, x, Mixer.Forward(tape, normalized, null, rows), _configuration.Dropout);
            normalized = RmsNorm.Apply(tape, x, _feedForwardNorm, epsilon: _configuration.NormEpsilon);
            return Dropout.Add(tape, x, _feedForward.Forward(tape, normalized, null), _configuration.Dropout);
        }

        x = Mixer.Forward(tape, normalized, x, rows);
        return _feedForward.Forward(tape, RmsNorm.Apply(tape, x, _feedForwardNorm, epsilon: _configuration.NormEpsilon), x);
    }
}
