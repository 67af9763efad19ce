using Loci.Memory.Aggregations;
using Loci.Memory.Rules;
using Loci.Memory.Segments;
using Loci.Numerics;
using Loci.Numerics.Operations;

namespace Loci.Memory.Aggregations;

/// <summary>
/// Log-linear attention (Guo et al., arXiv 2506.04761), a baseline: independent logarithmic segments whose weights lambda = softplus(x W +
/// bias) depend on the token and on how
/// far away a segment is, not on what it holds. Its blocks are the chunks; inside the open block every token has a weight of its own.
/// </summary>
internal sealed class LogLinear : TrainedAggregation
{
    /// <summary>Levels with a weight of their own: 2^19 tokens back. All further ones share the last.</summary>
    public const int Levels = 20;

    public override string Name => "log-linear";

    public override string Title => "log-linear attention";

    public override string Equation => "y_t = sum_{j<=t} lambda_t[level(t, j)] (a_{j+1} ... a_t) l_j (q_t . k_j) v_j";

    internal override Segmentation SegmentsOf(MixerConfiguration mixer, MemoryRule rule) =>
        new(SegmentKind.Logarithmic, mixer.ChunkLength, SegmentStart.Independent);

    internal override string? Problem(MixerConfiguration mixer, MemoryRule rule)
    {
        if (!rule.SupportsLogLinear)
        {
            string[] possible = [.. MemoryRules.All.Where(other => other.SupportsLogLinear).Select(other => other.Name)];
            return $"Log-linear attention weighs every token of a memory by itself, which {mixer.Memory} does not allow: use {string.Join(", ", possible[..^1])} or {possible[^1]}.";
        }

        return !int.IsPow2(mixer.ChunkLength) ? $"Log-linear attention needs a chunk whose length is a power of two, not {mixer.ChunkLength}."
            : mixer.Cache.Start == SegmentStart.Checkpoint ? "The segments of log-linear attention start independently: leave start out, or set it to independent."
            : null;
    }

    internal override TrainedReader CreateReader(LayerContext layer, CacheConfiguration cache) => new Reader(layer);

    private sealed class Reader : TrainedReader
    {
        private readonly int _heads;
        private readonly Parameter _weight;
        private readonly Parameter _bias;

        public Reader(LayerContext layer)
        {
            _heads = layer.Heads;
            _weight = layer.Initializer.Normal(layer.Device, layer.Prefix + "levels.weight", new Shape(_heads * Levels, layer.Dimension), decays: false);
            _bias = layer.Initializer.Constant(layer.Device, layer.Prefix + "levels.bias", new Shape(_heads * Levels), 0);
            Parameters = [_weight, _bias];
        }

        public override IReadOnlyList<Parameter> Parameters { get; }

        /// <summary>lambda, [rows, H*levels].</summary>
        public Tensor Weights(Tape tape, Tensor x) => Activation.Softplus(tape, Linear.Apply(tape, x, _weight), _bias);

        public override Tensor Read(Tape tape, LayerMemory memory, in MemoryInputs inputs)
        {
            var (scan, gates) = memory.Write(tape, inputs);
            return LogLinearRead.Apply(
                tape, inputs.Plan, scan.States, inputs.Q, inputs.K, inputs.V, Weights(tape, inputs.X), _heads, gates.LogDecay, gates.WriteGate);
        }

        public override ReadState CreateState(CachedSegments segments, RecurrentMemory memory) => new State(this, segments, memory);
    }

    /// <summary>Keeps the open block, whose tokens are weighed one by one.</summary>
    private sealed class State : ReadState
    {
        private readonly Reader _reader;
        private readonly DeviceSpan<float> _queries;       // [block, D], as the next three
        private readonly DeviceSpan<float> _keys;
        private readonly DeviceSpan<float> _values;
        private readonly DeviceSpan<float> _output;
        private readonly DeviceSpan<float> _lambda;        // [block, H*levels]
        private readonly DeviceSpan<float> _logDecay;      // [block, H]
        private readonly DeviceSpan<float> _writeGate;     // [block, H]
        private readonly DeviceSpan<float> _decaysBehind;  // [slots, H]
        private Tensor? _lambdaOfRows;

        public State(Reader reader, CachedSegments segments, RecurrentMemory memory)
            : base(segments, memory)
        {
            _reader = reader;
            int heads = segments.Heads, length = segments.Segmentation.Length;
            var panel = (long)length * heads * segments.Width;
            _queries = segments.Store.AddBuffer(panel);
            _keys = segments.Store.AddBuffer(panel);
            _values = segments.Store.AddBuffer(panel);
            _output = segments.Store.AddBuffer(panel);
            _lambda = segments.Store.AddBuffer((long)length * heads * Levels);
            _logDecay = segments.Store.AddBuffer((long)length * heads);
            _writeGate = segments.Store.AddBuffer((long)length * heads);
            _decaysBehind = segments.Store.AddBuffer(32L * heads);
        }

        public override bool CanHideSegments => false;

        public override void Begin(Tape tape, Tensor x) => _lambdaOfRows = _reader.Weights(tape, x);

        public override void Read(Tape tape, in StepInputs inputs, int row, int rows, int position)
        {
            var gates = Memory.TokenGates;
            Segments.PlanRead(position + rows, Segments.Count);
            Keep(tape, inputs.Q, _queries, row, rows, position);
            Keep(tape, inputs.K, _keys, row, rows, position);
            Keep(tape, inputs.V, _values, row, rows, position);
            Keep(tape, _lambdaOfRows, _lambda, row, rows, position);
            Keep(tape, gates.LogDecay, _logDecay, row, rows, position);
            Keep(tape, gates.WriteGate, _writeGate, row, rows, position);
            Device.Launch<LogLinearReadKernel.Forward, LogLinearArguments>(new()
            {
                Plan = Segments.Plan,
                Heads = Segments.Heads,
                Width = Segments.Width,
                Levels = Levels,
                Queries = _queries,
                Keys = _keys,
                Values = _values,
                Lambda = _lambda,
                LogDecay = gates.LogDecay is null ? default : _logDecay,
                WriteGate = gates.WriteGate is null ? default : _writeGate,
                StatePages = Segments.States.Pages,
                Output = _output,
                SlotDecay = _decaysBehind,
                FirstRow = position,
            });
            var columns = inputs.Output.Columns;
            Device.Copy(_output.Slice((long)position * columns, (long)rows * columns), tape.Rows(inputs.Output, row, rows).Data);
        }

        public override void StatesChanged() => Memory.CopyDecaysBehind(_decaysBehind);

        private void Keep(Tape tape, Tensor? source, DeviceSpan<float> destination, int row, int rows, int position)
        {
            if (source is not null)
            {
                Device.Copy(tape.Rows(source, row, rows).Data, destination.Slice((long)position * source.Columns, (long)rows * source.Columns));
            }
        }
    }
}
