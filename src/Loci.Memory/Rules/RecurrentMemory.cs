using Loci.Memory.Aggregations;
using Loci.Memory.Rules.Deep;
using Loci.Memory.Segments;
using Loci.Memory.Store;
using Loci.Numerics;
using Loci.Numerics.Operations;

namespace Loci.Memory.Rules;

/// <summary>
/// The step form of a layer's memory for one sequence: the online memory, moved past the sequence token by token. Where merged segments are written again as a
/// whole, it also goes on writing the memory of every cached segment, so that a segment that grows by the tokens after it has its state at hand.
/// </summary>
internal abstract class RecurrentMemory : IDisposable
{
    private readonly SharedRows? _continuations;  // [slots, full length]
    private readonly SequenceStore _store;
    private Tensor? _q;
    private Tensor? _k;
    private Tensor? _v;

    /// <param name="device">Where it lives.</param>
    /// <param name="segmentation">The sequence's segments.</param>
    /// <param name="stateLength">Floats of a cached state of all heads.</param>
    /// <param name="fullLength">Floats of what the recurrence carries; the first <paramref name="stateLength"/> of them are the state that is cached.</param>
    /// <param name="rewrites">Whether merged segments are written again.</param>
    protected RecurrentMemory(Device device, Segmentation segmentation, long stateLength, long fullLength, bool rewrites)
    {
        Device = device;
        Segmentation = segmentation;
        StateLength = stateLength;
        _store = new SequenceStore(device);
        Online = Buffer(fullLength);
        if (rewrites && segmentation.MakesUpSegments)
        {
            _continuations = KeepRows(fullLength);
        }
    }

    /// <summary>Floats of a cached state of all heads.</summary>
    public long StateLength { get; }

    /// <summary>The online state as it is cached.</summary>
    public DeviceSpan<float> State => Online.Slice(0, StateLength);

    /// <summary>Bytes that the sequence needs beside its cached states.</summary>
    public long Bytes => _store.Bytes;

    /// <summary>Bytes that the end of a segment adds.</summary>
    public long BytesPerSegment => _store.BytesPerRow;

    /// <summary>Everything of the sequence that changes from token to token.</summary>
    public IReadOnlyList<DeviceSpan<float>> Buffers => _store.Buffers;

    /// <summary>What is kept for cached states beside them, a row each.</summary>
    public IReadOnlyList<SharedRows> Rows => _store.Rows;

    /// <summary>Floats that, with the cached state, are what the recurrence carries behind the end of a segment.</summary>
    public virtual long BoundaryLength => 0;

    /// <summary>Whether the recurrence behind an earlier segment can be found again.</summary>
    public bool CanGoBack => _continuations is null;

    protected Device Device { get; }

    protected Segmentation Segmentation { get; }

    /// <summary>What the recurrence carries.</summary>
    protected DeviceSpan<float> Online { get; }

    /// <summary>Tokens of the online segment before the next row.</summary>
    public int OnlineLength { get; set; }

    /// <summary>The network that the states are weights of; null for matrix memories.</summary>
    public virtual DeepMemoryOptions? Network => null;

    /// <summary>Gain of the network's norm, [D].</summary>
    public virtual Parameter? Gain => null;

    /// <summary>Whether a read is linear in the state: so with matrices, not with networks.</summary>
    public bool ReadsLinearly => Network is null;

    /// <summary>The scalars that weigh the writes of the rows at hand, where the rule has such.</summary>
    public virtual GateValues TokenGates => default;

    /// <summary>Takes the next rows of the sequence, of which <see cref="Write"/> then writes some at a time.</summary>
    public void Begin(Tape tape, Tensor x, Tensor q, Tensor k, Tensor v)
    {
        (_q, _k, _v) = (q, k, v);
        ComputeGates(tape, x);
    }

    /// <summary>Writes some of the rows, which lie in one segment, and reads the online memory after each of them.</summary>
    /// <param name="tape">The step.</param>
    /// <param name="row">First row, counted from the first that <see cref="Begin"/> was given.</param>
    /// <param name="rows">Number of rows.</param>
    /// <param name="online">Receives the reads, [rows of Begin, H*d]; null writes only.</param>
    public void Write(Tape tape, int row, int rows, Tensor? online)
    {
        Advance(tape, Online, row, rows, RowsOf(tape, online, row, rows));
        for (var i = 0; i < (_continuations?.Count ?? 0); i++)
        {
            Advance(tape, _continuations!.Writable(i), row, rows, default);
        }

        OnlineLength += rows;
    }

    /// <summary>Called when the online segment has ended, after its state was cached.</summary>
    public virtual void SegmentCached() => _continuations?.Append(Online, 1);

