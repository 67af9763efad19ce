namespace Loci.Reference;

/// <summary>
/// Deep linear attention (30) and the Titans long-term memory (34-36, signs corrected):
/// S_t = h_t S_(t-1) - e_t grad l ; W_t = a_t W_(t-1) + S_t, with a_t = exp(logDecay), for every matrix W_1, ..., W_n of the network.
/// Without momentum this is W_t = a_t W_(t-1) - e_t grad l.
/// </summary>
/// <param name="k">[tokens][d]</param>
/// <param name="v">[tokens][d]</param>
/// <param name="weights">W_1, ..., W_n, initial; see <see cref="DeepNetwork"/></param>
/// <param name="gain">[d], of LN; null = 1</param>
/// <param name="learningRate">[tokens], e</param>
/// <param name="logDecay">[tokens]; null = 0</param>
/// <param name="momentum">[tokens], h; null = 0</param>
/// <param name="options">Loss, chunk, norm and clipping.</param>
public sealed class DeepMemory(
    Real[][] k,
    Real[][] v,
    Real[][,] weights,
    Real[]? gain,
    Real[] learningRate,
    Real[]? logDecay,
    Real[]? momentum,
    DeepMemoryOptions options) : PlainMemory
{
    /// <inheritdoc/>
    public override MemoryState Initial { get; } =
        new State(weights, Array.ConvertAll(weights, Zero), AtChunkStart: weights, TokensInChunk: 0);

    /// <inheritdoc/>
    public override MemoryState Write(MemoryState state, int token)
    {
        var before = (State)state;
        bool opens = before.TokensInChunk == options.ChunkLength;
        Real[][,] at = opens ? before.Weights : before.AtChunkStart;
        Real[][,] gradients = DeepNetwork.Gradient(at, gain, k[token], v[token], options);
        var momenta = new Real[gradients.Length][,];
        var after = new Real[gradients.Length][,];
        for (int i = 0; i < gradients.Length; i++)
        {
            momenta[i] = Step(before.Momentum[i], gradients[i], token);
            after[i] = Matrix.Add(Decayed(before.Weights[i], token), momenta[i]);
        }

        return new State(after, momenta, at, opens ? 1 : before.TokensInChunk + 1);
    }

    /// <inheritdoc/>
    public override Real[] Read(Real[][,] weights, Real[] q) => DeepNetwork.Forward(weights, gain, q, options);

    private static Real[,] Zero(Real[,] like) => new Real[like.GetLength(0), like.GetLength(1)];

    private Real[,] Decayed(Real[,] weight, int token) =>
        logDecay is null ? weight : Matrix.Map(weight, x => Real.Exp(logDecay[token]) * x);

    /// <summary>S_t = h_t S_(t-1) - e_t grad l.</summary>
    private Real[,] Step(Real[,] before, Real[,] gradient, int token) => Matrix.Add(
        Matrix.Map(before, x => momentum is null ? 0 : momentum[token] * x),
        Matrix.Map(gradient, x => -learningRate[token] * x));

    /// <param name="Weights">W_1, ..., W_n after the token.</param>
    /// <param name="Momentum">S of each; never cached, never mixed.</param>
    /// <param name="AtChunkStart">The weights at which the gradients of the open chunk are taken.</param>
    /// <param name="TokensInChunk">Tokens written in the open chunk.</param>
    private sealed record State(Real[][,] Weights, Real[][,] Momentum, Real[][,] AtChunkStart, int TokensInChunk) : MemoryState(Weights);
}
