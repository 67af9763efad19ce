namespace Loci.Reference;

/// <summary>Equations 16 and 17: the k past segments with the largest logits and the online memory, gated among themselves.</summary>
public static class SparseSelectiveCaching
{
    /// <param name="memory">The rule, for its read.</param>
    /// <param name="states">Past segments in order, the online memory last.</param>
    /// <param name="logits">One per state.</param>
    /// <param name="selected">k.</param>
    /// <param name="q">[dk]</param>
    public static Real[] Read(PlainMemory memory, IReadOnlyList<MemoryState> states, Real[] logits, int selected, Real[] q)
    {
        int[] taking = [.. Select(logits, selected), states.Count - 1];
        return GatedResidualMemory.Read(
            memory, Array.ConvertAll(taking, i => states[i]), Array.ConvertAll(taking, i => logits[i]), q);
    }

    /// <summary>R_t: the k past segments with the largest logits, of equal ones the earlier, in order of time.</summary>
    /// <param name="logits">Past segments in order, the online segment last (never selected, always read).</param>
    /// <param name="selected">k; fewer where there are fewer past segments.</param>
    public static int[] Select(Real[] logits, int selected) =>
        [.. Enumerable.Range(0, logits.Length - 1).OrderByDescending(i => logits[i].Value).ThenBy(i => i).Take(selected).Order()];
}
