using Loci.Numerics;

namespace Loci.Memory.Routing;

/// <summary>What the router compares: a token's routing query u with the routing keys r of the tokens of each segment.</summary>
/// <param name="Queries">u, [rows, H*d].</param>
/// <param name="Keys">r, [rows, H*d].</param>
internal readonly record struct RouterInputs(Tensor Queries, Tensor Keys);
