using Loci.Inference;
using Loci.Layers;
using Loci.Memories;
using Loci.Numerics;
using Loci.Numerics.Operations;

namespace Loci.Caching;

/// <summary>
/// The step form of a memory with a cache: one sequence, read token by token or in pieces of any size, with the same bits. It holds the online memory, the
/// cached states of the segments that a next token would read, and the sum of the online segment's keys. Cached states are never changed, so that forks share them.
/// </summary>
internal sealed class RecurrentCache : IDisposable
{
    private readonly Device _device;
    private readonly CacheReader _reader;
    private readonly Segmentation _segmentation;
    private readonly StateFormat _format;
    private readonly int _dimension;
    private readonly int _heads;
    private readonly int _width;
    private readonly bool _isRouted;
    private readonly bool _sumsStates;   // Residual over matrices: their sum is read once
    private readonly bool _averages;     // one state stands for all
    private readonly LogLinearBlock? _levels;
    private readonly bool _isSoup;       // over deep memories: read beside the weights of every token
    private readonly bool _mergesStates;
    private readonly RecurrentMemory _memory;
    private readonly SequenceStore _store;
    private readonly DeviceSpan<float> _sum;         // of the cached states, Residual over matrices only, [state]
    private readonly DeviceSpan<long> _sumTable;     // its address
    private readonly DeviceSpan<float> _keySum;      // of the online segment, [D]
    private readonly DeviceSpan<float> _onlineBias;  // averages: log of how much the online state weighs to the average, [H]
    private readonly DeviceSpan<float> _decoded;     // scratch: a state as it is read, if it is stored otherwise
    private readonly SharedRows _states;             // [slots, stored state]
    private readonly SharedRows? _pooledKeys;        // p, [slots, D]
    private readonly KeyIndex? _keyIndex;            // p again, in few bits; made from p, so not saved
    private readonly SharedRows? _keySums;           // logarithmic segments, whose keys add up, [slots, D]
    private readonly List<int> _lengths = [];        // tokens per slot
    private readonly MemoryPlan _plan;
    private int[] _visible = new int[16];            // slots that are read
    private int _visibleCount;
    private IReadOnlyList<SegmentSpan>? _visibleSpans;
    private int _plannedRows;
    private int _plannedSlots = -1;

    /// <param name="device">Where it lives.</param>
    /// <param name="memory">The online memory, which the cache owns from now on.</param>
    /// <param name="reader">How cached states are read.</param>
    /// <param name="segmentation">The segments.</param>
    /// <param name="heads">H.</param>
    /// <param name="width">d.</param>
    /// <param name="format">How states are stored. Logarithmic segments, being few and merged, are stored as they are.</param>
    public RecurrentCache(
        Device device, RecurrentMemory memory, CacheReader reader, Segmentation segmentation, int heads, int width, StateFormat format = StateFormat.Float32)
    {
        _device = device;
        _store = new SequenceStore(device);
        _memory = memory;
        _reader = reader;
        _segmentation = segmentation;
        _dimension = heads * width;
        _heads = heads;
        _width = width;
        _isRouted = reader.IsRouted;
        _averages = reader is AveragedStates;
        _mergesStates = segmentation.Kind == SegmentKind.Logarithmic;
        _format = _mergesStates || _averages ? StateFormat.Float32 : format;
        _sumsStates = reader is ResidualMemory && memory.Network is null;
        _levels = reader is LogLinearAttention ? new LogLinearBlock(device, _store, segmentation.Length, heads, width) : null;
        _isSoup = reader is MemorySoup or AveragedStates && memory.Network is not null;
        _keySum = _store.AddBuffer(_isRouted ? _dimension : 0);
        _sum = _store.AddBuffer(_sumsStates ? memory.StateLength : 0);
        _onlineBias = _store.AddBuffer(_averages ? heads : 0);
        if (_sumsStates)
        {
            _sumTable = device.Allocate<long>(1);
            device.CopyFromHost<long>([_sum.Address], _sumTable);
        }

        _decoded = _format == StateFormat.Float32 ? default : device.Allocate<float>(memory.StateLength);
        _states = _store.AddRows(Device.StoredLength(_format, memory.StateLength, width), true);
        _pooledKeys = _isRouted ? _store.AddRows(_dimension) : null;
        _keySums = _isRouted && _mergesStates ? _store.AddRows(_dimension) : null;
        _keyIndex = reader is SparseSelectiveCaching && !_mergesStates ? new KeyIndex(device, heads, width) : null;
        _plan = new MemoryPlan(device);
    }

    /// <summary>Number of cached states.</summary>
    public int CachedStates => _states.Count;

    /// <summary>Tokens per cached state, oldest first.</summary>
    public IReadOnlyList<int> Lengths => _lengths;

