using Loci.Caching;
using Loci.Memory.Segments;
using Loci.Numerics;

namespace Loci.Memories;

/// <summary>The memory of one layer: what it learns, its parallel form over whole batches and the state of its step form.</summary>
public abstract class LayerMemory
{
    /// <summary>The learned tensors.</summary>
    public abstract IReadOnlyList<Parameter> Parameters { get; }

    /// <summary>
    /// Whether the state of a segment cannot be merged from the states of its parts, so that independent logarithmic segments are written again as a whole.
    /// </summary>
    internal abstract bool RewritesSegments { get; }

    /// <summary>Whether the states are weights of networks rather than matrices.</summary>
    internal virtual bool IsDeep => false;

    /// <summary>The parallel form: writes the memory, and reads it and its cached states.</summary>
    /// <param name="tape">The step.</param>
    /// <param name="plan">Chunks, segments and readers of the batch.</param>
    /// <param name="x">The mixer's normalised input, [rows, D].</param>
    /// <param name="q">Queries, [rows, H*d].</param>
    /// <param name="k">Keys, normalised per head, [rows, H*d].</param>
    /// <param name="v">Values, [rows, H*d].</param>
    /// <param name="routing">What the router compares.</param>
    /// <param name="reader">Reads the cached states.</param>
    /// <returns>y, [rows, H*d].</returns>
    internal abstract Tensor Apply(Tape tape, MemoryPlan plan, Tensor x, Tensor q, Tensor k, Tensor v, RouterInputs routing, CacheReader reader);

    /// <summary>The step form of one sequence, at its start.</summary>
    internal abstract RecurrentMemory CreateRecurrent(Segmentation segmentation);
}
