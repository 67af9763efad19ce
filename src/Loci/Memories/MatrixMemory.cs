using Loci.Caching;
using Loci.Memory.Aggregations;
using Loci.Memory.Rules.ScalarGated;
using Loci.Memory.Segments;
using Loci.Numerics;
using Loci.Numerics.Operations;

namespace Loci.Memories;

/// <summary>
/// A matrix memory with scalar gates, M_t = a_t M_{t-1} + b_t v_{t-1} k_{t-1}^T + l_t v_t k_t^T. Rules differ in the gates they take from the input; scan, cache and reads
/// are the same for all.
/// </summary>
internal sealed class MatrixMemory(Device device, int heads, MemoryGates gates) : LayerMemory
{
    public override IReadOnlyList<Parameter> Parameters => gates.Parameters;

    internal override bool RewritesSegments => false;

    internal override Tensor Apply(Tape tape, MemoryPlan plan, Tensor x, Tensor q, Tensor k, Tensor v, RouterInputs routing, CacheReader reader)
    {
        var values = gates.Compute(tape, x);                                                                 // [rows, H] each
        var scan = ScalarGatedScan.Apply(tape, plan, q, k, v, heads, values.LogDecay, values.PreviousGate, values.WriteGate);
        return reader is LogLinearAttention levels
            ? LogLinearRead.Apply(tape, plan, scan.States, q, k, v, levels.Weights(tape, x), heads, values.LogDecay, values.WriteGate)
            : reader.Read(tape, plan, scan, q, routing);
    }

    internal override RecurrentMemory CreateRecurrent(Segmentation segmentation) => new RecurrentMatrixMemory(device, gates, segmentation, heads, gates.Width);
}

/// <summary>The learned gates of one layer's matrix memory.</summary>
internal abstract class MemoryGates(int width)
{
    /// <summary>d.</summary>
    public int Width { get; } = width;

    /// <summary>The learned tensors.</summary>
    public abstract IReadOnlyList<Parameter> Parameters { get; }

    /// <summary>Whether a row's write also has a term of the row before.</summary>
    public virtual bool HasWindow => false;

    /// <summary>Computes the gates of every row and head.</summary>
    /// <param name="tape">The step.</param>
    /// <param name="x">The mixer's normalised input, [rows, D].</param>
    public abstract GateValues Compute(Tape tape, Tensor x);
}

/// <summary>Gates of every row and head, [rows, H] each; null stands for a = 1, b = 0, l = 1.</summary>
/// <param name="LogDecay">log a.</param>
/// <param name="PreviousGate">b, the weight of the row before.</param>
/// <param name="WriteGate">l, the weight of the row itself.</param>
internal readonly record struct GateValues(Tensor? LogDecay, Tensor? PreviousGate, Tensor? WriteGate);
