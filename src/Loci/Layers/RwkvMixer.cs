using Loci.Caching;
using Loci.Memories;
using Loci.Models;
using Loci.Numerics;
using Loci.Numerics.Operations;

namespace Loci.Layers;

/// <summary>
/// The time mix of RWKV: receptance (q), key and value are linear maps of mixtures of a token with the one before; the memory is written and read, cached states are read
/// beside it, the result is normalised per head, gated and projected back. It reads models that were trained elsewhere and has no gradient; its parallel form is the step form,
/// sequence by sequence.
/// </summary>
internal abstract class RwkvMixer : Mixer, IDisposable
{
    private readonly float _normEpsilon;
    private readonly Parameter _share;
    private readonly Parameter _receptance;
    private readonly Parameter _key;
    private readonly Parameter _value;
    private readonly Parameter _normGain;
    private readonly Parameter _normBias;
    private readonly Parameter _output;
    private readonly AfterTrainingReaders _readersAfterTraining;

    /// <param name="device">Where it lives.</param>
    /// <param name="prefix">Start of the parameters' names.</param>
    /// <param name="configuration">The model.</param>
    /// <param name="mixtures">Number of mixtures of a token with the one before.</param>
    /// <param name="normEpsilon">Added to the variance of a head's read.</param>
    /// <param name="initializer">Draws initial values.</param>
    protected RwkvMixer(Device device, string prefix, ModelConfiguration configuration, int mixtures, float normEpsilon, Initializer initializer)
    {
        _normEpsilon = normEpsilon;
        Device = device;
        _readersAfterTraining = new AfterTrainingReaders(device, configuration.Heads, false);
        Configuration = configuration;
        var d = configuration.Dimension;
        _share = initializer.Constant(device, prefix + "shift.weight", new Shape(mixtures, d), 0.5f);
        _receptance = initializer.Normal(device, prefix + "receptance.weight", new Shape(d, d));
        _key = initializer.Normal(device, prefix + "key.weight", new Shape(d, d));
        _value = initializer.Normal(device, prefix + "value.weight", new Shape(d, d));
        _normGain = initializer.Constant(device, prefix + "norm.weight", new Shape(d), 1);
        _normBias = initializer.Constant(device, prefix + "norm.bias", new Shape(d), 0);
        _output = initializer.Residual(device, prefix + "output.weight", new Shape(d, d));
        Parameters = [_share, _receptance, _key, _value, _normGain, _normBias, _output];
    }

    /// <inheritdoc/>
    public override IReadOnlyList<Parameter> Parameters { get; }

    protected Device Device { get; }

    protected ModelConfiguration Configuration { get; }

    protected int Heads => Configuration.Heads;

    /// <inheritdoc/>
    public override Tensor Apply(Tape tape, Tensor x, Tensor? residual, SequenceLayout layout)
    {
        var inputs = Prepare(tape, x, layout, default);
        var y = tape.NewTensor(x.Shape);
        for (var sequence = 0; sequence < layout.Count; sequence++)
        {
            int first = layout.Starts[sequence], rows = layout.Starts[sequence + 1] - first;
            using var state = NewState(new OnlineMemory(), Segmentation.None, new StateOptions());
            Device.Copy(Advance(tape, x, inputs, first, rows, state).Data, tape.Rows(y, first, rows).Data);
        }

        return Finish(tape, y, inputs, residual);
    }

    internal override MixerState CreateState(StateOptions options)
    {
        var (reader, segmentation) = _readersAfterTraining.Choose(options, new OnlineMemory(), Segmentation.None);
        return NewState(reader, segmentation, options);
    }

    /// <summary>The start of a sequence whose segments' states are cached and read beside the online memory, though the model was trained without.</summary>
    /// <param name="reader">Reads the cached states; the queries it routes by are those of the memory, and keys are not of unit length.</param>
    /// <param name="segmentation">The segments.</param>
    internal RwkvState CreateState(CacheReader reader, Segmentation segmentation) => NewState(reader, segmentation, new StateOptions());

    internal override Tensor Step(Tape tape, Tensor x, Tensor residual, ReadOnlySpan<StreamPart> parts, int layer)
    {
        var inputs = Prepare(tape, Shift(tape, x, _share, parts, layer, state => state.MixerInput), x.Rows);
        if (parts.Length == 1)
        {
            return Finish(tape, Advance(tape, x, inputs, 0, x.Rows, (RwkvState)parts[0].States[layer]), inputs, residual);
        }

        var y = tape.NewTensor(x.Shape);
        var first = 0;
        foreach (var (states, rows) in parts)
        {
            Device.Copy(Advance(tape, x, inputs, first, rows, (RwkvState)states[layer]).Data, tape.Rows(y, first, rows).Data);
            first += rows;
        }

        return Finish(tape, y, inputs, residual);
    }