    /// <summary>Tokens until the online segment ends; int.MaxValue if it never does.</summary>
    public int TokensToBoundary => _segmentation.IsNone ? int.MaxValue : _segmentation.Length - _memory.OnlineLength;

    /// <summary>Whether the sequence is just behind the end of a segment.</summary>
    public bool IsAtBoundary => _states.Count > 0 && _memory.OnlineLength == 0;

    /// <summary>Whether the sequence can go back to the ends of its cached segments.</summary>
    public bool CanGoBack => _memory.CanGoBack && !_averages && !_segmentation.IsNone && (_format == StateFormat.Float32 || _segmentation.Start == SegmentStart.Independent);

    /// <summary>Whether every token reads every cached state.</summary>
    public bool ReadsAllStates => _states.Count > 0 && !_sumsStates && _reader is not SparseSelectiveCaching;

    /// <summary>Floats that, with the cached states, are what the memory carries behind the end of a segment.</summary>
    public long BoundaryLength => _memory.BoundaryLength;

    /// <summary>Bytes of memory, forks' shares included.</summary>
    public long Bytes => _store.Bytes + _memory.Bytes + (_keyIndex?.Bytes ?? 0) + (sizeof(float) * _decoded.Length);

    /// <summary>Bytes that the end of a segment adds.</summary>
    public long BytesPerSegment => _store.BytesPerRow + _memory.BytesPerSegment;

    /// <summary>The online memory.</summary>
    public RecurrentMemory Memory => _memory;

    /// <summary>The cached states.</summary>
    public SharedRows States => _states;

    /// <summary>Told what every token reads.</summary>
    public IReadObserver? Observer { get; set; }

    /// <summary>Whether some cached states can be read and others not: not where one state stands for several, nor where a segment's weight is its place among them.</summary>
    public bool CanHideSegments => !_sumsStates && !_averages && _levels is null;

    /// <summary>Where the segments that are read hold tokens; null reads all.</summary>
    public IReadOnlyList<SegmentSpan>? VisibleSpans
    {
        get => _visibleSpans;
        set
        {
            _visibleSpans = value;
            _plannedSlots = -1;
        }
    }

    /// <summary>Everything that changes from token to token.</summary>
    public IEnumerable<DeviceSpan<float>> Buffers => [.. _memory.Buffers, .. _store.Buffers];

    /// <summary>Everything there is of a cached state, a row each.</summary>
    public IEnumerable<SharedRows> Rows => [.. _store.Rows, .. _memory.Rows];

    /// <summary>Tokens of the cached segments and the open one.</summary>
    public long HeldTokens => _memory.OnlineLength + _lengths.Sum(length => (long)length);

    /// <summary>The numbers that go with buffers and rows.</summary>
    public void Save(List<int> numbers)
    {
        numbers.Add(_memory.OnlineLength);
        numbers.Add(_lengths.Count);
        numbers.AddRange(_lengths);
    }

    /// <summary>Takes the numbers back, after buffers and rows.</summary>
    public void Load(ref ReadOnlySpan<int> numbers)
    {
        _memory.OnlineLength = numbers[0];
        _lengths.Clear();
        _lengths.AddRange(numbers.Slice(2, numbers[1]));
        if (_memory.OnlineLength < 0 || _lengths.Any(length => length < 1))
        {
            throw new FormatException("A segment has no tokens.");
        }

        numbers = numbers[(2 + numbers[1])..];
        for (var slot = 0; slot < _lengths.Count; slot++)
        {
            _keyIndex?.Set(slot, _pooledKeys![slot]);
        }

        _plannedSlots = -1;
    }

    /// <summary>Writes the next rows, reads them, and caches the states of the segments that end among them.</summary>
    public Tensor Advance(Tape tape, Tensor x, Tensor q, Tensor k, Tensor v, RouterInputs routing)
    {
        _memory.Begin(tape, x, q, k, v);
        var lambda = (_reader as LogLinearAttention)?.Weights(tape, x);
        var online = tape.NewTensor(q.Shape);                // o
        var y = _segmentation.IsNone ? online : tape.NewTensor(q.Shape);
        for (var row = 0; row < q.Rows;)
        {
            var rows = _isSoup ? 1 : Math.Min(q.Rows - row, TokensToBoundary);
            var position = _memory.OnlineLength;
            _memory.Write(tape, row, rows, _isSoup ? null : online);
            if (_levels is not null)
            {
                PlanRead(position + rows, _states.Count);
                _levels.Read(tape, _plan, _states.Pages, q, k, v, lambda!, ((RecurrentMatrixMemory)_memory).Gates, y, row, rows, position);
            }
            else if (!_segmentation.IsNone)
            {
                Read(tape, q, routing, online, y, row, rows, position);
                if (_isRouted)
                {
                    for (var t = row; t < row + rows; t++)
                    {
                        _device.AddScaled(tape.Rows(routing.Keys, t, 1).Data, 1, _keySum);
                    }
                }
            }

            row += rows;
            if (TokensToBoundary == 0)
            {
                EndSegment();
            }
        }

        return y;
    }

