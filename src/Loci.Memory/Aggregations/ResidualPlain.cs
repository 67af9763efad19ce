namespace Loci.Reference;

/// <summary>Equation 7: y_t = M_t^(s)(q_t) + sum_(i &lt; s) M^(i)(q_t).</summary>
public static class ResidualMemory
{
    /// <param name="memory">The rule, for its read.</param>
    /// <param name="states">Past segments in order, the online memory last.</param>
    /// <param name="q">[dk]</param>
    public static Real[] Read(PlainMemory memory, IReadOnlyList<MemoryState> states, Real[] q)
    {
        Real[] y = memory.Read(states[^1].Weights, q);
        for (int i = 0; i < states.Count - 1; i++)
        {
            Real[] read = memory.Read(states[i].Weights, q);
            for (int j = 0; j < y.Length; j++)
            {
                y[j] += read[j];
            }
        }

        return y;
    }
}
