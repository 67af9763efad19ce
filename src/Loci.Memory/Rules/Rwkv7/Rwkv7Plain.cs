namespace Loci.Reference;

/// <summary>
/// The memory of RWKV-7 (Peng et al. 2503.14456, section 3): S_t = S_(t-1) (diag(w_t) - c_t (e_t o c_t)^T) + v_t k_t^T with removal keys c
/// of unit length and rates e, read as S q. S is [dv, dk].
/// </summary>
/// <param name="k">[tokens][dk]</param>
/// <param name="v">[tokens][dv]</param>
/// <param name="logDecay">[tokens][dk], w = exp(logDecay)</param>
/// <param name="removalKeys">c, [tokens][dk]</param>
/// <param name="removalRates">e, [tokens][dk]</param>
public sealed class Rwkv7Memory(Real[][] k, Real[][] v, Real[][] logDecay, Real[][] removalKeys, Real[][] removalRates) : PlainMemory
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
                // Column j of S (diag(w) - c (e o c)^T).
                Real kept = before[i, j] * Real.Exp(logDecay[token][j]);
                for (int x = 0; x < before.GetLength(1); x++)
                {
                    kept -= before[i, x] * removalKeys[token][x] * removalRates[token][j] * removalKeys[token][j];
                }

                after[i, j] = kept + v[token][i] * k[token][j];
            }
        }

        return new MemoryState([after]);
    }

    /// <inheritdoc/>
    public override Real[] Read(Real[][,] weights, Real[] q) => Matrix.Product(weights[0], q);
}
