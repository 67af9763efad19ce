using Loci.Memory.Rules;
using Loci.Memory.Rules.Rwkv7;
using Loci.Memory.Segments;
using Loci.Models;
using Loci.Numerics;
using Loci.Numerics.Operations;

namespace Loci.Layers;

/// <summary>
/// The time mix of RWKV-7 (Peng et al., arXiv 2503.14456). Mixtures: receptance, decay, key, value, rate, gate. Decay, rate, gate and the part of a value that is taken from
/// the first block are computed through bottlenecks.
/// </summary>
internal sealed class Rwkv7Mixer : RwkvMixer
{
    // log a = -e^(-1/2) sigmoid(.): no decay is below exp(-0.6065) = 0.545.
    private const float LargestLogDecay = -0.60653066f;

    private readonly Bottleneck _decay;
    private readonly Parameter _decayBias;
    private readonly Bottleneck _rate;
    private readonly Parameter _rateBias;
    private readonly Bottleneck? _firstValue;
    private readonly Parameter? _firstValueBias;
    private readonly Bottleneck _gate;
    private readonly Parameter _removal;
    private readonly Parameter _replacement;
    private readonly Parameter _ownGain;

    /// <param name="device">Where it lives.</param>
    /// <param name="prefix">Start of the parameters' names.</param>
    /// <param name="configuration">The model.</param>
    /// <param name="isFirst">Whether it is the mixer of the model's first block, whose values the others mix into theirs.</param>
    /// <param name="initializer">Draws initial values.</param>
    public Rwkv7Mixer(Device device, string prefix, ModelConfiguration configuration, bool isFirst, Initializer initializer)
        : base(device, prefix, configuration, 6, 64e-5f, initializer)
    {
        var d = configuration.Dimension;
        var ranks = configuration.Ranks!;
        _decay = new Bottleneck(device, prefix + "decay", d, ranks.Decay, initializer);
        _decayBias = initializer.Constant(device, prefix + "decay.bias", new Shape(d), -2);
        _rate = new Bottleneck(device, prefix + "rate", d, ranks.Rate, initializer);
        _rateBias = initializer.Constant(device, prefix + "rate.bias", new Shape(d), 0);
        if (!isFirst)
        {
            _firstValue = new Bottleneck(device, prefix + "first_value", d, ranks.FirstValue, initializer);
            _firstValueBias = initializer.Constant(device, prefix + "first_value.bias", new Shape(d), 0);
        }

        _gate = new Bottleneck(device, prefix + "gate", d, ranks.Gate, initializer);
        _removal = initializer.Constant(device, prefix + "removal", new Shape(d), 1);
        _replacement = initializer.Constant(device, prefix + "replacement", new Shape(d), 1);
        _ownGain = initializer.Constant(device, prefix + "own_gain", new Shape(d), 0);
        Parameters =
        [
            .. base.Parameters, .. _decay.Parameters, _decayBias, .. _rate.Parameters, _rateBias,
            .. _firstValue is null ? (Parameter[])[] : [.. _firstValue.Parameters, _firstValueBias!],
            .. _gate.Parameters, _removal, _replacement, _ownGain,
        ];
    }

    /// <inheritdoc/>
    public override IReadOnlyList<Parameter> Parameters { get; }

    /// <inheritdoc/>
    protected override RecurrentMemory CreateMemory(Segmentation segmentation) => new RecurrentRwkv7Memory(Device, segmentation, Heads, Configuration.HeadWidth);

    /// <inheritdoc/>
    protected override RwkvInputs Prepare(Tape tape, Tensor shifted, int rows)
    {
        var q = Receptance(tape, tape.Rows(shifted, 0, rows));
        var decay = _decay.Up(tape, Activation.Tanh(tape, _decay.Down(tape, tape.Rows(shifted, rows, rows))));
        var logDecay = Scale.Apply(tape, Activation.Sigmoid(tape, decay, _decayBias), LargestLogDecay);
        var forValue = tape.Rows(shifted, 3 * rows, rows);
        var v = Value(tape, forValue);
        if (_firstValue is not null)
        {
            var share = Activation.Sigmoid(tape, _firstValue.Apply(tape, forValue), _firstValueBias);
            var difference = tape.NewTensor(v.Shape);
            Device.Copy(tape.Resource<FirstValues>().Values!.Data, difference.Data);
            Device.AddScaled(v.Data, -1, difference.Data);
            v = MultiplyAdd.Apply(tape, difference, share, v);
        }
        else
        {
            tape.Resource<FirstValues>().Values = v;
        }

        var rate = Activation.Sigmoid(tape, _rate.Apply(tape, tape.Rows(shifted, 4 * rows, rows)), _rateBias);
        var gate = _gate.Up(tape, Activation.Sigmoid(tape, _gate.Down(tape, tape.Rows(shifted, 5 * rows, rows))));
        var (removed, written) = RwkvKeys.Divide(tape, Key(tape, tape.Rows(shifted, 2 * rows, rows)), rate, _removal, _replacement, Heads);
        return new RwkvInputs(q, written, v, gate, new Rwkv7Gates(logDecay, removed, rate));
    }

    /// <inheritdoc/>
    protected override void SetGates(Tape tape, RecurrentMemory memory, in RwkvInputs inputs, int first, int rows) =>
        ((RecurrentRwkv7Memory)memory).Gates = new Rwkv7Gates(
            tape.Rows(inputs.Gates.LogDecay, first, rows), tape.Rows(inputs.Gates.RemovalKeys, first, rows), tape.Rows(inputs.Gates.RemovalRates, first, rows));

    /// <inheritdoc/>
    protected override void AddToRead(Tape tape, in RwkvInputs inputs, Tensor y) => RwkvKeys.AddOwnValue(tape, inputs.Q, inputs.K, _ownGain, inputs.V, Heads, y);

    /// <summary>The values of the first block for the rows of a pass, kept with the pass's tape.</summary>
    private sealed class FirstValues : IDisposable
    {
        public Tensor? Values { get; set; }

        public void Dispose()
        {
        }
    }
}
