using Loci.Caching;
using Loci.Memories;
using Loci.Numerics;

namespace Loci.Layers;

/// <summary>What the step form of log-linear attention keeps of the open block, whose tokens it weighs one by one.</summary>
internal sealed class LogLinearBlock : IDisposable
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
    private readonly GrowingMemory _decaysBehind;   // [slots, H]

    public LogLinearBlock(Device device, int length, int heads, int width)
    {
        _device = device;
        _heads = heads;
        _width = width;
        var panel = (long)length * heads * width;
        _queries = device.Allocate<float>(panel);
        _keys = device.Allocate<float>(panel);
        _values = device.Allocate<float>(panel);
        _output = device.Allocate<float>(panel);
        _lambda = device.Allocate<float>((long)length * heads * LogLinearAttention.Levels);
        _logDecay = device.Allocate<float>((long)length * heads);
        _writeGate = device.Allocate<float>((long)length * heads);
        _decaysBehind = new GrowingMemory(device, heads);
    }

    public long Bytes => sizeof(float) * ((4 * _queries.Length) + _lambda.Length + _logDecay.Length + _writeGate.Length + _decaysBehind.Data.Length);

    /// <summary>Reads some rows, of which the first is number <paramref name="position"/> of its block.</summary>
    public void Read(
        Tape tape, MemoryPlan plan, DeviceSpan<float> states, Tensor q, Tensor k, Tensor v, Tensor lambda, GateValues gates, Tensor y, int row, int rows, int position)
    {
        Keep(tape, q, _queries, row, rows, position);
        Keep(tape, k, _keys, row, rows, position);
        Keep(tape, v, _values, row, rows, position);
        Keep(tape, lambda, _lambda, row, rows, position);
        Keep(tape, gates.LogDecay, _logDecay, row, rows, position);
        Keep(tape, gates.WriteGate, _writeGate, row, rows, position);
        _device.LogLinearRead(new LogLinearArguments
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
            States = states,
            Output = _output,
            SlotDecay = _decaysBehind.Data,
            FirstRow = position,
        });
        var length = (long)rows * y.Columns;
        _device.Copy(_output.Slice((long)position * y.Columns, length), tape.Rows(y, row, rows).Data);
    }

    /// <summary>The block has become a segment among the cached ones.</summary>
    public void EndBlock(RecurrentMatrixMemory memory, int slots)
    {
        while (_decaysBehind.Count > slots)
        {
            _decaysBehind.RemoveLast();
        }

        if (_decaysBehind.Count < slots)
        {
            _decaysBehind.Extend(slots - _decaysBehind.Count);
        }

        memory.CopyDecaysBehind(_decaysBehind.Data);
    }

    public void Dispose()
    {
        foreach (var span in (ReadOnlySpan<DeviceSpan<float>>)[_queries, _keys, _values, _output, _lambda, _logDecay, _writeGate])
        {
            _device.Free(span);
        }

        _decaysBehind.Dispose();
    }

    private void Keep(Tape tape, Tensor? source, DeviceSpan<float> destination, int row, int rows, int position)
    {
        if (source is not null)
        {
            _device.Copy(tape.Rows(source, row, rows).Data, destination.Slice((long)position * source.Columns, (long)rows * source.Columns));
        }
    }
}
