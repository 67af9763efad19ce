using Loci.Memory.Aggregations;
using Loci.Memory.Routing;
using Loci.Memory.Rules;
using Loci.Memory.Segments;
using Loci.Memory.Store;
using Loci.Numerics;
using Loci.Numerics.Operations;

namespace Loci.Memory;

/// <summary>
/// The step form of a memory with a cache: one sequence, read token by token or in pieces of any size, with the same bits. Cached states
/// are never changed, so that
/// forks share them.
/// </summary>
internal sealed class CachedMemoryState : IDisposable
{
    private readonly CacheReader _reader;
    private readonly CachedSegments _segments;
    private readonly ReadState _reads;

    /// <param name="device">Where it lives.</param>
    /// <param name="memory">The online memory, owned from now on.</param>
    /// <param name="reader">How cached states are read.</param>
    /// <param name="segmentation">The segments.</param>
    /// <param name="heads">H.</param>
    /// <param name="width">d.</param>
    /// <param name="format">How states are stored, where the aggregation and the segments leave a choice.</param>
    public CachedMemoryState(
        Device device, RecurrentMemory memory, CacheReader reader, Segmentation segmentation, int heads, int width, StateFormat format = StateFormat.Float32)
    {
        _reader = reader;
        Memory = memory;
        _segments = new CachedSegments(device, segmentation, heads, width, memory.StateLength, reader.ChangesStates ? StateFormat.Float32 : format);
        _reads = reader.CreateState(_segments, memory);
    }

    /// <summary>The online memory.</summary>
    public RecurrentMemory Memory { get; }

    /// <summary>The cached states.</summary>
    public SharedRows States => _segments.States;

    /// <summary>Number of cached states.</summary>
    public int Count => _segments.Count;

    /// <summary>Tokens per cached state, oldest first.</summary>
    public IReadOnlyList<int> Lengths => _segments.Lengths;

    /// <summary>Tokens until the online segment ends; int.MaxValue if it never does.</summary>
    public int TokensToBoundary => Segmentation.IsNone ? int.MaxValue : Segmentation.Length - Memory.OnlineLength;

    /// <summary>Whether the sequence is just behind the end of a segment.</summary>
    public bool IsAtBoundary => Count > 0 && Memory.OnlineLength == 0;

    /// <summary>Whether the sequence can go back to the ends of its cached segments.</summary>
    public bool CanGoBack => Memory.CanGoBack && _reads.CanGoBack && !Segmentation.IsNone
        && (_segments.Format == StateFormat.Float32 || Segmentation.Start == SegmentStart.Independent);

    /// <summary>Whether every token reads every cached state.</summary>
    public bool ReadsAllStates => Count > 0 && _reads.ReadsAllStates;

    /// <summary>Floats that, with the cached states, are what the memory carries behind the end of a segment.</summary>
    public long BoundaryLength => Memory.BoundaryLength;

    /// <summary>Bytes of memory, forks' shares included.</summary>
    public long Bytes => _segments.Bytes + Memory.Bytes + _reads.Bytes;

    /// <summary>Bytes that the end of a segment adds.</summary>
    public long BytesPerSegment => _segments.Store.BytesPerRow + Memory.BytesPerSegment;

    /// <summary>Whether some cached states can be read and others not.</summary>
    public bool CanHideSegments => _reads.CanHideSegments;

    /// <summary>Told what every token reads.</summary>
    public IReadObserver? Observer
    {
        set => _reads.Observer = value;
    }

    /// <summary>Where the segments that are read hold tokens; null reads all.</summary>
    public IReadOnlyList<SegmentSpan>? VisibleSpans
    {
        set => _segments.VisibleSpans = value;
    }

    /// <summary>Everything that changes from token to token.</summary>
    public IEnumerable<DeviceSpan<float>> Buffers => [.. Memory.Buffers, .. _segments.Store.Buffers];

    /// <summary>Everything there is of a cached state, a row each.</summary>
    public IEnumerable<SharedRows> Rows => [.. _segments.Store.Rows, .. Memory.Rows];

    private Segmentation Segmentation => _segments.Segmentation;

