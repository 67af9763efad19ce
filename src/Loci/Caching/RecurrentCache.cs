using Loci.Layers;
using Loci.Memories;
using Loci.Numerics;
using Loci.Numerics.Operations;

namespace Loci.Caching;

/// <summary>
/// The step form of a memory with a cache: one sequence, read token by token or in pieces of any size, with the same bits. It holds the online memory, the
/// cached states of the segments that a next token would read, and the sum of the online segment's keys.
/// </summary>
internal sealed class RecurrentCache : IDisposable
{
    private readonly Device _device;
    private readonly CacheReader _reader;
    private readonly Segmentation _segmentation;
    private readonly int _dimension;
    private readonly int _heads;
    private readonly int _width;
    private readonly bool _isRouted;
    private readonly bool _sumsStates;   // Residual over matrices: their sum is read once
    private readonly LogLinearBlock? _levels;
    private readonly bool _isSoup;       // over deep memories: read beside the weights of every token
    private readonly bool _mergesStates;
    private readonly RecurrentMemory _memory;
    private readonly DeviceSpan<float> _sum;          // of the cached states, Residual over matrices only, [state]
    private readonly DeviceSpan<float> _keySum;       // of the online segment, [D]
    private readonly GrowingMemory _states;           // [slots, state]
    private readonly GrowingMemory _pooledKeys;       // p, [slots, D]
    private readonly GrowingMemory _keySums;          // [slots, D]
    private readonly List<int> _lengths = [];         // tokens per slot
    private readonly MemoryPlan _plan;
    private int _plannedRows;
    private int _plannedSlots = -1;

    public RecurrentCache(Device device, RecurrentMemory memory, CacheReader reader, Segmentation segmentation, int heads, int width)
    {
        _device = device;
        _memory = memory;
        _reader = reader;
        _segmentation = segmentation;
        _dimension = heads * width;
        _heads = heads;
        _width = width;
        _isRouted = reader.IsRouted;
        _mergesStates = segmentation.Kind == SegmentKind.Logarithmic;
        _sumsStates = reader is ResidualMemory && memory.Network is null;
        _levels = reader is LogLinearAttention ? new LogLinearBlock(device, segmentation.Length, heads, width) : null;
        _isSoup = reader is MemorySoup && memory.Network is not null;
        _sum = _sumsStates ? Zeros(memory.StateLength) : default;
        _keySum = Zeros(_dimension);
        _states = new GrowingMemory(device, memory.StateLength);
        _pooledKeys = new GrowingMemory(device, _dimension);
        _keySums = new GrowingMemory(device, _dimension);
        _plan = new MemoryPlan(device);
    }

    public int CachedStates => _states.Count;

    public long Bytes => _memory.Bytes + (_levels?.Bytes ?? 0) + (sizeof(float) * (_sum.Length + _keySum.Length
        + _states.Data.Length + _pooledKeys.Data.Length + (_mergesStates ? _keySums.Data.Length : 0)));

    /// <summary>Writes the next rows, reads them, and caches the states of the segments that end among them.</summary>
    public Tensor Advance(Tape tape, Tensor x, Tensor q, Tensor k, Tensor v, Tensor u)
    {
        _memory.Begin(tape, x, q, k, v);
        var lambda = (_reader as LogLinearAttention)?.Weights(tape, x);
        var online = tape.NewTensor(q.Shape);                // o
        var y = _segmentation.IsNone ? online : tape.NewTensor(q.Shape);
        for (var row = 0; row < q.Rows;)
        {
            var rows = _isSoup ? 1 : Math.Min(q.Rows - row, _segmentation.IsNone ? q.Rows : _segmentation.Length - _memory.OnlineLength);
            var position = _memory.OnlineLength;
            _memory.Write(tape, row, rows, _isSoup ? null : online);
            if (_levels is not null)
            {
                PlanRead(position + rows, _states.Count);
                _levels.Read(tape, _plan, _states.Data, q, k, v, lambda!, ((RecurrentMatrixMemory)_memory).Gates, y, row, rows, position);
            }
            else if (!_segmentation.IsNone)
            {
                Read(tape, q, k, u, online, y, row, rows, position);
                if (_isRouted)
                {
                    for (var t = row; t < row + rows; t++)
                    {
                        _device.AddScaled(tape.Rows(k, t, 1).Data, 1, _keySum);
                    }
                }
            }

            row += rows;
            if (!_segmentation.IsNone && _memory.OnlineLength == _segmentation.Length)
            {
                EndSegment();
            }
        }

        return y;
    }

    public void Dispose()
    {
        foreach (var span in (ReadOnlySpan<DeviceSpan<float>>)[_sum, _keySum])
        {
            _device.Free(span);
        }

        foreach (var memory in (ReadOnlySpan<GrowingMemory>)[_states, _pooledKeys, _keySums])
        {
            memory.Dispose();
        }

        _memory.Dispose();
        _levels?.Dispose();
        _plan.Dispose();
    }

