using Loci.Memory.Rules;
using Loci.Memory.Rules.Rwkv5;
using Loci.Memory.Segments;
using Loci.Models;
using Loci.Numerics;
using Loci.Numerics.Operations;

namespace Loci.Layers;

/// <summary>The time mix of RWKV-5.2 (Peng et al., arXiv 2404.05892), and of 5.1, which has no gate. Mixtures: receptance, key, value, gate.</summary>
internal sealed class Rwkv5Mixer : RwkvMixer
{
    private readonly Parameter? _gate;
    private readonly Parameter _logDecay;
    private readonly Parameter _ownGain;

    public Rwkv5Mixer(Device device, string prefix, ModelConfiguration configuration, Initializer initializer)
        : base(device, prefix, configuration, HasGate(configuration) ? 4 : 3, 1e-5f, initializer)
    {
        var d = configuration.Dimension;
        _gate = HasGate(configuration) ? initializer.Normal(device, prefix + "gate.weight", new Shape(d, d)) : null;
        _logDecay = initializer.Constant(device, prefix + "log_decay", new Shape(d), -1);
        _ownGain = initializer.Constant(device, prefix + "own_gain", new Shape(d), 1);
        Parameters = [.. base.Parameters, .. _gate is null ? (Parameter[])[] : [_gate], _logDecay, _ownGain];
    }

    /// <inheritdoc/>
    public override IReadOnlyList<Parameter> Parameters { get; }

    /// <inheritdoc/>
    protected override RecurrentMemory CreateMemory(Segmentation segmentation) =>
        new RecurrentRwkv5Memory(Device, segmentation, Heads, Configuration.HeadWidth, _logDecay, _ownGain);

    /// <inheritdoc/>
    protected override RwkvInputs Prepare(Tape tape, Tensor shifted, int rows) => new(
        Receptance(tape, tape.Rows(shifted, 0, rows)),
        Key(tape, tape.Rows(shifted, rows, rows)),
        Value(tape, tape.Rows(shifted, 2 * rows, rows)),
        _gate is null ? null : Activation.Silu(tape, Linear.Apply(tape, tape.Rows(shifted, 3 * rows, rows), _gate)));

    private static bool HasGate(ModelConfiguration configuration) => configuration.Architecture == ModelArchitecture.Rwkv52;
}
