using Loci.Caching;
using Loci.Memories;
using Loci.Memory.Aggregations;
using Loci.Memory.Segments;
using Loci.Numerics;

namespace Loci.Layers;

/// <summary>What the step form of log-linear attention keeps of the open block, whose tokens it weighs one by one.</summary>
internal sealed class LogLinearBlock
{
    private readonly Device _device;
    private readonly int _heads;
    private readonly int _width;
    private readonly DeviceSpan<float> _queries;    // [block, D], as the next three
    private readonly DeviceSpan<float> _keys;
    private readonly DeviceSpan<float> _values;
    private readonly DeviceSpan<float> _output;
    private readonly DeviceSpan<float> _lambda;     // [block, H*levels]
    private readonly DeviceSpan<float> _logDecay;   // [block, H]
    private readonly DeviceSpan<float> _writeGate;  // [block, H]
    private readonly DeviceSpan<float> _decaysBehind;  // [slots, H]

    /// <param name="device">Where it lives.</param>
    /// <param name="store">Keeps its buffers.</param>
    /// <param name="length">Tokens of a block.</param>
    /// <param name="heads">H.</param>
    /// <param name="width">d.</param>
    public LogLinearBlock(Device device, SequenceStore store, int length, int heads, int width)
    {
        _device = device;
        _heads = heads;
        _width = width;
        var panel = (long)length * heads * width;
        _queries = store.AddBuffer(panel);
        _keys = store.AddBuffer(panel);
        _values = store.AddBuffer(panel);
        _output = store.AddBuffer(panel);
        _lambda = store.AddBuffer((long)length * heads * LogLinearAttention.Levels);
        _logDecay = store.AddBuffer((long)length * heads);
        _writeGate = store.AddBuffer((long)length * heads);
        _decaysBehind = store.AddBuffer(32L * heads);
    }

    /// <summary>Reads some rows, of which the first is number <paramref name="position"/> of its block.</summary>
    public void Read(
        Tape tape, MemoryPlan plan, PagedRows states, Tensor q, Tensor k, Tensor v, Tensor lambda, GateValues gates, Tensor y, int row, int rows, int position)
    {
        Keep(tape, q, _queries, row, rows, position);
        Keep(tape, k, _keys, row, rows, position);
        Keep(tape, v, _values, row, rows, position);
        Keep(tape, lambda, _lambda, row, rows, position);
        Keep(tape, gates.LogDecay, _logDecay, row, rows, position);
        Keep(tape, gates.WriteGate, _writeGate, row, rows, position);
        _device.Launch<LogLinearReadKernel.Forward, LogLinearArguments>(new()
        {
            Plan = plan,
            Heads = _heads,
            Width = _width,
            Levels = LogLinearAttention.Levels,
            Queries = _queries,
            Keys = _keys,
            Values = _values,
            Lambda = _lambda,
            LogDecay = gates.LogDecay is null ? default : _logDecay,
            WriteGate = gates.WriteGate is null ? default : _writeGate,
            StatePages = states,
            Output = _output,
            SlotDecay = _decaysBehind,
            FirstRow = position,
        });
        var length = (long)rows * y.Columns;
        _device.Copy(_output.Slice((long)position * y.Columns, length), tape.Rows(y, row, rows).Data);
    }

    /// <summary>The block has become a segment among the cached ones.</summary>
    public void EndBlock(RecurrentMatrixMemory memory) => memory.CopyDecaysBehind(_decaysBehind);

    private void Keep(Tape tape, Tensor? source, DeviceSpan<float> destination, int row, int rows, int position)
    {
        if (source is not null)
        {
            _device.Copy(tape.Rows(source, row, rows).Data, destination.Slice((long)position * source.Columns, (long)rows * source.Columns));
        }
    }
}
