using Loci.Caching;
using Loci.Models;
using Loci.Numerics;
using Loci.Numerics.Operations;

namespace Loci.Layers;

/// <summary>Causal softmax attention with rotary positions, the mixer of the Transformer++ baseline: no convolution and no output gate, as in Llama.</summary>
public sealed class AttentionMixer : Mixer, IDisposable
{
    private readonly ModelConfiguration _configuration;
    private readonly Device _device;
    private readonly Parameter _query;
    private readonly Parameter _key;
    private readonly Parameter _value;
    private readonly Parameter _output;
    private readonly RotaryTable _rotary;

    internal AttentionMixer(Device device, string prefix, ModelConfiguration configuration, Initializer initializer)
    {
        _device = device;
        _configuration = configuration;
        var shape = new Shape(configuration.Dimension, configuration.Dimension);
        _query = initializer.Normal(device, prefix + "query.weight", shape);
        _key = initializer.Normal(device, prefix + "key.weight", shape);
        _value = initializer.Normal(device, prefix + "value.weight", shape);
        _output = initializer.Residual(device, prefix + "output.weight", shape);
        _rotary = new RotaryTable(device, configuration.Dimension / configuration.Heads, configuration.RotaryBase);
        Parameters = [_query, _key, _value, _output];
    }

    /// <inheritdoc/>
    public override IReadOnlyList<Parameter> Parameters { get; }

    /// <inheritdoc/>
    public override Tensor Apply(Tape tape, Tensor x, Tensor? residual, SequenceLayout layout)
    {
        var q = Rotary.Apply(tape, Linear.Apply(tape, x, _query), layout, _rotary);
        var k = Rotary.Apply(tape, Linear.Apply(tape, x, _key), layout, _rotary);
        var v = Linear.Apply(tape, x, _value);
        return Linear.Apply(tape, SoftmaxAttention.Apply(tape, q, k, v, layout, _configuration.Heads), _output, residual);
    }

    /// <inheritdoc/>
    public override MixerState CreateState() => new KeyValueCache(_device, _configuration.Dimension);

    /// <inheritdoc/>
    public override Tensor Step(Tape tape, Tensor x, Tensor residual, MixerState state)
    {
        ArgumentNullException.ThrowIfNull(tape);
        ArgumentNullException.ThrowIfNull(x);
        var cache = (KeyValueCache)state;
        cache.Layout.Set(1, x.Rows);
        var q = Rotary.Apply(tape, Linear.Apply(tape, x, _query), cache.Layout, _rotary, cache.Position);
        var k = Rotary.Apply(tape, Linear.Apply(tape, x, _key), cache.Layout, _rotary, cache.Position);
        cache.Append(k, Linear.Apply(tape, x, _value));
        var y = tape.NewTensor(q.Shape);
        for (var row = 0; row < x.Rows; row++)
        {
            var read = SoftmaxAttention.Step(tape, tape.Rows(q, row, 1), cache.Keys, cache.Values, cache.Position + row + 1, _configuration.Heads);
            _device.Copy(read.Data, tape.Rows(y, row, 1).Data);
        }

        return Linear.Apply(tape, y, _output, residual);
    }

    /// <inheritdoc/>
    public void Dispose() => _rotary.Dispose();

    private sealed class KeyValueCache(Device device, int dimension) : MixerState
    {
        private readonly GrowingMemory _keys = new(device, dimension);
        private readonly GrowingMemory _values = new(device, dimension);

        public SequenceLayout Layout { get; } = new(1, 1);

        public DeviceSpan<float> Keys => _keys.Data;

        public DeviceSpan<float> Values => _values.Data;

        public override long Bytes => 2L * _keys.Count * dimension * sizeof(float);

        public override int CachedStates => 0;

        public void Append(Tensor k, Tensor v)
        {
            _keys.Append(k.Data, k.Rows);
            _values.Append(v.Data, v.Rows);
        }

        protected override void Dispose(bool disposing)
        {
            _keys.Dispose();
            _values.Dispose();
        }
    }
}
