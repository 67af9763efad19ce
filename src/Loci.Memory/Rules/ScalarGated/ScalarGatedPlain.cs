namespace Loci.Reference;

/// <summary>
/// Linear attention (12), scalar-decay gated linear attention and SWLA with window 2 (28):
/// M_t = a_t M_(t-1) + b_t v_(t-1) k_(t-1)^T + l_t v_t k_t^T, read as M q. M is [dv, dk].
/// </summary>
/// <param name="k">[tokens][dk]</param>
/// <param name="v">[tokens][dv]</param>
/// <param name="logDecay">[tokens], a = exp(logDecay); null = 0, nothing decays</param>
/// <param name="b">[tokens], the weight of the previous token; null = 0, no window</param>
/// <param name="l">[tokens], the weight of the token itself; null = 1</param>
/// <param name="initial">[dv, dk]; null = 0</param>
public sealed class MatrixMemory(
    Real[][] k, Real[][] v, Real[]? logDecay = null, Real[]? b = null, Real[]? l = null, Real[,]? initial = null) : PlainMemory
{
    /// <inheritdoc/>
    public override MemoryState Initial { get; } = new State(initial ?? new Real[v[0].Length, k[0].Length], Previous: null);

    /// <inheritdoc/>
    public override MemoryState Write(MemoryState state, int token)
    {
        Real[,] before = state.Weights[0];
        int? previous = ((State)state).Previous;
        var after = new Real[before.GetLength(0), before.GetLength(1)];
        for (int i = 0; i < before.GetLength(0); i++)
        {
            for (int j = 0; j < before.GetLength(1); j++)
            {
                after[i, j] = logDecay is null ? before[i, j] : Real.Exp(logDecay[token]) * before[i, j];
                if (b is not null && previous is int last)
                {
                    after[i, j] += b[token] * v[last][i] * k[last][j];
                }

                Real write = v[token][i] * k[token][j];
                after[i, j] += l is null ? write : l[token] * write;
            }
        }

        return new State(after, token);
    }

    /// <inheritdoc/>
    public override Real[] Read(Real[][,] weights, Real[] q) => Matrix.Product(weights[0], q);

    /// <param name="Matrix">M.</param>
    /// <param name="Previous">The token written last, which the window still sees; null where nothing was written yet.</param>
    private sealed record State(Real[,] Matrix, int? Previous) : MemoryState([Matrix]);
}

/// <summary>The gates of a layer of matrix memories, each [rows, heads]; all null is linear attention.</summary>
/// <param name="LogDecay">log a_t, at most 0; null = 0.</param>
/// <param name="B">b_t, weight of the previous token (SWLA); null = 0.</param>
/// <param name="L">l_t, weight of the token itself (SWLA); null = 1.</param>
public sealed record MatrixMemoryGates(Real[,]? LogDecay = null, Real[,]? B = null, Real[,]? L = null);
