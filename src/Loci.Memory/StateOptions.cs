using Loci.Memory.Aggregations;
using Loci.Memory.Store;
using Loci.Numerics;

namespace Loci.Memory;

/// <summary>How a block keeps what it remembers of one sequence.</summary>
/// <param name="Format">How cached states are stored.</param>
/// <param name="KeepsReturns">Whether the ends of segments can be returned to.</param>
/// <param name="AfterTraining">A cache for memories that were trained without one.</param>
/// <param name="ReadTopK">Past segments that a token reads at most; null for as many as in training.</param>
internal sealed record StateOptions(StateFormat Format = StateFormat.Float32, bool KeepsReturns = true, AfterTrainingCache? AfterTraining = null, int? ReadTopK = null);