    /// <inheritdoc/>
    public void Dispose() => _readersAfterTraining.Dispose();

    /// <summary>The token shift of the next rows of some sequences, each going on from the last row of its state, which is moved past them.</summary>
    internal static Tensor Shift(Tape tape, Tensor x, Tensor share, ReadOnlySpan<StreamPart> parts, int layer, Func<RwkvState, DeviceSpan<float>> previous)
    {
        var mixtures = share.Shape[0];
        var all = parts.Length == 1 ? null : tape.NewTensor(new Shape(mixtures * x.Rows, x.Columns));
        var first = 0;
        foreach (var (states, rows) in parts)
        {
            var state = (RwkvState)states[layer];
            var part = all is null ? x : tape.Rows(x, first, rows);
            state.Layout.Set(1, rows);
            var shifted = TokenShift.Apply(tape, part, share, state.Layout, previous(state));
            state.Keep(tape, part, previous(state));
            if (all is null)
            {
                return shifted;
            }

            for (var i = 0; i < mixtures; i++)
            {
                tape.Device.Copy(tape.Rows(shifted, i * rows, rows).Data, tape.Rows(all, (i * x.Rows) + first, rows).Data);
            }

            first += rows;
        }

        return all!;
    }

    /// <summary>The memory of a new sequence.</summary>
    protected abstract RecurrentMemory CreateMemory(Segmentation segmentation);

    /// <summary>Everything that the memory takes of some rows, and what its result is gated with.</summary>
    /// <param name="tape">The step.</param>
    /// <param name="shifted">The mixtures, [mixtures * rows, D].</param>
    /// <param name="rows">Number of rows.</param>
    protected abstract RwkvInputs Prepare(Tape tape, Tensor shifted, int rows);

    /// <summary>Gives the memory the gates of the rows that it is about to take.</summary>
    protected virtual void SetGates(Tape tape, RecurrentMemory memory, in RwkvInputs inputs, int first, int rows)
    {
    }

    /// <summary>What is added to the normalised read before it is gated; changes <paramref name="y"/> in place.</summary>
    protected virtual void AddToRead(Tape tape, in RwkvInputs inputs, Tensor y)
    {
    }

    protected Tensor Receptance(Tape tape, Tensor mixture) => Linear.Apply(tape, mixture, _receptance);

    protected Tensor Key(Tape tape, Tensor mixture) => Linear.Apply(tape, mixture, _key);

    protected Tensor Value(Tape tape, Tensor mixture) => Linear.Apply(tape, mixture, _value);

    private RwkvState NewState(CacheReader reader, Segmentation segmentation, StateOptions options) => new(
        Device, new RecurrentCache(Device, CreateMemory(segmentation), reader, segmentation, Heads, Configuration.HeadWidth, options.Format), Configuration.Dimension, options.KeepsReturns);

    private RwkvInputs Prepare(Tape tape, Tensor x, SequenceLayout layout, DeviceSpan<float> previous) =>
        Prepare(tape, TokenShift.Apply(tape, x, _share, layout, previous), x.Rows);

    private Tensor Advance(Tape tape, Tensor x, in RwkvInputs inputs, int first, int rows, RwkvState state)
    {
        Tensor q = tape.Rows(inputs.Q, first, rows), k = tape.Rows(inputs.K, first, rows);
        SetGates(tape, state.Cache.Memory, inputs, first, rows);
        return state.Cache.Advance(tape, tape.Rows(x, first, rows), q, k, tape.Rows(inputs.V, first, rows), new RouterInputs(q, k));
    }

    private Tensor Finish(Tape tape, Tensor y, in RwkvInputs inputs, Tensor? residual)
    {
        y = LayerNorm.Apply(tape, y, _normGain, _normBias, _normEpsilon, Heads);
        AddToRead(tape, inputs, y);
        return Linear.Apply(tape, inputs.Gate is null ? y : MultiplyAdd.Apply(tape, y, inputs.Gate), _output, residual);
    }
}

/// <summary>What an RWKV memory takes of some rows, [rows, D] each.</summary>
/// <param name="Q">Receptance.</param>
/// <param name="K">The key that is written.</param>
/// <param name="V">Value.</param>
/// <param name="Gate">The result is multiplied by it; null = 1.</param>
/// <param name="Gates">RWKV-7: the memory's gates.</param>
internal readonly record struct RwkvInputs(Tensor Q, Tensor K, Tensor V, Tensor? Gate, Rwkv7Gates Gates = default);
