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

    internal override MixerState CreateState(StateOptions options) => new KeyValueCache(_device, _configuration.Dimension);

    internal override Tensor Step(Tape tape, Tensor x, Tensor residual, ReadOnlySpan<StreamPart> parts, int layer)
    {
        Tensor q = Linear.Apply(tape, x, _query), k = Linear.Apply(tape, x, _key), v = Linear.Apply(tape, x, _value);
        var y = tape.NewTensor(q.Shape);
        var row = 0;
        foreach (var (states, rows) in parts)
        {
            var cache = (KeyValueCache)states[layer];
            cache.Layout.Set(1, rows);
            cache.Keys.Append(Rotary.Apply(tape, tape.Rows(k, row, rows), cache.Layout, _rotary, cache.Position).Data, rows);
            cache.Values.Append(tape.Rows(v, row, rows).Data, rows);
            var queries = Rotary.Apply(tape, tape.Rows(q, row, rows), cache.Layout, _rotary, cache.Position);
            var read = SoftmaxAttention.Step(tape, queries, cache.Keys.Pages, cache.Values.Pages, cache.Position, _configuration.Heads);
            _device.Copy(read.Data, tape.Rows(y, row, rows).Data);
            row += rows;
        }

        return Linear.Apply(tape, y, _output, residual);
    }

    /// <inheritdoc/>
    public void Dispose() => _rotary.Dispose();

    private sealed class KeyValueCache(Device device, int dimension) : MixerState
    {
        public SequenceLayout Layout { get; } = new(1, 1);

        public SharedRows Keys { get; } = new(device, dimension);

        public SharedRows Values { get; } = new(device, dimension);

        public override long Bytes => Keys.Bytes + Values.Bytes;

        public override bool ReadsEverything => true;

        public override IEnumerable<DeviceSpan<float>> Buffers => [];

        public override long BytesAdded(int tokens) => 2L * tokens * dimension * sizeof(float);

        public override IEnumerable<SharedRows> Rows => [Keys, Values];

        public override int LastReturn(int position) => position;

        public override void GoBack(int position)
        {
            Keys.Truncate(position);
            Values.Truncate(position);
            Position = position;
        }

        public override MixerState Fork()
        {
            KeyValueCache fork = new(device, dimension) { Position = Position };
            Keys.CopyTo(fork.Keys);
            Values.CopyTo(fork.Values);
            return fork;
        }

        public override long BytesAfter(int tokens) => BytesAdded(tokens);

        public override void Fill(int tokens, DeviceSpan<float> noise)
        {
            for (var i = 0; i < tokens; i++)
            {
                Keys.Append(noise.Slice(16 * (i % 64), dimension), 1);
                Values.Append(noise.Slice(16 * (i % 61), dimension), 1);
            }

            Position = tokens;
        }

        protected override void Dispose(bool disposing)
        {
            Keys.Dispose();
            Values.Dispose();
        }
    }
}
