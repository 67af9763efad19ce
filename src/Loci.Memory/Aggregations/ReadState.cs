using Loci.Memory.Aggregations;
using Loci.Memory.Routing;
using Loci.Memory.Rules;
using Loci.Memory.Segments;
using Loci.Numerics;
using Loci.Numerics.Operations;

namespace Loci.Memory.Aggregations;

/// <summary>The next rows of one sequence and where their reads go, [rows, H*d] each.</summary>
/// <param name="X">The mixer's normalized input, [rows, D].</param>
/// <param name="Q">Queries.</param>
/// <param name="K">Keys.</param>
/// <param name="V">Values.</param>
/// <param name="Routing">What the router compares.</param>
/// <param name="Online">Reads of the online memory.</param>
/// <param name="Output">Receives y.</param>
internal readonly record struct StepInputs(Tensor X, Tensor Q, Tensor K, Tensor V, RouterInputs Routing, Tensor Online, Tensor Output);

/// <summary>
/// The step form of an aggregation: reads the cached states of one sequence beside its online memory, and keeps what that takes beside the
/// states.
/// </summary>
/// <param name="segments">The cached states.</param>
/// <param name="memory">The online memory.</param>
internal abstract class ReadState(CachedSegments segments, RecurrentMemory memory) : IDisposable
{
    /// <summary>Whether rows are read from the weights that each of them leaves, so that the memory is written row by row.</summary>
    public virtual bool ReadsRowByRow => false;

    /// <summary>Whether every token reads every cached state.</summary>
    public virtual bool ReadsAllStates => true;

    /// <summary>
    /// Whether some cached states can be read and others not: not where one stands for several, nor where a weight is a place among them.
    /// </summary>
    public virtual bool CanHideSegments => true;

    /// <summary>Whether cached states are kept as they were, so that the sequence can go back to them.</summary>
    public virtual bool CanGoBack => true;

    /// <summary>Bytes of memory beside the store of the sequence.</summary>
    public virtual long Bytes => 0;

    /// <summary>Told what every token reads.</summary>
    public IReadObserver? Observer { get; set; }

    protected CachedSegments Segments => segments;

    protected RecurrentMemory Memory => memory;

    protected Device Device => segments.Device;

    /// <summary>Called once for the rows that <see cref="Read"/> then reads some at a time.</summary>
    public virtual void Begin(Tape tape, Tensor x)
    {
    }

    /// <summary>Reads some rows, which have just been written.</summary>
    /// <param name="tape">The step.</param>
    /// <param name="inputs">All rows.</param>
    /// <param name="row">First row to read.</param>
    /// <param name="rows">Number of rows, which lie in one segment.</param>
    /// <param name="position">Tokens of the online segment before the first.</param>
    public abstract void Read(Tape tape, in StepInputs inputs, int row, int rows, int position);

    /// <summary>Caches the state of the online segment, which has ended.</summary>
    public virtual void CacheSegment()
    {
        segments.Append(memory.State, memory.OnlineLength);
        memory.SegmentCached();
    }

    /// <summary>The last two segments have become one, in the place of the left one; the right one is about to be dropped.</summary>
    public virtual void SegmentsMerged(int left)
    {
    }

    /// <summary>The cached states are those that the next segment reads: called after one was cached, and after going back.</summary>
    public virtual void StatesChanged()
    {
    }

    /// <summary>The sequence has gone back to where the cached states are these; the store's buffers are zero.</summary>
    public virtual void WentBack() => StatesChanged();

    /// <summary>Buffers and rows have been loaded from a file.</summary>
    public virtual void Loaded()
    {
    }

    /// <summary>Takes over what another state of the same make keeps beside the store.</summary>
    public virtual void CopyFrom(ReadState source)
    {
    }

    /// <summary>Adds what a segment that is made up for a measurement has beside its state.</summary>
    public virtual void AppendNoise(DeviceSpan<float> noise)
    {
    }

    public virtual void Dispose()
    {
    }

    /// <summary>The arguments of a read of all visible states, without gates.</summary>
    protected ReadArguments Arguments(Tape tape, in StepInputs inputs, int row, int rows) => new()
    {
        Plan = segments.Plan,
        Options = new CachedReadOptions(segments.Heads),
        Width = segments.Width,
        Online = tape.Rows(inputs.Online, row, rows).Data,
        Queries = tape.Rows(inputs.Q, row, rows).Data,
        StatePages = segments.States.Pages,
        StateFormat = segments.Format,
        Output = tape.Rows(inputs.Output, row, rows).Data,
        Network = memory.Network,
        Gain = memory.Gain?.Data ?? default,
    };

    /// <summary>Tells the observer of a read.</summary>
    protected void Observe(in ReadArguments arguments, int rows, int position) =>
        Observer?.Observe(Device, arguments.Router.Gates, rows, segments.Heads, segments.Lengths, segments.Visible, position);
}