    /// <summary>Writes the next rows, reads them, and caches the states of the segments that end among them.</summary>
    public Tensor Advance(Tape tape, Tensor x, Tensor q, Tensor k, Tensor v, RouterInputs routing)
    {
        Memory.Begin(tape, x, q, k, v);
        _reads.Begin(tape, x);
        var online = tape.NewTensor(q.Shape);                // o
        var inputs = new StepInputs(x, q, k, v, routing, online, Segmentation.IsNone ? online : tape.NewTensor(q.Shape));
        for (var row = 0; row < q.Rows;)
        {
            var rows = _reads.ReadsRowByRow ? 1 : Math.Min(q.Rows - row, TokensToBoundary);
            var position = Memory.OnlineLength;
            Memory.Write(tape, row, rows, _reads.ReadsRowByRow ? null : online);
            if (!Segmentation.IsNone)
            {
                _reads.Read(tape, inputs, row, rows, position);
            }

            row += rows;
            if (TokensToBoundary == 0)
            {
                EndSegment();
            }
        }

        return inputs.Output;
    }

    /// <summary>The same memory and cache; what either writes later is not seen by the other.</summary>
    public CachedMemoryState Fork()
    {
        CachedMemoryState fork = new(_segments.Device, Memory.Fork(), _reader, Segmentation, _segments.Heads, _segments.Width, _segments.Format);
        fork._segments.CopyFrom(_segments);
        fork._reads.CopyFrom(_reads);
        return fork;
    }

    /// <summary>Writes what <see cref="BoundaryLength"/> says, at the end of a segment.</summary>
    public void SaveBoundary(DeviceSpan<float> destination) => Memory.SaveBoundary(destination);

    /// <summary>Goes back to the end of a cached segment, or to the start.</summary>
    /// <param name="slots">Cached states up to there.</param>
    /// <param name="boundary">What <see cref="SaveBoundary"/> wrote there.</param>
    public void GoBack(int slots, DeviceSpan<float> boundary)
    {
        Memory.GoBack(slots > 0 ? _segments.Decoded(slots - 1) : default, boundary, slots);
        _segments.GoBack(slots);
        _reads.WentBack();
    }

    /// <summary>Tokens of the cached segments and the open one.</summary>
    public long HeldTokens => Memory.OnlineLength + Lengths.Sum(length => (long)length);

    /// <summary>The numbers that go with buffers and rows.</summary>
    public void Save(List<int> numbers)
    {
        numbers.Add(Memory.OnlineLength);
        numbers.Add(Lengths.Count);
        numbers.AddRange(Lengths);
    }

    /// <summary>Takes the numbers back, after buffers and rows.</summary>
    public void Load(ref ReadOnlySpan<int> numbers)
    {
        Memory.OnlineLength = numbers[0];
        _segments.Load(numbers.Slice(2, numbers[1]));
        if (Memory.OnlineLength < 0 || Lengths.Any(length => length < 1))
        {
            throw new FormatException("A segment has no tokens.");
        }

        numbers = numbers[(2 + numbers[1])..];
        _reads.Loaded();
    }

    /// <summary>Bytes that cached states take after so many tokens, about.</summary>
    public long BytesAfter(int tokens) => Segmentation.IsNone ? 0 : (_reader.ChangesStates ? 1 : Segmentation.VisibleAt(tokens)) * BytesPerSegment;

    /// <summary>
    /// Fills the cache as if so many tokens had been read, with states and keys that are <paramref name="noise"/>: for measurements.
    /// </summary>
    public void Fill(int tokens, DeviceSpan<float> noise)
    {
        for (var rest = Segmentation.IsNone ? 0 : tokens / Segmentation.Length; rest > 0;)
        {
            var blocks = _segments.Merges ? 1 << System.Numerics.BitOperations.Log2((uint)rest) : 1;
            if (!_reader.ChangesStates || Count == 0)
            {
                _segments.Append(noise.Slice(16 * (Count % 64), Memory.StateLength), 0);
                _reads.AppendNoise(noise);
            }

            _segments.Lengthen(blocks * Segmentation.Length);
            rest -= blocks;
        }
    }

    public void Dispose()
    {
        _reads.Dispose();
        _segments.Dispose();
        Memory.Dispose();
    }

    private void EndSegment()
    {
        _reads.CacheSegment();
        while (_segments.Merges && Count > 1 && Lengths[^1] == Lengths[^2])
        {
            Merge(Count - 2);
        }

        _reads.StatesChanged();
        Memory.EndSegment();
    }

    /// <summary>Makes the last two segments one, as addition carries in binary.</summary>
    private void Merge(int left)
    {
        var right = left + 1;
        if (Segmentation.Start == SegmentStart.Independent)
        {
            Memory.Merge(States.Writable(left), States.Writable(right));
        }
        else
        {
            _segments.Device.Copy(States[right], States.Writable(left));
        }

        _reads.SegmentsMerged(left);
        _segments.DropMerged();
    }
}
