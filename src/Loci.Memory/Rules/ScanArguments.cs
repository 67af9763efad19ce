using System.Runtime.CompilerServices;
using Loci.Memory.Segments;
using Loci.Numerics;

namespace Loci.Memory.Rules;

/// <summary>A matrix memory over the chunks of a plan, and the gradients of its backward pass.</summary>
internal struct ScanArguments
{
    public MemoryPlan Plan;
    public int Heads;
    public int Width;                            // d
    public Operand Queries;                      // [rows, H*d]
    public Operand Keys;                         // [rows, H*d]
    public Operand Values;                       // [rows, H*d]
    public ScanGates Gates;                      // in the rule's own order, [rows, H] or [rows, H*d]
    public Operand Output;                       // M_t q_t, [rows, H*d]
    public Operand States;                       // cached, [slots, H, d, d]; where states were merged, the gradient is used as scratch
    public DeviceSpan<float> ChunkStates;        // before every chunk, [chunks, H, d, d], or empty

    /// <summary>Independent pieces of work of the merges, one a sequence and head.</summary>
    public readonly int MergeCount => Plan.Merges.Count > 0 ? Plan.SequenceCount * Heads : 0;
}

/// <summary>The gates of a rule; those that it does not have, or that were left out, are empty.</summary>
[InlineArray(Most)]
internal struct ScanGates
{
    public const int Most = 4;

    private Operand _first;
}
