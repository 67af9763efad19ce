namespace Loci.Reference;

/// <summary>
/// Log-linear attention (arXiv 2506.04761), token by token: o_t = sum_(j &lt;= t) lambda_t[level(t, j)] exp(log a_(j+1) + ... + log a_t)
/// l_j (q_t . k_j) v_j. The level of t itself is 0; that of an earlier token is the place of the highest bit in which the two positions
/// differ, counted from 1 (Fenwick tree).
/// </summary>
public static class LogLinearAttention
{
    /// <param name="q">[tokens][dk]</param>
    /// <param name="k">[tokens][dk]</param>
    /// <param name="v">[tokens][dv]</param>
    /// <param name="lambda">[tokens][levels]; the last level holds all further ones</param>
    /// <param name="logDecay">[tokens]; null = 0</param>
    /// <param name="writeGate">[tokens]; null = 1</param>
    public static Real[][] Forward(Real[][] q, Real[][] k, Real[][] v, Real[][] lambda, Real[]? logDecay, Real[]? writeGate)
    {
        var y = new Real[q.Length][];
        for (int t = 0; t < q.Length; t++)
        {
            y[t] = new Real[v[0].Length];
            Real reach = 1;
            for (int j = t; j >= 0; j--)
            {
                Real weight = lambda[t][Math.Min(Level(t, j), lambda[t].Length - 1)] * reach * Matrix.Dot(q[t], k[j]);
                if (writeGate is not null)
                {
                    weight *= writeGate[j];
                }

                for (int i = 0; i < y[t].Length; i++)
                {
                    y[t][i] += weight * v[j][i];
                }

                if (logDecay is not null)
                {
                    reach *= Real.Exp(logDecay[j]);
                }
            }
        }

        return y;
    }

    private static int Level(int t, int j)
    {
        int level = 0;
        while (t != j)
        {
            t /= 2;
            j /= 2;
            level++;
        }

        return level;
    }
}