    /// <summary>The same memory and cache; what either writes later is not seen by the other.</summary>
    public RecurrentCache Fork()
    {
        RecurrentCache fork = new(_device, _memory.Fork(), _reader, _segmentation, _heads, _width, _format);
        fork._store.CopyFrom(_store);
        _keyIndex?.CopyTo(fork._keyIndex!);
        fork._lengths.AddRange(_lengths);
        return fork;
    }

    /// <summary>Writes what <see cref="BoundaryLength"/> says, at the end of a segment.</summary>
    public void SaveBoundary(DeviceSpan<float> destination) => _memory.SaveBoundary(destination);

    /// <summary>Goes back to the end of a cached segment, or to the start.</summary>
    /// <param name="slots">Cached states up to there.</param>
    /// <param name="boundary">What <see cref="SaveBoundary"/> wrote there.</param>
    public void GoBack(int slots, DeviceSpan<float> boundary)
    {
        _lengths.RemoveRange(slots, _lengths.Count - slots);
        var state = default(DeviceSpan<float>);
        if (slots > 0)
        {
            state = Decoded(slots - 1);
        }

        _memory.GoBack(state, boundary, slots);
        _store.GoBack(slots);
        for (var slot = 0; slot < slots && _sumsStates; slot++)
        {
            _device.AddScaled(Decoded(slot), 1, _sum);
        }

        _levels?.EndBlock((RecurrentMatrixMemory)_memory);
        _plannedSlots = -1;
    }

    /// <summary>Bytes that cached states take after so many tokens, about.</summary>
    public long BytesAfter(int tokens) => _segmentation.IsNone ? 0 : (_averages ? 1 : _segmentation.VisibleAt(tokens)) * BytesPerSegment;

    /// <summary>Fills the cache as if so many tokens had been read, with states and keys that are <paramref name="noise"/>: for measurements.</summary>
    public void Fill(int tokens, DeviceSpan<float> noise)
    {
        for (var rest = _segmentation.IsNone ? 0 : tokens / _segmentation.Length; rest > 0;)
        {
            var blocks = _mergesStates ? 1 << System.Numerics.BitOperations.Log2((uint)rest) : 1;
            if (!_averages || _states.Count == 0)
            {
                _device.EncodeState(noise.Slice(16 * (_lengths.Count % 64), _memory.StateLength), _format, _width, _states.Append());
                _pooledKeys?.Append(noise.Slice(16 * (_lengths.Count % 61), _dimension), 1);
                _keySums?.Append(noise.Slice(0, _dimension), 1);
                _lengths.Add(0);
                _keyIndex?.Set(_lengths.Count - 1, _pooledKeys![_lengths.Count - 1]);
            }

            _lengths[^1] += blocks * _segmentation.Length;
            rest -= blocks;
        }
    }

    public void Dispose()
    {
        _store.Dispose();
        _device.Free(_decoded);
        _device.Free(_sumTable);
        _keyIndex?.Dispose();
        _memory.Dispose();
        _plan.Dispose();
    }

