namespace Loci.Reference;

/// <summary>What a write of a deep memory lowers.</summary>
public enum InnerLoss
{
    /// <summary>-&lt;M(k), v&gt;, of deep linear attention (30).</summary>
    InnerProduct,

    /// <summary>||M(k) - v||^2, of Titans (34-36).</summary>
    SquaredError,
}

/// <summary>The options of a deep memory.</summary>
/// <param name="Loss">What a write lowers.</param>
public sealed record DeepMemoryOptions(InnerLoss Loss)
{
    /// <summary>b: within so many tokens all gradients are taken at the weights the chunk started with; 1 is the exact rule.</summary>
    public int ChunkLength { get; init; } = 1;

    /// <summary>M(x) = x + LN(W_1 gelu(W_2 x)); false leaves LN out.</summary>
    public bool Normalize { get; init; } = true;

    /// <summary>Whether M adds its input to its output.</summary>
    public bool Residual { get; init; } = true;

    /// <summary>Added to the variance in LN.</summary>
    public double NormalizationEpsilon { get; init; } = 1e-6;

    /// <summary>Largest norm of one token's gradient of one matrix; null = not clipped.</summary>
    public double? GradientClip { get; init; } = 1;

    /// <summary>The tanh approximation of GELU in place of the exact one.</summary>
    public bool ApproximateGelu { get; init; }
}

/// <summary>The gates of a layer of deep memories, each [rows, heads].</summary>
/// <param name="LearningRate">e_t, the inner learning rate.</param>
/// <param name="LogDecay">log of what stays of the weights: a_t in Atlas, 1 - a_t in Titans; null = 0.</param>
/// <param name="Momentum">h_t (Titans); null = 0.</param>
public sealed record DeepMemoryGates(Real[,] LearningRate, Real[,]? LogDecay = null, Real[,]? Momentum = null);

/// <summary>The learned parameters of a layer of deep memories, one of each per head.</summary>
/// <param name="Weights">The initial weights M_0, shared by all segments: W_1, ..., W_n of every head.</param>
/// <param name="Gain">[d], of LN; null = 1</param>
public sealed record DeepMemoryParameters(Real[][][,] Weights, Real[][]? Gain = null);
