using Loci.Memory.Routing;
using Loci.Memory.Rules.Deep;
using Loci.Memory.Segments;
using Loci.Memory.Store;
using Loci.Numerics;

namespace Loci.Memory.Aggregations;

/// <summary>
/// A read of cached states. Gated: y_t = g_t^(s) o_t + sum_i g_t^(i) M^(i) q_t with the router's gates. Ungated: the plain sum.
/// </summary>
internal struct ReadArguments
{
    public MemoryPlan Plan;
    public CachedReadOptions Options;
    public int Width;                            // d
    public bool IsGated;
    public RouterArguments Router;               // gated only
    public Operand Online;                       // o, [rows, H*d]
    public Operand Queries;                      // q, [rows, H*d]
    public Operand States;                       // [slots, H, d, d], of deep memories [slots, H, P]; a wanted gradient is always written
    public PagedRows StatePages;                 // streams: the states in their place, a row a slot
    public StateFormat StateFormat;              // of StatePages
    public Operand Output;                       // y, [rows, H*d]
    public DeviceSpan<float> Sums;               // ungated: sum of the visible states, [groups, H, d, d]
    public DeepMemoryOptions? Network;           // deep memories: their network
    public Operand Gain;                         // of LN, [H*d]
    public DeviceSpan<float> GainPartials;       // scratch of the backward pass, [sequences or chunks, H, d]
}