    private void Read(Tape tape, Tensor q, RouterInputs routing, Tensor online, Tensor y, int row, int rows, int position)
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
            StatePages = _sumsStates ? new PagedRows(_sumTable, 0, _sum.Length) : _states.Pages,
            StateFormat = _sumsStates ? StateFormat.Float32 : _format,
            Output = tape.Rows(y, row, rows).Data,
            Network = _memory.Network,
            Gain = _memory.Gain?.Data ?? default,
        };
        if (_reader is RoutedReader { Router: var router })
        {
            var gates = (long)_plan.GateCount * _heads;
            arguments.IsGated = true;
            arguments.Options = router.Options;
            arguments.Routing = tape.Rows(routing.Queries, row, rows).Data;
            arguments.Keys = tape.Rows(routing.Keys, row, rows).Data;
            arguments.Temperature = router.Temperature.Data;
            arguments.OnlineBias = _averages ? _onlineBias : router.OnlineBias?.Data ?? default;
            if (_visibleCount == slots)
            {
                arguments.KeyPages = _pooledKeys!.Pages;
                arguments.Index = _keyIndex?.Data ?? default;
                arguments.IndexCapacity = _keyIndex?.Capacity ?? 0;
            }
            else
            {
                // Pages and index are of all slots.
                arguments.PooledKeys = tape.Allocate((long)slots * _dimension);
                foreach (var slot in _visible.AsSpan(0, _visibleCount))
                {
                    _device.Copy(_pooledKeys![slot], arguments.PooledKeys.Slice((long)slot * _dimension, _dimension));
                }
            }

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

        Observer?.Observe(_device, arguments.Gates, rows, _heads, _lengths, _visible.AsSpan(0, _visibleCount), position);
    }

    private void PlanRead(int rows, int slots)
    {
        _plan.Begin();
        _plan.BeginSequence();
        if (_visible.Length < slots)
        {
            _visible = new int[Math.Max(slots, 2 * _visible.Length)];
        }

        _visibleCount = 0;
        for (int i = 0, start = 0; i < slots; start += _lengths[i++])
        {
            var slot = _plan.AddSlot(0, _lengths[i]);
            if (IsVisible(new SegmentSpan(start, _lengths[i])))
            {
                _visible[_visibleCount++] = slot;
            }
        }

        _plan.AddGroup(0, rows, _visible.AsSpan(0, _visibleCount), [], false);
        _plan.EndSequence();
        _plan.End();
        _plannedRows = rows;
        _plannedSlots = slots;
    }

    private bool IsVisible(SegmentSpan segment)
    {
        if (_visibleSpans is null)
        {
            return true;
        }

        foreach (var span in _visibleSpans)
        {
            if (span.Overlaps(segment))
            {
                return true;
            }
        }

        return false;
    }

    private void EndSegment()
    {
        if (_averages && _states.Count > 0)
        {
            Average();
        }
        else
        {
            _device.EncodeState(_memory.State, _format, _width, _states.Append());
            _memory.SegmentCached();
            if (_isRouted)
            {
                _keySums?.Append(_keySum, 1);
                Pool(_keySum, _memory.OnlineLength, _pooledKeys!.Append());
            }

            _lengths.Add(_memory.OnlineLength);
            _keyIndex?.Set(_lengths.Count - 1, _pooledKeys![_lengths.Count - 1]);
        }

        while (_mergesStates && _lengths.Count > 1 && _lengths[^1] == _lengths[^2])
        {
            Merge(_segmentation.Start == SegmentStart.Independent);
        }

        if (_sumsStates)
        {
            SumStates();
        }

        if (_averages)
        {
            _device.Fill(_onlineBias, ((AveragedStates)_reader).OnlineBias(_lengths[0] / _segmentation.Length));
        }

        _levels?.EndBlock((RecurrentMatrixMemory)_memory);
        _memory.EndSegment();
        _device.Clear(_keySum);
    }

    /// <summary>Adds the online state to the state that stands for all.</summary>
    private void Average()
    {
        _lengths[0] += _memory.OnlineLength;
        var average = _states.Writable(0);
        var share = ((AveragedStates)_reader).ShareOfNewest(_lengths[0] / _segmentation.Length);
        _device.AddScaled(average, -share, average);
        _device.AddScaled(_memory.State, share, average);
    }

    private void Pool(DeviceSpan<float> sum, int count, DeviceSpan<float> pooled)
    {
        _device.Clear(pooled);
        _device.AddScaled(sum, ((RoutedReader)_reader).Router.KeyScale(count), pooled);
    }

    /// <summary>Makes the last two segments one, as addition carries in binary.</summary>
    private void Merge(bool isIndependent)
    {
        int right = _lengths.Count - 1, left = right - 1;
        if (isIndependent)
        {
            _memory.Merge(_states.Writable(left), _states.Writable(right));
        }
        else
        {
            _device.Copy(_states[right], _states.Writable(left));
        }

        _lengths[left] += _lengths[right];
        _lengths.RemoveAt(right);
        if (_isRouted)
        {
            _device.AddScaled(_keySums![right], 1, _keySums.Writable(left));
            Pool(_keySums[left], _lengths[left], _pooledKeys!.Writable(left));
        }

        _store.Truncate(right);

        _plannedSlots = -1;
    }

    private void SumStates()
    {
        // Constant segments add one state; a merge has changed which states there are, so logarithmic ones, being few, are summed anew.
        if (!_mergesStates)
        {
            _device.AddScaled(Decoded(_states.Count - 1), 1, _sum);
            return;
        }

        _device.Clear(_sum);
        for (var i = 0; i < _states.Count; i++)
        {
            _device.AddScaled(_states[i], 1, _sum);
        }
    }

    private DeviceSpan<float> Decoded(int slot)
    {
        if (_format == StateFormat.Float32)
        {
            return _states[slot];
        }

        _device.DecodeState(_states[slot], _format, _width, _decoded);
        return _decoded;
    }
}
