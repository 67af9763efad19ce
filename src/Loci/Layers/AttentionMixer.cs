using Loci.Memory;
using Loci.Memory.Rules;
using Loci.Memory.Store;
using Loci.Numerics;
using Loci.Numerics.Operations;

namespace Loci.Layers;

/// <summary>Causal softmax attention with rotary positions, the mixer of the Transformer++ baseline: no convolution and no output gate, as in Llama.</summary>
internal sealed class AttentionMixer : Mixer, IDisposable
{
    private readonly LayerContext _layer;
    private readonly Parameter _query;
    private readonly Parameter _key;
    private readonly Parameter _value;
    private readonly Parameter _output;
    private readonly RotaryTable _rotary;

    public AttentionMixer(LayerContext layer)
    {
        _layer = layer;
        var (device, prefix, initializer) = (layer.Device, layer.Prefix, layer.Initializer);
        var shape = new Shape(layer.Dimension, layer.Dimension);
        _query = initializer.Normal(device, prefix + "query.weight", shape);
        _key = initializer.Normal(device, prefix + "key.weight", shape);
        _value = initializer.Normal(device, prefix + "value.weight", shape);
        _output = initializer.Residual(device, prefix + "output.weight", shape);
        _rotary = new RotaryTable(device, layer.HeadWidth, layer.RotaryBase);
        Parameters = [_query, _key, _value, _output];
    }

    /// <inheritdoc/>
    public override IReadOnlyList<Parameter> Parameters { get; }

    /// <inheritdoc/>
    public override Tensor Forward(Tape tape, Tensor x, Tensor? residual, SequenceRows rows)
    {
        var q = rows.Rotate(tape, Linear.Apply(tape, x, _query), _rotary);
        var k = rows.Rotate(tape, Linear.Apply(tape, x, _key), _rotary);
        var v = Linear.Apply(tape, x, _value);
        var y = rows.HaveStates ? Continue(tape, q, k, v, rows) : SoftmaxAttention.Apply(tape, q, k, v, rows.Layout, _layer.Heads);
        return Linear.Apply(tape, y, _output, residual);
    }

    /// <inheritdoc/>
    public override MixerState CreateState(StateOptions options) => new KeyValueCache(_layer.Device, _layer.Dimension);

    /// <inheritdoc/>
    public void Dispose() => _rotary.Dispose();

    private Tensor Continue(Tape tape, Tensor q, Tensor k, Tensor v, SequenceRows rows)
    {
        var y = tape.NewTensor(q.Shape);
        for (var sequence = 0; sequence < rows.Count; sequence++)
        {
            var (first, count) = rows.RowsOf(sequence);
            var cache = rows.State<KeyValueCache>(sequence);
            cache.Keys.Append(tape.Rows(k, first, count).Data, count);
            cache.Values.Append(tape.Rows(v, first, count).Data, count);
            var read = SoftmaxAttention.Step(tape, tape.Rows(q, first, count), cache.Keys.Pages, cache.Values.Pages, cache.Position, _layer.Heads);
            _layer.Device.Copy(read.Data, tape.Rows(y, first, count).Data);
        }

        return y;
    }

    private sealed class KeyValueCache(Device device, int dimension) : MixerState
    {
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
