namespace Loci.Reference;

/// <summary>Equation 9: y_t = g_t^(s) M_t^(s)(q_t) + sum_(i &lt; s) g_t^(i) M^(i)(q_t), g = softmax of the logits.</summary>
public static class GatedResidualMemory
{
    /// <param name="memory">The rule, for its read.</param>
    /// <param name="states">Past segments in order, the online memory last.</param>
    /// <param name="logits">One per state.</param>
    /// <param name="q">[dk]</param>
    public static Real[] Read(PlainMemory memory, IReadOnlyList<MemoryState> states, Real[] logits, Real[] q)
    {
        Real[] gates = Softmax.Forward(logits);
        Real[]? y = null;
        for (int i = 0; i < states.Count; i++)
        {
            Real[] read = memory.Read(states[i].Weights, q);
            y ??= new Real[read.Length];
            for (int j = 0; j < y.Length; j++)
            {
                y[j] += gates[i] * read[j];
            }
        }

        return y!;
    }
}
