using Loci.Memory.Rules.ScalarGated;
using Loci.Memory.Segments;
using Loci.Memory.Store;
using Loci.Numerics;

namespace Loci.Memory.Rules.ScalarGated;

/// <summary>The step form of <see cref="MatrixMemory"/>. Neighbouring states of independent segments merge: the later one decays the earlier one and adds what its window takes from it.</summary>
internal sealed class RecurrentMatrixMemory : RecurrentMemory
{
    private readonly MemoryGates _gates;
    private readonly int _heads;
    private readonly int _width;
    private readonly int _dimension;
    private readonly DeviceSpan<float> _previous;     // k and v of the row before, [2, D]
    private readonly DeviceSpan<float> _boundary;     // k and v of the row before the online segment, [2, D]
    private readonly DeviceSpan<float> _tail;         // of the online segment, see ScalarGatedStepArguments, [2H]
    private readonly DeviceSpan<float> _scaledKey;    // scratch, [d]
    private readonly SharedRows _tails;               // [slots, 2H + 2D]: tail, then boundary
    private readonly float[] _hostTail;
    private GateValues _values;

    public RecurrentMatrixMemory(Device device, MemoryGates gates, Segmentation segmentation, int heads, int width)
        : base(device, segmentation, (long)heads * width * width, (long)heads * width * width, false)
    {
        _gates = gates;
        _heads = heads;
        _width = width;
        _dimension = heads * width;
        _previous = Buffer(2L * _dimension);
        _boundary = Buffer(2L * _dimension);
        _tail = Buffer(2L * heads);
        _scaledKey = Buffer(width);
        _tails = KeepRows((2L * heads) + (2L * _dimension));
        _hostTail = new float[2 * heads];
    }

    // The window may reach back over the segment's end.
    public override long BoundaryLength => _gates.HasWindow ? _previous.Length : 0;

    public override GateValues TokenGates => _values;

    public override void CopyDecaysBehind(DeviceSpan<float> destination)
    {
        Span<float> sums = stackalloc float[_heads];
        sums.Clear();
        for (var slot = _tails.Count - 1; slot >= 0; slot--)
        {
            Device.CopyFromHost<float>(sums, destination.Slice((long)slot * _heads, _heads));
            Device.CopyToHost(_tails[slot].Slice(0, _heads), _hostTail.AsSpan(0, _heads));
            for (var head = 0; head < _heads; head++)
            {
                sums[head] += _hostTail[head];
            }
        }
    }

    protected override void ComputeGates(Tape tape, Tensor x) => _values = _gates.Compute(tape, x);

    public override void SegmentCached()
    {
        if (Segmentation.MakesUpSegments)
        {
            var tail = _tails.Append();
            Device.Copy(_tail, tail.Slice(0, _tail.Length));
            Device.Copy(_boundary, tail.Slice(_tail.Length, _boundary.Length));
        }

        Device.Copy(_previous, _boundary);
    }

    public override void Merge(DeviceSpan<float> left, DeviceSpan<float> right)
    {
        int last = _tails.Count - 1;
        var square = (long)_width * _width;
        var tail = _tails[last];
        Device.CopyToHost(tail.Slice(0, 2L * _heads), _hostTail);
        for (var head = 0; head < _heads; head++)
        {
            // left = decay(right) left + boundary + right
            DeviceSpan<float> mine = left.Slice(head * square, square), other = right.Slice(head * square, square);
            Device.AddScaled(mine, MathF.Exp(_hostTail[head]), other);
            var coefficient = _hostTail[_heads + head];
            if (coefficient != 0)
            {
                var key = tail.Slice((2L * _heads) + (head * _width), _width);
                var value = tail.Slice((2L * _heads) + _dimension + (head * _width), _width);
                Device.Clear(_scaledKey);
                Device.AddScaled(key, coefficient, _scaledKey);
                Device.MatrixMultiply(false, false, _width, _width, 1, _scaledKey, 1, value, _width, other, _width, true);
            }

            Device.Copy(other, mine);
        }

        // The merged segment decays by both and keeps the boundary of the left one.
        Span<float> leftTail = stackalloc float[2 * _heads];
        Device.CopyToHost(_tails[last - 1].Slice(0, 2L * _heads), leftTail);
        for (var head = 0; head < _heads; head++)
        {
            leftTail[_heads + head] *= MathF.Exp(_hostTail[head]);
            leftTail[head] += _hostTail[head];
        }

        Device.CopyFromHost<float>(leftTail, _tails.Writable(last - 1));
        _tails.Truncate(last);
    }

    public override RecurrentMemory CreateEmpty() => new RecurrentMatrixMemory(Device, _gates, Segmentation, _heads, _width);

    public override void SaveBoundary(DeviceSpan<float> destination)
    {
        if (BoundaryLength > 0)
        {
            Device.Copy(_previous, destination);
        }
    }

    public override void GoBack(DeviceSpan<float> state, DeviceSpan<float> boundary, int slots)
    {
        base.GoBack(state, boundary, slots);
        if (BoundaryLength > 0 && !boundary.IsEmpty)
        {
            Device.Copy(boundary, _previous);
            Device.Copy(boundary, _boundary);
        }
    }

    protected override void Advance(Tape tape, DeviceSpan<float> memory, int row, int rows, DeviceSpan<float> online)
    {
        Device.Launch<ScalarGatedStep, ScalarGatedStepArguments>(new()
        {
            Rows = rows,
            Heads = _heads,
            Width = _width,
            Queries = Queries(tape, row, rows),
            Keys = Keys(tape, row, rows),
            Values = Values(tape, row, rows),
            LogDecay = RowsOf(tape, _values.LogDecay, row, rows),
            PreviousGate = RowsOf(tape, _values.PreviousGate, row, rows),
            WriteGate = RowsOf(tape, _values.WriteGate, row, rows),
            Previous = _previous,
            IsFirstOfSegment = OnlineLength == 0,
            WindowReachesBack = Segmentation.Start != SegmentStart.Independent || OnlineLength > 0,
            State = memory,
            Tail = _tail,
            Output = online,
        });
        Device.Copy(Keys(tape, row + rows - 1, 1), _previous.Slice(0, _dimension));
        Device.Copy(Values(tape, row + rows - 1, 1), _previous.Slice(_dimension));
    }
}
