namespace Loci.Reference;

/// <summary>The gates of a layer of matrix memories, each [rows, heads]; all null is linear attention.</summary>
/// <param name="LogDecay">log a_t, at most 0; null = 0.</param>
/// <param name="B">b_t, weight of the previous token (SWLA); null = 0.</param>
/// <param name="L">l_t, weight of the token itself (SWLA); null = 1.</param>
public sealed record MatrixMemoryGates(Real[,]? LogDecay = null, Real[,]? B = null, Real[,]? L = null);
