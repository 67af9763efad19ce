using Loci.Memory.Aggregations;
using Loci.Memory.Rules.ScalarGated;
using Loci.Memory.Segments;
using Loci.Numerics;
using Loci.Numerics.Operations;

namespace Loci.Memory.Rules.ScalarGated;

/// <summary>
/// A matrix memory with scalar gates, M_t = a_t M_{t-1} + b_t v_{t-1} k_{t-1}^T + l_t v_t k_t^T. Rules differ in the gates they take from
/// the input; scan, cache and reads
/// are the same for all.
/// </summary>
internal sealed class MatrixMemory(LayerContext layer, MemoryGates gates) : LayerMemory
{
    public override IReadOnlyList<Parameter> Parameters => gates.Parameters;

    public override bool RewritesSegments => false;

    public override Written Write(Tape tape, in MemoryInputs inputs)
    {
        var (logDecay, previousGate, writeGate) = gates.Compute(tape, inputs.X);                             // [rows, H] each
        var scan = ScalarGatedScan.Apply(tape, inputs.Plan, inputs.Q, inputs.K, inputs.V, layer.Heads, logDecay, previousGate, writeGate);
        return new Written(scan, new GateValues(logDecay, previousGate, writeGate));
    }

    public override RecurrentMemory CreateRecurrent(Segmentation segmentation) =>
        new RecurrentMatrixMemory(layer.Device, gates, segmentation, layer.Heads, layer.HeadWidth);
}

/// <summary>The learned gates of one layer's matrix memory.</summary>
internal abstract class MemoryGates
{
    /// <summary>The learned tensors.</summary>
    public abstract IReadOnlyList<Parameter> Parameters { get; }

    /// <summary>Whether a row's write also has a term of the row before.</summary>
    public virtual bool HasWindow => false;

    /// <summary>Computes the gates of every row and head.</summary>
    /// <param name="tape">The step.</param>
    /// <param name="x">The mixer's normalised input, [rows, D].</param>
    public abstract GateValues Compute(Tape tape, Tensor x);
}
