namespace Loci.Reference;

/// <summary>
/// Deep linear attention (30) and the Titans long-term memory (34-36, signs corrected):
/// S_t = h_t S_(t-1) - e_t grad l ; W_t = a_t W_(t-1) + S_t, with a_t = exp(logDecay), for W_1 and W_2 of a two-layer network.
/// Without momentum this is W_t = a_t W_(t-1) - e_t grad l.
/// </summary>
/// <param name="k">[tokens][d]</param>
/// <param name="v">[tokens][d]</param>
/// <param name="w1">[d, hidden], initial</param>
/// <param name="w2">[hidden, d], initial</param>
/// <param name="gain">[d], of LN; null = 1</param>
/// <param name="learningRate">[tokens], e</param>
/// <param name="logDecay">[tokens]; null = 0</param>
/// <param name="momentum">[tokens], h; null = 0</param>
/// <param name="options">Loss, chunk, norm and clipping.</param>
public sealed class DeepMemory(
    Real[][] k,
    Real[][] v,
    Real[,] w1,
    Real[,] w2,
    Real[]? gain,
    Real[] learningRate,
    Real[]? logDecay,
    Real[]? momentum,
    DeepMemoryOptions options) : Memory
{
    /// <inheritdoc/>
    public override MemoryState Initial { get; } =
        new State([w1, w2], [Zero(w1), Zero(w2)], AtChunkStart: [w1, w2], TokensInChunk: 0);

    /// <inheritdoc/>
    public override MemoryState Write(MemoryState state, int token)
    {
        var before = (State)state;
        bool opens = before.TokensInChunk == options.ChunkLength;
        Real[][,] at = opens ? before.Weights : before.AtChunkStart;
        (Real[,] gradient1, Real[,] gradient2) = DeepNetwork.Gradient(at[0], at[1], gain, k[token], v[token], options);
        Real[,] s1 = Step(before.Momentum[0], gradient1, token);
        Real[,] s2 = Step(before.Momentum[1], gradient2, token);
        return new State(
            [Matrix.Add(Decayed(before.Weights[0], token), s1), Matrix.Add(Decayed(before.Weights[1], token), s2)],
            [s1, s2],
            at,
            opens ? 1 : before.TokensInChunk + 1);
    }

    /// <inheritdoc/>
    public override Real[] Read(Real[][,] weights, Real[] q) => DeepNetwork.Forward(weights[0], weights[1], gain, q, options);

    private static Real[,] Zero(Real[,] like) => new Real[like.GetLength(0), like.GetLength(1)];

    private Real[,] Decayed(Real[,] weight, int token) =>
        logDecay is null ? weight : Matrix.Map(weight, x => Real.Exp(logDecay[token]) * x);

    /// <summary>S_t = h_t S_(t-1) - e_t grad l.</summary>
    private Real[,] Step(Real[,] before, Real[,] gradient, int token) => Matrix.Add(
        Matrix.Map(before, x => momentum is null ? 0 : momentum[token] * x),
        Matrix.Map(gradient, x => -learningRate[token] * x));

    /// <param name="Weights">W_1 and W_2 after the token.</param>
    /// <param name="Momentum">S of each; never cached, never mixed.</param>
    /// <param name="AtChunkStart">The weights at which the gradients of the open chunk are taken.</param>
    /// <param name="TokensInChunk">Tokens written in the open chunk.</param>
    private sealed record State(Real[][,] Weights, Real[][,] Momentum, Real[][,] AtChunkStart, int TokensInChunk) : MemoryState(Weights);
}
