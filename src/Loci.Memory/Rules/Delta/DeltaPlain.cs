namespace Loci.Reference;

/// <summary>
/// The delta rule (Yang et al. 2406.06484) and its gated form (Yang et al. 2412.06464):
/// S_t = a_t S_(t-1) (I - beta_t k_t k_t^T) + beta_t v_t k_t^T, read as S q. S is [dv, dk].
/// </summary>
/// <param name="k">[tokens][dk]</param>
/// <param name="v">[tokens][dv]</param>
/// <param name="beta">[tokens]</param>
/// <param name="logDecay">[tokens], a = exp(logDecay); null = 0, nothing decays</param>
/// <param name="initial">[dv, dk]; null = 0</param>
public sealed class DeltaMemory(Real[][] k, Real[][] v, Real[] beta, Real[]? logDecay = null, Real[,]? initial = null) : PlainMemory
{
    /// <inheritdoc/>
    public override MemoryState Initial { get; } = new([initial ?? new Real[v[0].Length, k[0].Length]]);

    /// <inheritdoc/>
    public override MemoryState Write(MemoryState state, int token)
    {
        Real[,] before = state.Weights[0];
        Real decay = logDecay is null ? 1 : Real.Exp(logDecay[token]);
        var after = new Real[before.GetLength(0), before.GetLength(1)];
        for (int i = 0; i < before.GetLength(0); i++)
        {
            for (int j = 0; j < before.GetLength(1); j++)
            {
                // Column j of S (I - beta k k^T).
                Real kept = 0;
                for (int x = 0; x < before.GetLength(1); x++)
                {
                    Real identity = x == j ? 1 : 0;
                    kept += before[i, x] * (identity - beta[token] * k[token][x] * k[token][j]);
                }

                after[i, j] = decay * kept + beta[token] * v[token][i] * k[token][j];
            }
        }

        return new MemoryState([after]);
    }

    /// <inheritdoc/>
    public override Real[] Read(Real[][,] weights, Real[] q) => Matrix.Product(weights[0], q);
}

/// <summary>The gates of a layer of delta memories, each [rows, heads].</summary>
/// <param name="Beta">beta_t.</param>
/// <param name="LogDecay">log a_t, at most 0; null = 0.</param>
public sealed record DeltaMemoryGates(Real[,] Beta, Real[,]? LogDecay = null);
