namespace Loci.Reference;

/// <summary>
/// The memory of RWKV-5.2 (Peng et al. 2404.05892, section 4): S_t = S_(t-1) diag(w) + v_t k_t^T. A cached state is read as S q; the online
/// read of token t is (S_(t-1) + v_t (u o k_t)^T) q_t, which is not a read of S_t. S is [dv, dk].
/// </summary>
/// <param name="k">[tokens][dk]</param>
/// <param name="v">[tokens][dv]</param>
/// <param name="logDecay">[dk], w = exp(logDecay)</param>
/// <param name="ownGain">u, [dk]</param>
public sealed class Rwkv5Memory(Real[][] k, Real[][] v, Real[] logDecay, Real[] ownGain) : PlainMemory
{
    /// <inheritdoc/>
    public override MemoryState Initial { get; } = new([new Real[v[0].Length, k[0].Length]]);

    /// <inheritdoc/>
    public override MemoryState Write(MemoryState state, int token)
    {
        Real[,] before = state.Weights[0];
        var after = new Real[before.GetLength(0), before.GetLength(1)];
        for (int i = 0; i < before.GetLength(0); i++)
        {
            for (int j = 0; j < before.GetLength(1); j++)
            {
                after[i, j] = Real.Exp(logDecay[j]) * before[i, j] + v[token][i] * k[token][j];
            }
        }

        return new MemoryState([after]);
    }

    /// <inheritdoc/>
    public override Real[] Read(Real[][,] weights, Real[] q) => Matrix.Product(weights[0], q);

    /// <summary>What token <paramref name="token"/> reads of the online memory.</summary>
    /// <param name="before">The state before that token.</param>
    /// <param name="token">The token.</param>
    /// <param name="q">[dk]</param>
    public Real[] ReadOnline(MemoryState before, int token, Real[] q)
    {
        Real[] y = Read(before.Weights, q);
        for (int j = 0; j < q.Length; j++)
        {
            for (int i = 0; i < y.Length; i++)
            {
                y[i] += v[token][i] * ownGain[j] * k[token][j] * q[j];
            }
        }

        return y;
    }
}
