using Loci.Memory.Segments;
using Loci.Numerics;

namespace Loci.Memory.Routing;

/// <summary>
/// From routing queries and keys to gates: a softmax over the scores of the segments taking part, all of them or the top k of the past and
/// the online one.
/// </summary>
internal struct RouterArguments
{
    public MemoryPlan Plan;
    public CachedReadOptions Options;
    public int Width;                            // d
    public Operand Queries;                      // u, [rows, H*d]
    public Operand Keys;                         // k, [rows, H*d]
    public Operand Temperature;                  // tau, [H]
    public Operand OnlineBias;                   // [H] or empty
    public bool PoolsKeys;                       // whether p is computed here; streams keep it beside their states
    public DeviceSpan<float> PooledKeys;         // p of every slot, [slots, H, d]
    public PagedRows KeyPages;                   // streams: the same in their place, a row a slot
    public DeviceSpan<float> Index;              // streams: the same in few bits, see KeyIndexLayout, or empty
    public int IndexCapacity;
    public DeviceSpan<float> InitialKeys;        // streams: sum of the online segment's keys before the first row, [H*d], or empty
    public int InitialCount;                     // streams: number of those keys
    public DeviceSpan<float> Scores;             // r, [gates * H]: by group [H, rows, visible + 1], the online one last
    public DeviceSpan<float> Gates;              // g, as Scores

    // Scratch of the backward pass.
    public DeviceSpan<float> LogitGradients;     // as Scores
    public DeviceSpan<float> PooledKeyGradients; // [slots, H, d]
    public DeviceSpan<float> Partials;           // [groups, H, 2]

    public readonly int Heads => Options.Heads;
}
