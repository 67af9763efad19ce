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
    private readonly DeviceSpan<float> _decaysBehind;  // [slots, H]
    private readonly DeviceSpan<float>[] _buffers;

    public LogLinearBlock(Device device, int length, int heads, int width)
    {
        _device = device;
        _heads = heads;
        _width = width;
        var panel = (long)length * heads * width;
        _buffers = [.. ((ReadOnlySpan<long>)[panel, panel, panel, panel, (long)length * heads * LogLinearAttention.Levels, (long)length * heads, (long)length * heads, 32L * heads])
            .ToArray().Select(count => device.Allocate<float>(count))];
        foreach (var buffer in _buffers)
        {
            device.Clear(buffer);
        }

        (_queries, _keys, _values, _output) = (_buffers[0], _buffers[1], _buffers[2], _buffers[3]);
        (_lambda, _logDecay, _writeGate, _decaysBehind) = (_buffers[4], _buffers[5], _buffers[6], _buffers[7]);
    }

    public long Bytes => sizeof(float) * _buffers.Sum(buffer => buffer.Length);

    /// <summary>Everything that changes from token to token.</summary>
    public IReadOnlyList<DeviceSpan<float>> Buffers => _buffers;

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

    public void CopyFrom(LogLinearBlock source)
    {
        for (var i = 0; i < _buffers.Length; i++)
        {
            _device.Copy(source._buffers[i], _buffers[i]);
        }
    }

    public void Dispose()
    {
        foreach (var buffer in _buffers)
        {
            _device.Free(buffer);
        }
    }

    private void Keep(Tape tape, Tensor? source, DeviceSpan<float> destination, int row, int rows, int position)
    {
        if (source is not null)
        {
            _device.Copy(tape.Rows(source, row, rows).Data, destination.Slice((long)position * source.Columns, (long)rows * source.Columns));
        }
    }
}
