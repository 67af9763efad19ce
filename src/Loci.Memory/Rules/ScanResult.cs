using Loci.Memory.Rules.Deep;
using Loci.Numerics;

namespace Loci.Memory.Rules;

/// <summary>What a memory scan gives.</summary>
/// <param name="Output">Online reads M_t q_t, [rows, H*d].</param>
/// <param name="States">
/// Cached states: of matrix memories [slots, H, d_k, d_v], transposed, so that a read is q times a state; of deep ones [slots, H, weights],
/// see <see cref="DeepMemoryOptions"/>.
/// </param>
/// <param name="Network">The network that the states are weights of; null for matrix memories.</param>
/// <param name="Gain">Gain of the network's norm, [H*d].</param>
public readonly record struct ScanResult(Tensor Output, Tensor States, DeepMemoryOptions? Network = null, Tensor? Gain = null);
