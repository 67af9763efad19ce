namespace Loci.Reference;

/// <summary>Causal softmax attention per head: y_t = sum_(j &lt;= t) softmax_j(scale q_t . k_j) v_j, within one sequence.</summary>
public static class CausalAttention
{
    /// <param name="q">[rows, heads d]</param>
    /// <param name="k">[rows, keyValueHeads d]</param>
    /// <param name="v">[rows, keyValueHeads dv]</param>
    /// <param name="heads">Heads of the queries.</param>
    /// <param name="sequenceStarts">First row of every sequence.</param>
    /// <param name="scale">Factor of the scores; null = 1/sqrt(d).</param>
    /// <param name="keyValueHeads">Heads of keys and values, a divisor of <paramref name="heads"/>; null = the same number.</param>
    /// <returns>[rows, heads dv]</returns>
    public static Real[,] Forward(
        Real[,] q, Real[,] k, Real[,] v, int heads, int[] sequenceStarts, double? scale = null, int? keyValueHeads = null)
    {
        int rows = q.GetLength(0);
        int groups = keyValueHeads ?? heads;
        int valueSize = v.GetLength(1) / groups;
        double factor = scale ?? 1 / Math.Sqrt(q.GetLength(1) / heads);
        Shape.Require(heads % groups == 0, $"{heads} heads over {groups} heads of keys");
        var y = new Real[rows, heads * valueSize];
        foreach ((int start, int end) in Sequences.Ranges(sequenceStarts, rows))
        {
            for (int head = 0; head < heads; head++)
            {
                Real[][] queries = Sequences.Head(q, heads, head, start, end);
                Real[][] keys = Sequences.Head(k, groups, head / (heads / groups), start, end);
                Real[][] values = Sequences.Head(v, groups, head / (heads / groups), start, end);
                for (int t = 0; t < end - start; t++)
                {
                    var scores = new Real[t + 1];
                    for (int j = 0; j <= t; j++)
                    {
                        scores[j] = factor * Matrix.Dot(queries[t], keys[j]);
                    }

                    Real[] weights = Softmax.Forward(scores);
                    for (int j = 0; j <= t; j++)
                    {
                        for (int i = 0; i < valueSize; i++)
                        {
                            y[start + t, head * valueSize + i] += weights[j] * values[j][i];
                        }
                    }
                }
            }
        }

        return y;
    }
}
