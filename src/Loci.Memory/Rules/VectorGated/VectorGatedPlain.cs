namespace Loci.Reference;

/// <summary>
/// Linear attention with one decay per key dimension (Yang et al. 2312.06635): S_t = S_(t-1) diag(alpha_t) + v_t k_t^T, read as S q. S is
/// [dv, dk].
/// </summary>
/// <param name="k">[tokens][dk]</param>
/// <param name="v">[tokens][dv]</param>
/// <param name="logDecay">[tokens][dk], alpha = exp(logDecay)</param>
/// <param name="initial">[dv, dk]; null = 0</param>
public sealed class VectorGatedMemory(Real[][] k, Real[][] v, Real[][] logDecay, Real[,]? initial = null) : PlainMemory
{
    /// <inheritdoc/>
    public override MemoryState Initial { get; } = new([initial ?? new Real[v[0].Length, k[0].Length]]);

    /// <inheritdoc/>
    public override MemoryState Write(MemoryState state, int token)
    {
        Real[,] before = state.Weights[0];
        var after = new Real[before.GetLength(0), before.GetLength(1)];
        for (int j = 0; j < before.GetLength(1); j++)
        {
            Real decay = Real.Exp(logDecay[token][j]);
            for (int i = 0; i < before.GetLength(0); i++)
            {
                after[i, j] = decay * before[i, j] + v[token][i] * k[token][j];
            }
        }

        return new MemoryState([after]);
    }

    /// <inheritdoc/>
    public override Real[] Read(Real[][,] weights, Real[] q) => Matrix.Product(weights[0], q);
}

/// <summary>The gates of a layer of vector-gated memories.</summary>
/// <param name="LogDecay">log alpha_t, at most 0, [rows, heads dk].</param>
public sealed record VectorGatedMemoryGates(Real[,] LogDecay);
