using Loci.Memory.Rules.Deep;
using Loci.Numerics;

namespace Loci.Memory.Aggregations;

/// <summary>
/// A soup of deep memories after a scan that kept records; in a stream, of the online weights and the cached ones. The read has no online
/// part of its own.
/// </summary>
internal struct DeepSoupArguments
{
    public DeepArguments Scan;
    public ReadArguments Read;
    public DeviceSpan<float> OnlineWeights;      // streams: [H, P]
}
