using Loci.Memory;
using Loci.Memory.Aggregations;
using Loci.Memory.Routing;
using Loci.Memory.Rules;
using Loci.Memory.Rules.Rwkv7;
using Loci.Memory.Segments;
using Loci.Models;
using Loci.Numerics;
using Loci.Numerics.Operations;

namespace Loci.Layers;

/// <summary>
/// The time mix of RWKV: receptance (q), key and value are linear maps of mixtures of a token with the one before; the memory is written and read, cached states are read
/// beside it, the result is normalized per head, gated and projected back. It reads models that were trained elsewhere and has no gradient;
/// whole sequences are read as from
/// an empty state.
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
    private readonly SessionReaders _readers;

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
        _readers = new SessionReaders(device, configuration.Heads);
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
    public override Tensor Forward(Tape tape, Tensor x, Tensor? residual, SequenceRows rows)
    {
        var inputs = Prepare(tape, RwkvShift.Forward(tape, x, _share, rows, 0), x.Rows);
        if (rows is { HaveStates: true, Count: 1 })
        {
            return Finish(tape, Advance(tape, x, inputs, 0, x.Rows, rows.State<CachedMixerState>(0)), inputs, residual);
        }

        var y = tape.NewTensor(x.Shape);
        for (var sequence = 0; sequence < rows.Count; sequence++)
        {
            var (first, count) = rows.RowsOf(sequence);
            using var start = rows.HaveStates ? null : CreateState(new StateOptions());
            var read = Advance(tape, x, inputs, first, count, start ?? rows.State<CachedMixerState>(sequence));
            Device.Copy(read.Data, tape.Rows(y, first, count).Data);
        }

        return Finish(tape, y, inputs, residual);
    }

    /// <inheritdoc/>
    public override CachedMixerState CreateState(StateOptions options)
    {
        var (reader, segmentation) = _readers.Choose(options, new NoCache.Reader(), Segmentation.None, true);
        return CreateState(reader, segmentation, options);
    }

    /// <summary>The start of a sequence whose segments' states are read by a given reader.</summary>
    internal CachedMixerState CreateState(CacheReader reader, Segmentation segmentation, StateOptions options) => new(
        Device, new CachedMemoryState(Device, CreateMemory(segmentation), reader, segmentation, Heads, Configuration.HeadWidth, options.Format),
        2L * Configuration.Dimension, options.KeepsReturns);

    /// <inheritdoc/>
    public void Dispose() => _readers.Dispose();

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

    private Tensor Advance(Tape tape, Tensor x, in RwkvInputs inputs, int first, int rows, CachedMixerState state)
    {
        Tensor q = tape.Rows(inputs.Q, first, rows), k = tape.Rows(inputs.K, first, rows);
        SetGates(tape, state.Memory.Memory, inputs, first, rows);
        return state.Memory.Advance(tape, tape.Rows(x, first, rows), q, k, tape.Rows(inputs.V, first, rows), new RouterInputs(q, k));
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