    private void Read(Tape tape, Tensor q, Tensor k, Tensor u, Tensor online, Tensor y, int row, int rows, int position)
    {
        // Residual reads the running sum of the states as if it were the only one.
        var slots = _sumsStates ? Math.Min(1, _states.Count) : _states.Count;
        if (_plannedRows != rows || _plannedSlots != slots)
        {
            PlanRead(rows, slots);
        }

        var arguments = new ReadArguments
        {
            Plan = _plan,
            Options = new CachedReadOptions(_heads),
            Width = _width,
            Online = tape.Rows(online, row, rows).Data,
            Queries = tape.Rows(q, row, rows).Data,
            States = _sumsStates ? _sum : _states.Data,
            Output = tape.Rows(y, row, rows).Data,
            Network = _memory.Network,
            Gain = _memory.Gain?.Data ?? default,
        };
        if (_reader is RoutedReader { Router: var router })
        {
            var gates = (long)_plan.GateCount * _heads;
            arguments.IsGated = true;
            arguments.Options = router.Options;
            arguments.Routing = tape.Rows(u, row, rows).Data;
            arguments.Keys = tape.Rows(k, row, rows).Data;
            arguments.Temperature = router.Temperature.Data;
            arguments.OnlineBias = router.OnlineBias?.Data ?? default;
            arguments.PooledKeys = _pooledKeys.Data;
            arguments.Scores = tape.Allocate(gates);
            arguments.Gates = tape.Allocate(gates);
            arguments.InitialKeys = _keySum;
            arguments.InitialCount = position;
        }
        else if (_sumsStates)
        {
            arguments.Sums = tape.Allocate((long)_heads * _width * _width);
        }

        if (_isSoup)
        {
            _device.DeepSoup(new DeepArguments { Plan = _plan, Options = _memory.Network!, OnlineWeights = _memory.State, KeptEvery = 1 }, arguments);
        }
        else
        {
            _device.CachedRead(arguments);
        }
    }

    private void PlanRead(int rows, int slots)
    {
        _plan.Begin();
        _plan.BeginSequence();
        Span<int> visible = slots <= 4096 ? stackalloc int[slots] : new int[slots];
        for (var i = 0; i < slots; i++)
        {
            visible[i] = _plan.AddSlot(0, _lengths[i]);
        }

        _plan.AddGroup(0, rows, visible, [], false);
        _plan.EndSequence();
        _plan.End();
        _plannedRows = rows;
        _plannedSlots = slots;
    }

    private void EndSegment()
    {
        _states.Append(_memory.State, 1);
        _memory.SegmentCached();
        if (_isRouted)
        {
            _keySums.Append(_keySum, 1);
            _pooledKeys.Extend(1);
        }

        _lengths.Add(_memory.OnlineLength);
        if (_mergesStates)
        {
            while (_lengths.Count > 1 && _lengths[^1] == _lengths[^2])
            {
                Merge(_segmentation.Start == SegmentStart.Independent);
            }
        }

        if (_isRouted)
        {
            var last = _lengths.Count - 1;
            _device.Clear(_pooledKeys[last]);
            _device.AddScaled(_keySums[last], ((RoutedReader)_reader).Router.KeyScale(_lengths[last]), _pooledKeys[last]);
        }

        if (_sumsStates)
        {
            SumStates();
        }

        _levels?.EndBlock((RecurrentMatrixMemory)_memory, _states.Count);
        _memory.EndSegment();
        _device.Clear(_keySum);
    }

    /// <summary>Makes the last two segments one, as addition carries in binary.</summary>
    private void Merge(bool isIndependent)
    {
        int right = _lengths.Count - 1, left = right - 1;
        if (isIndependent)
        {
            _memory.Merge(_states[left], _states[right]);
        }
        else
        {
            _device.Copy(_states[right], _states[left]);
        }

        if (_isRouted)
        {
            _device.AddScaled(_keySums[right], 1, _keySums[left]);
            _keySums.RemoveLast();
            _pooledKeys.RemoveLast();
        }

        _states.RemoveLast();
        _lengths[left] += _lengths[right];
        _lengths.RemoveAt(right);
        _plannedSlots = -1;
    }

    private void SumStates()
    {
        // Constant segments add one state; a merge has changed which states there are, so logarithmic ones, being few, are summed anew.
        if (!_mergesStates)
        {
            _device.AddScaled(_states[_states.Count - 1], 1, _sum);
            return;
        }

        _device.Clear(_sum);
        for (var i = 0; i < _states.Count; i++)
        {
            _device.AddScaled(_states[i], 1, _sum);
        }
    }

    private DeviceSpan<float> Zeros(long count)
    {
        if (count == 0)
        {
            return default;
        }

        var span = _device.Allocate<float>(count);
        _device.Clear(span);
        return span;
    }
}
