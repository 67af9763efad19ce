using Loci.Memory.Segments;
using Loci.Memory.Store;
using Loci.Numerics;
using Loci.Numerics.Operations;

namespace Loci.Memory.Segments;

/// <summary>The cached states of one sequence, how many tokens each holds, and which of them are read.</summary>
internal sealed class CachedSegments : IDisposable
{
    private readonly DeviceSpan<float> _decoded;  // scratch: a state as it is read, if it is stored otherwise
    private readonly List<int> _lengths = [];
    private int[] _visible = new int[16];
    private int _visibleCount;
    private IReadOnlyList<SegmentSpan>? _visibleSpans;
    private int _plannedRows;
    private int _plannedSlots = -1;

    /// <param name="device">Where they live.</param>
    /// <param name="segmentation">The sequence's segments.</param>
    /// <param name="heads">H.</param>
    /// <param name="width">d.</param>
    /// <param name="stateLength">Floats of a state.</param>
    /// <param name="format">How states are stored. Logarithmic segments, being few and merged, are stored as they are.</param>
    public CachedSegments(Device device, Segmentation segmentation, int heads, int width, long stateLength, StateFormat format)
    {
        Device = device;
        Segmentation = segmentation;
        Heads = heads;
        Width = width;
        Merges = segmentation.Kind == SegmentKind.Logarithmic;
        Format = Merges ? StateFormat.Float32 : format;
        Store = new SequenceStore(device);
        States = Store.AddRows(Format.StoredLength(stateLength, width), true);
        _decoded = Format == StateFormat.Float32 ? default : device.Allocate<float>(stateLength);
        Plan = new MemoryPlan(device);
    }

    public Device Device { get; }

    public Segmentation Segmentation { get; }

    /// <summary>H.</summary>
    public int Heads { get; }

    /// <summary>d.</summary>
    public int Width { get; }

    /// <summary>Whether neighbors of equal length become one.</summary>
    public bool Merges { get; }

    /// <summary>How states are stored.</summary>
    public StateFormat Format { get; }

    /// <summary>Everything of the sequence's cache that is saved; the aggregation adds its own.</summary>
    public SequenceStore Store { get; }

    /// <summary>The states as they are stored, [slots, stored state].</summary>
    public SharedRows States { get; }

    /// <summary>Number of cached states.</summary>
    public int Count => States.Count;

    /// <summary>Tokens per cached state, oldest first.</summary>
    public IReadOnlyList<int> Lengths => _lengths;

    /// <summary>The plan of a read, filled by <see cref="PlanRead"/>.</summary>
    public MemoryPlan Plan { get; }

    /// <summary>Slots that are read, as of the last plan.</summary>
    public ReadOnlySpan<int> Visible => _visible.AsSpan(0, _visibleCount);

    /// <summary>Bytes of memory, forks' shares included.</summary>
    public long Bytes => Store.Bytes + (sizeof(float) * _decoded.Length);

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

    /// <summary>Caches a state.</summary>
    public void Append(DeviceSpan<float> state, int length)
    {
        Device.EncodeState(state, Format, Width, States.Append());
        _lengths.Add(length);
    }

    /// <summary>Lets the last segment hold more tokens.</summary>
    public void Lengthen(int tokens) => _lengths[^1] += tokens;

    /// <summary>A cached state as it is read; valid until the next call.</summary>
    public DeviceSpan<float> Decoded(int slot)
    {
        if (Format == StateFormat.Float32)
        {
            return States[slot];
        }

        Device.DecodeState(States[slot], Format, Width, _decoded);
        return _decoded;
    }

    /// <summary>Drops the last segment, whose tokens the one before it holds from now on.</summary>
    public void DropMerged()
    {
        var right = _lengths.Count - 1;
        _lengths[right - 1] += _lengths[right];
        _lengths.RemoveAt(right);
        Store.Truncate(right);
        _plannedSlots = -1;
    }

    /// <summary>Makes all buffers zero and drops all segments but the first.</summary>
    public void GoBack(int slots)
    {
        _lengths.RemoveRange(slots, _lengths.Count - slots);
        Store.GoBack(slots);
        _plannedSlots = -1;
    }

    /// <summary>Takes over the contents of segments of the same make; states are shared.</summary>
    public void CopyFrom(CachedSegments source)
    {
        Store.CopyFrom(source.Store);
        _lengths.AddRange(source._lengths);
    }

    /// <summary>Sets the lengths that go with loaded states.</summary>
    public void Load(ReadOnlySpan<int> lengths)
    {
        _lengths.Clear();
        _lengths.AddRange(lengths);
        _plannedSlots = -1;
    }

    /// <summary>Plans a read of the first <paramref name="slots"/> states by some rows.</summary>
    public void PlanRead(int rows, int slots)
    {
        if (_plannedRows == rows && _plannedSlots == slots)
        {
            return;
        }

        Plan.Begin();
        Plan.BeginSequence();
        if (_visible.Length < slots)
        {
            _visible = new int[Math.Max(slots, 2 * _visible.Length)];
        }

        _visibleCount = 0;
        for (int i = 0, start = 0; i < slots; start += _lengths[i++])
        {
            var slot = Plan.AddSlot(0, _lengths[i]);
            if (IsVisible(new SegmentSpan(start, _lengths[i])))
            {
                _visible[_visibleCount++] = slot;
            }
        }

        Plan.AddGroup(0, rows, Visible, [], false);
        Plan.EndSequence();
        Plan.End();
        _plannedRows = rows;
        _plannedSlots = slots;
    }

    public void Dispose()
    {
        Store.Dispose();
        Device.Free(_decoded);
        Plan.Dispose();
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
}
