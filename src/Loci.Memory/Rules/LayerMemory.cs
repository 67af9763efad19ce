using Loci.Memory.Routing;
using Loci.Memory.Rules;
using Loci.Memory.Segments;
using Loci.Numerics;
using Loci.Numerics.Operations;

namespace Loci.Memory.Rules;

/// <summary>What the memory of a layer is given over a batch.</summary>
/// <param name="Plan">Chunks, segments and readers of the batch.</param>
/// <param name="X">The mixer's normalized input, [rows, D].</param>
/// <param name="Q">Queries, [rows, H*d].</param>
/// <param name="K">Keys, normalized per head, [rows, H*d].</param>
/// <param name="V">Values, [rows, H*d].</param>
/// <param name="Routing">What the router compares.</param>
internal readonly record struct MemoryInputs(MemoryPlan Plan, Tensor X, Tensor Q, Tensor K, Tensor V, RouterInputs Routing);

/// <summary>What a memory leaves behind that has been written over a batch.</summary>
/// <param name="Scan">Online reads and cached states.</param>
/// <param name="TokenGates">The scalars that weigh each token's write, where the rule has such.</param>
internal readonly record struct Written(ScanResult Scan, GateValues TokenGates = default);

/// <summary>Gates of every row and head, [rows, H] each; null stands for a = 1, b = 0, l = 1.</summary>
/// <param name="LogDecay">log a.</param>
/// <param name="PreviousGate">b, the weight of the row before.</param>
/// <param name="WriteGate">l, the weight of the row itself.</param>
internal readonly record struct GateValues(Tensor? LogDecay, Tensor? PreviousGate, Tensor? WriteGate);

/// <summary>The memory of one layer: what it learns, its chunked form over whole batches and the state of its step form.</summary>
internal abstract class LayerMemory
{
    /// <summary>The learned tensors.</summary>
    public abstract IReadOnlyList<Parameter> Parameters { get; }

    /// <summary>
    /// Whether the state of a segment cannot be merged from the states of its parts, so that independent logarithmic segments are written
    /// again as a whole.
    /// </summary>
    public abstract bool RewritesSegments { get; }

    /// <summary>Whether a read is linear in the state: so with matrices, not with networks.</summary>
    public virtual bool ReadsLinearly => true;

    /// <summary>Writes the memory and reads its online state.</summary>
    public abstract Written Write(Tape tape, in MemoryInputs inputs);

    /// <summary>
    /// Writes the memory and reads the gated sum of its online and cached states, which for a linear read is the gated sum of reads.
    /// </summary>
    public virtual Tensor WriteAndReadSoup(Tape tape, in MemoryInputs inputs, Router router) =>
        router.Read(tape, inputs.Plan, Write(tape, inputs).Scan, inputs.Q, inputs.Routing);

    /// <summary>The step form of one sequence, at its start.</summary>
    public abstract RecurrentMemory CreateRecurrent(Segmentation segmentation);
}
