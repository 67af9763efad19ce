using Loci.Memory.Segments;
using Loci.Numerics;

namespace Loci.Memory.Aggregations;

/// <summary>
/// A log-linear read of the merged states of independent logarithmic segments and of the open block, and the gradients of its backward
/// pass.
/// </summary>
internal struct LogLinearArguments
{
    public MemoryPlan Plan;
    public int Heads;
    public int Width;                            // d
    public int Levels;
    public Operand Queries;                      // [rows, H*d]
    public Operand Keys;                         // [rows, H*d]
    public Operand Values;                       // [rows, H*d]
    public Operand Lambda;                       // [rows, H*levels]
    public Operand LogDecay;                     // [rows, H] or empty
    public Operand WriteGate;                    // [rows, H] or empty
    public Operand States;                       // [slots, H, d, d]
    public PagedRows StatePages;                 // streams: the states in their place, a row a slot
    public Operand Output;                       // [rows, H*d]
    public DeviceSpan<float> SlotDecay;          // streams: sum of log a between each slot's end and the block's first row, [slots, H]
    public int FirstRow;                         // streams: first row of the block that is read
}
