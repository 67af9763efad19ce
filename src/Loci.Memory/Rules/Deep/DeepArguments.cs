using Loci.Memory.Segments;
using Loci.Numerics;

namespace Loci.Memory.Rules.Deep;

/// <summary>
/// A deep memory over the chunks of a plan, and the gradients of its backward pass. P is the number of weights of a head's network; with
/// momentum the recurrence carries as much again.
/// </summary>
internal struct DeepArguments
{
    public MemoryPlan Plan;
    public DeepMemoryOptions Options;
    public int KeptEvery;                        // chunks between states kept for the backward pass
    public Operand Queries;                      // [rows, H*d]
    public Operand Keys;                         // [rows, H*d]
    public Operand Values;                       // [rows, H*d]
    public Operand LearningRate;                 // e, [rows, H]
    public Operand LogDecay;                     // [rows, H] or empty
    public Operand Momentum;                     // h, [rows, H] or empty
    public Operand Weights;                      // M_0, [H, P]
    public Operand Gain;                         // of LN, [H*d]
    public Operand Output;                       // M_t(q_t), [rows, H*d]; empty where a soup reads
    public Operand States;                       // cached, [slots, H, P]
    public DeviceSpan<float> Kept;               // states before chunks, see KeptLength; empty outside recording
    public DeviceSpan<float> Records;            // soup: directions and hidden inputs of the keys, [rows, H, outputs + hidden]
    public DeviceSpan<float> Preactivations;     // soup: the mixed ends of the layers, [rows, H, outputs]

    // Scratch of the backward pass.
    public DeviceSpan<float> GainPartials;       // [items, H, d]
    public DeviceSpan<float> ReadGradients;      // soup: as Preactivations

    public readonly long StateLength => (Momentum.Values.IsEmpty ? 1L : 2L) * Options.WeightCount * Options.Heads;

    /// <summary>Floats of <see cref="Kept"/>: places for every chunk that may keep a state, and for the first of every item.</summary>
    public readonly long KeptLength => ((Plan.ChunkCount / KeptEvery) + Plan.ItemCount + 1L) * StateLength;
}
