using Loci.Memory.Rules.VectorGated;
using Loci.Memory.Segments;
using Loci.Memory.Store;
using Loci.Numerics;

namespace Loci.Memory.Rules.VectorGated;

/// <summary>The step form of <see cref="VectorGatedMemory"/>. Neighbouring states of independent segments merge: the later one decays the earlier one.</summary>
internal sealed class RecurrentVectorGatedMemory : RecurrentMemory
{
    private readonly VectorDecay _decay;
    private readonly int _heads;
    private readonly int _width;
    private readonly DeviceSpan<float> _tail;  // sums of log alpha over the online segment, [D]
    private readonly SharedRows _tails;        // of the cached segments, [slots, D]
    private readonly float[] _hostTail;
    private Tensor? _logDecay;

    public RecurrentVectorGatedMemory(Device device, VectorDecay decay, Segmentation segmentation, int heads, int width)
        : base(device, segmentation, (long)heads * width * width, (long)heads * width * width, false)
    {
        _decay = decay;
        _heads = heads;
        _width = width;
        _hostTail = new float[heads * width];
        _tail = Buffer(_hostTail.Length);
        _tails = KeepRows(_hostTail.Length);
    }

    public override RecurrentMemory CreateEmpty() => new RecurrentVectorGatedMemory(Device, _decay, Segmentation, _heads, _width);

    protected override void ComputeGates(Tape tape, Tensor x) => _logDecay = _decay.Compute(tape, x);

    public override void SegmentCached()
    {
        if (Segmentation.MakesUpSegments)
        {
            _tails.Append(_tail, 1);
        }
    }

    public override void Merge(DeviceSpan<float> left, DeviceSpan<float> right)
    {
        // left = decay(right) o left + right; the merged segment decays by both.
        var last = _tails.Count - 1;
        Device.CopyToHost(_tails[last], _hostTail);
        for (var row = 0; row < _hostTail.Length; row++)
        {
            Device.AddScaled(left.Slice(row * (long)_width, _width), MathF.Exp(_hostTail[row]), right.Slice(row * (long)_width, _width));
        }

        Device.Copy(right, left);
        Device.AddScaled(_tails[last], 1, _tails.Writable(last - 1));
        _tails.Truncate(last);
    }

    protected override void Advance(Tape tape, DeviceSpan<float> memory, int row, int rows, DeviceSpan<float> online) =>
        Device.Launch<VectorGatedStep, VectorGatedStepArguments>(new()
        {
            Rows = rows,
            Heads = _heads,
            Width = _width,
            Queries = Queries(tape, row, rows),
            Keys = Keys(tape, row, rows),
            Values = Values(tape, row, rows),
            LogDecay = RowsOf(tape, _logDecay, row, rows),
            IsFirstOfSegment = OnlineLength == 0,
            State = memory,
            Tail = _tail,
            Output = online,
        });
}
