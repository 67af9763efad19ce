namespace Loci.Reference;

/// <summary>Equation 15: y_t = M*_t(q_t), where every weight matrix of M*_t is the gated sum of that matrix of all memories.</summary>
public static class MemorySoup
{
    /// <param name="memory">The rule, for its read.</param>
    /// <param name="states">Past segments in order, the online memory last.</param>
    /// <param name="logits">One per state.</param>
    /// <param name="q">[dk]</param>
    public static Real[] Read(PlainMemory memory, IReadOnlyList<MemoryState> states, Real[] logits, Real[] q) =>
        memory.Read(Mix(states, Softmax.Forward(logits)), q);

    /// <summary>sum_i g^(i) W^(i) for every weight matrix W.</summary>
    public static Real[][,] Mix(IReadOnlyList<MemoryState> states, Real[] gates)
    {
        Real[][,] mixture = Array.ConvertAll(states[0].Weights, weight => new Real[weight.GetLength(0), weight.GetLength(1)]);
        for (int i = 0; i < states.Count; i++)
        {
            for (int w = 0; w < mixture.Length; w++)
            {
                for (int row = 0; row < mixture[w].GetLength(0); row++)
                {
                    for (int column = 0; column < mixture[w].GetLength(1); column++)
                    {
                        mixture[w][row, column] += gates[i] * states[i].Weights[w][row, column];
                    }
                }
            }
        }

        return mixture;
    }
}