    /// <summary>
    /// Makes the last two cached states one, in the place of the left one; the right one is then dropped. Independent logarithmic segments only. Must keep up with the cached states: called after
    /// <see cref="SegmentCached"/>.
    /// </summary>
    public virtual void Merge(DeviceSpan<float> left, DeviceSpan<float> right)
    {
        Device.Copy(_continuations![_continuations.Count - 2].Slice(0, StateLength), left);
        _continuations.Truncate(_continuations.Count - 1);
    }

    /// <summary>
    /// Copies the sums of log a between the end of each cached segment and the end of the last, [slots, H]: 0 where nothing decays by
    /// scalars.
    /// </summary>
    public virtual void CopyDecaysBehind(DeviceSpan<float> destination) => Device.Clear(destination);

    /// <summary>Reads the gated sum of cached and online states as one memory, which for a linear read is the gated sum of reads.</summary>
    public virtual void ReadSoup(MemoryPlan plan, in ReadArguments arguments) => Device.Launch<CachedReadKernel.Forward, ReadArguments>(arguments);

    /// <summary>An empty memory of the same kind.</summary>
    public abstract RecurrentMemory CreateEmpty();

    /// <summary>The same memory; what either writes later is not seen by the other.</summary>
    public RecurrentMemory Fork()
    {
        var fork = CreateEmpty();
        fork.OnlineLength = OnlineLength;
        fork._store.CopyFrom(_store);
        return fork;
    }

    /// <summary>Writes what <see cref="BoundaryLength"/> says, at the end of a segment.</summary>
    public virtual void SaveBoundary(DeviceSpan<float> destination)
    {
    }

    /// <summary>Goes back to the end of a segment.</summary>
    /// <param name="state">Its cached state; empty at the start of the sequence.</param>
    /// <param name="boundary">What <see cref="SaveBoundary"/> wrote.</param>
    /// <param name="slots">Cached states up to there.</param>
    public virtual void GoBack(DeviceSpan<float> state, DeviceSpan<float> boundary, int slots)
    {
        _store.GoBack(slots);
        OnlineLength = 0;
        Restart();
        if (!state.IsEmpty && Segmentation.Start == SegmentStart.Checkpoint)
        {
            Device.Copy(state, State);
        }
    }

    /// <summary>Begins the next segment.</summary>
    public void EndSegment()
    {
        OnlineLength = 0;
        if (Segmentation.Start == SegmentStart.Independent)
        {
            Restart();
        }
    }

    /// <inheritdoc/>
    public void Dispose()
    {
        Dispose(true);
        GC.SuppressFinalize(this);
    }

    /// <summary>Computes and keeps the gates of the next rows.</summary>
    protected abstract void ComputeGates(Tape tape, Tensor x);

    /// <summary>Moves a state past some rows and, where <paramref name="online"/> is not empty, reads it after each.</summary>
    /// <param name="tape">The step.</param>
    /// <param name="memory">What the recurrence carries; changed in place.</param>
    /// <param name="row">First row.</param>
    /// <param name="rows">Number of rows.</param>
    /// <param name="online">[rows, H*d], or empty.</param>
    protected abstract void Advance(Tape tape, DeviceSpan<float> memory, int row, int rows, DeviceSpan<float> online);

    /// <summary>Puts the online memory back to its initial state.</summary>
    protected virtual void Restart() => Device.Clear(Online);

    protected virtual void Dispose(bool disposing)
    {
        _store.Dispose();
    }

    /// <summary>Memory of the sequence, zero at its start.</summary>
    protected DeviceSpan<float> Buffer(long length) => _store.AddBuffer(length);

    /// <summary>Rows that go with the cached states, none at the start of the sequence.</summary>
    protected SharedRows KeepRows(long rowLength) => _store.AddRows(rowLength);

    /// <summary>Some of the next rows' queries, [rows, H*d].</summary>
    protected DeviceSpan<float> Queries(Tape tape, int row, int rows) => RowsOf(tape, _q, row, rows);

    /// <summary>Some of the next rows' keys, [rows, H*d].</summary>
    protected DeviceSpan<float> Keys(Tape tape, int row, int rows) => RowsOf(tape, _k, row, rows);

    /// <summary>Some of the next rows' values, [rows, H*d].</summary>
    protected DeviceSpan<float> Values(Tape tape, int row, int rows) => RowsOf(tape, _v, row, rows);

    protected static DeviceSpan<float> RowsOf(Tape tape, Tensor? tensor, int row, int rows) => tensor is null ? default : tape.Rows(tensor, row, rows).Data;
}
