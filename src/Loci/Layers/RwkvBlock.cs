using Loci.Models;
using Loci.Numerics;
using Loci.Numerics.Operations;

namespace Loci.Layers;

/// <summary>A block of RWKV: x = x + TimeMix(LayerNorm(x)); x = x + ChannelMix(LayerNorm(x)). The first one normalises the embeddings before that.</summary>
internal sealed class RwkvBlock : ModelBlock
{
    private readonly ModelConfiguration _configuration;
    private readonly RwkvMixer _mixer;
    private readonly RwkvFeedForward _feedForward;
    private readonly Parameter[]? _inputNorm;
    private readonly Parameter[] _mixerNorm;
    private readonly Parameter[] _feedForwardNorm;

    /// <param name="device">Where it lives.</param>
    /// <param name="prefix">Start of the parameters' names.</param>
    /// <param name="configuration">The model.</param>
    /// <param name="first">The model's first block; null for that one itself.</param>
    /// <param name="initializer">Draws initial values.</param>
    public RwkvBlock(Device device, string prefix, ModelConfiguration configuration, RwkvBlock? first, Initializer initializer)
    {
        _configuration = configuration;
        var is5 = configuration.Architecture != ModelArchitecture.Rwkv7;
        _inputNorm = first is null ? Norm("input_norm") : null;
        _mixerNorm = Norm("mixer_norm");
        _feedForwardNorm = Norm("feed_forward_norm");
        _mixer = is5
            ? new Rwkv5Mixer(device, prefix + "mixer.", configuration, initializer)
            : new Rwkv7Mixer(device, prefix + "mixer.", configuration, first is null, initializer);
        _feedForward = new RwkvFeedForward(device, prefix + "feed_forward.", configuration, is5, initializer);
        Parameters = [.. _inputNorm ?? [], .. _mixerNorm, .. _mixer.Parameters, .. _feedForwardNorm, .. _feedForward.Parameters];

        Parameter[] Norm(string name) =>
        [
            initializer.Constant(device, $"{prefix}{name}.weight", new Shape(configuration.Dimension), 1),
            initializer.Constant(device, $"{prefix}{name}.bias", new Shape(configuration.Dimension), 0),
        ];
    }

    public override Mixer Mixer => _mixer;

    public static LociException NotTrained() =>
        new("RWKV models are read, not trained, by this version: train a model of the llama architecture, or run this one on a tape that does not record.");

    public override IReadOnlyList<Parameter> Parameters { get; }

    public override Tensor Forward(Tape tape, Tensor x, SequenceRows rows)
    {
        if (tape.IsRecording)
        {
            throw NotTrained();
        }

        x = _inputNorm is null ? x : Normalize(tape, x, _inputNorm);
        x = _mixer.Forward(tape, Normalize(tape, x, _mixerNorm), x, rows);
        return _feedForward.Forward(tape, Normalize(tape, x, _feedForwardNorm), x, rows);
    }

    private Tensor Normalize(Tape tape, Tensor x, Parameter[] norm) => LayerNorm.Apply(tape, x, norm[0], norm[1], _configuration.NormEpsilon);
}
