using Loci.Memory.Routing;
using Loci.Memory.Rules;
using Loci.Memory.Segments;
using Loci.Numerics;
using Loci.Numerics.Operations;

namespace Loci.Memory.Aggregations;

/// <summary>
/// One way to read the states of past segments beside the online memory (equation 5 of arXiv 2602.24281): its name and its equation.
/// </summary>
public abstract class Aggregation
{
    private protected Aggregation()
    {
    }

    /// <summary>The name in configurations, on the command line and in session files.</summary>
    public abstract string Name { get; }

    /// <summary>The name in reports.</summary>
    public abstract string Title { get; }

    /// <summary>The read in the paper's letters.</summary>
    public abstract string Equation { get; }

    /// <summary>Whether a router weighs the segments.</summary>
    public virtual bool IsGated => false;

    /// <summary>Whether each token reads only the past segments that score highest.</summary>
    public virtual bool IsSparse => false;
}

/// <summary>An aggregation that models are trained with.</summary>
public abstract class TrainedAggregation : Aggregation
{
    private protected TrainedAggregation()
    {
    }

    /// <summary>The segments that a mixer with this aggregation divides its sequences into.</summary>
    internal virtual Segmentation SegmentsOf(MixerConfiguration mixer, MemoryRule rule)
    {
        var cache = mixer.Cache;
        return new Segmentation(
            cache.Segments, cache.Segments == SegmentKind.Constant ? cache.SegmentLength : mixer.ChunkLength, cache.Start ?? rule.DefaultStart);
    }

    /// <summary>What is wrong with a mixer's configuration under this aggregation; null if nothing is.</summary>
    internal virtual string? Problem(MixerConfiguration mixer, MemoryRule rule) =>
        mixer.Cache.Segments == SegmentKind.Constant && mixer.Cache.SegmentLength % mixer.ChunkLength != 0
            ? Segmentation.NotWholeChunks(mixer.Cache.SegmentLength, mixer.ChunkLength)
            : null;

    /// <summary>Makes the reader of one layer.</summary>
    internal abstract TrainedReader CreateReader(LayerContext layer, CacheConfiguration cache);
}

/// <summary>An aggregation that reads the states of a memory that was trained without a cache.</summary>
internal interface IReadsAfterTraining
{
    /// <summary>Makes a reader with fixed gates.</summary>
    /// <param name="device">Where it lives.</param>
    /// <param name="heads">H.</param>
    /// <param name="readsLinearly">Whether the memory's read is linear in its state.</param>
    /// <param name="cache">The settings.</param>
    CacheReader CreateReader(Device device, int heads, bool readsLinearly, AfterTrainingCache cache);
}

/// <summary>Reads the cached states of one layer: its learned tensors, and the step form for each sequence.</summary>
internal abstract class CacheReader
{
    /// <summary>The learned tensors.</summary>
    public virtual IReadOnlyList<Parameter> Parameters => [];

    /// <summary>The router that weighs segments, where there is one.</summary>
    public virtual Router? Router => null;

    /// <summary>Whether cached states go on changing, so that they are stored as they are.</summary>
    public virtual bool ChangesStates => false;

    /// <summary>The step form of one sequence.</summary>
    /// <param name="segments">The sequence's cached states.</param>
    /// <param name="memory">Its online memory.</param>
    public abstract ReadState CreateState(CachedSegments segments, RecurrentMemory memory);

    /// <summary>This reader limited to the past segments that score highest; null where it does not read segment by segment.</summary>
    /// <param name="topK">How many.</param>
    /// <param name="readsLinearly">Whether the memory's read is linear in its state.</param>
    public virtual CacheReader? Sparse(int topK, bool readsLinearly) => null;
}

/// <summary>A reader that also has the parallel form.</summary>
internal abstract class TrainedReader : CacheReader
{
    /// <summary>Writes the memory over a batch, and reads it and its cached states.</summary>
    /// <param name="tape">The step.</param>
    /// <param name="memory">The layer's memory.</param>
    /// <param name="inputs">What it is given.</param>
    /// <returns>y, [rows, H*d].</returns>
    public abstract Tensor Read(Tape tape, LayerMemory memory, in MemoryInputs inputs);
}
