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
        Mixer = mixer.IsAttention
            ? new AttentionMixer(device, prefix + "mixer.", configuration, initializer)
            : new MemoryMixer(device, prefix + "mixer.", configuration, mixer, initializer);
        _feedForwardNorm = initializer.Constant(device, prefix + "feed_forward_norm.weight", new Shape(configuration.Dimension), 1);
        _feedForward = new FeedForward(device, prefix + "feed_forward.", configuration, initializer);
        Parameters = [_mixerNorm, .. Mixer.Parameters, _feedForwardNorm, .. _feedForward.Parameters];
    }

    public override Mixer Mixer { get; }

    public override IReadOnlyList<Parameter> Parameters { get; }

    public override Tensor Apply(Tape tape, Tensor x, SequenceLayout layout)
    {
        var normalized = RmsNorm.Apply(tape, x, _mixerNorm, epsilon: _configuration.NormEpsilon);
        if (_configuration.Dropout > 0 && tape.IsTraining)
        {
            x = Dropout.Add(tape, x, Mixer.Apply(tape, normalized, null, layout), _configuration.Dropout);
            normalized = RmsNorm.Apply(tape, x, _feedForwardNorm, epsilon: _configuration.NormEpsilon);
            return Dropout.Add(tape, x, _feedForward.Apply(tape, normalized, null), _configuration.Dropout);
        }

        x = Mixer.Apply(tape, normalized, x, layout);
        return FeedForward(tape, x);
    }

    public override Tensor Step(Tape tape, Tensor x, ReadOnlySpan<StreamPart> parts, int layer)
    {
        x = Mixer.Step(tape, RmsNorm.Apply(tape, x, _mixerNorm, epsilon: _configuration.NormEpsilon), x, parts, layer);
        foreach (var (states, rows) in parts)
        {
            states[layer].Position += rows;
        }

        return FeedForward(tape, x);
    }

    private Tensor FeedForward(Tape tape, Tensor x) =>
        _feedForward.Apply(tape, RmsNorm.Apply(tape, x, _feedForwardNorm, epsilon: _configuration.NormEpsilon), x);
}
