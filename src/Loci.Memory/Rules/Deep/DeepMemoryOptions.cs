using Loci.Numerics;

namespace Loci.Memory.Rules.Deep;

/// <summary>What a write of a deep memory lowers.</summary>
public enum InnerLoss
{
    /// <summary>-&lt;M(k), v&gt;, of deep linear attention (equation 30).</summary>
    InnerProduct,

    /// <summary>||M(k) - v||^2, of Titans (equations 34 to 36).</summary>
    SquaredError,
}

/// <summary>
/// The network that a deep memory is, one per head: M(x) = x + LN(W_1 gelu(W_2 x)) at depth 2, with further hidden layers at a larger
/// depth, and the plain matrix M(x) = W_1 x at depth 1. Its weights are stored by head and layer in the order of application, each
/// transposed, [in, out].
/// </summary>
/// <param name="Heads">H.</param>
/// <param name="Width">d, of a head.</param>
public sealed record DeepMemoryOptions(int Heads, int Width)
{
    /// <summary>Largest depth there is.</summary>
    public const int MaximumDepth = 8;

    /// <summary>Number of matrices, 1 to <see cref="MaximumDepth"/>.</summary>
    public int Depth { get; init; } = 2;

    /// <summary>Width of the hidden layers.</summary>
    public int HiddenWidth { get; init; } = 4 * Width;

    /// <summary>What a write lowers.</summary>
    public InnerLoss Loss { get; init; } = InnerLoss.SquaredError;

    /// <summary>Whether the output of the last layer is normalised, LN with a learned gain; never at depth 1.</summary>
    public bool Normalizes { get; init; } = true;

    /// <summary>Added to the variance in LN.</summary>
    public float NormEpsilon { get; init; } = 1e-6f;

    /// <summary>Largest norm of the gradient of one token and matrix; longer ones are scaled down to it. Infinity clips nothing.</summary>
    public float GradientClip { get; init; } = 1;

    /// <summary>Weights of one head.</summary>
    public int WeightCount => Depth == 1 ? Width * Width : (2 * Width * HiddenWidth) + ((Depth - 2) * HiddenWidth * HiddenWidth);

    /// <summary>Sum of the hidden layers' outputs.</summary>
    internal int HiddenCount => (Depth - 1) * HiddenWidth;

    /// <summary>Sum of all layers' outputs.</summary>
    internal int OutputCount => HiddenCount + Width;

    /// <summary>Checks that the numbers fit together.</summary>
    /// <returns>These options.</returns>
    /// <exception cref="ArgumentException">They do not.</exception>
    internal DeepMemoryOptions Validate()
    {
        if (Heads <= 0 || Width <= 0 || HiddenWidth <= 0 || Depth is < 1 or > MaximumDepth || !(GradientClip > 0) || !(NormEpsilon > 0))
        {
            throw new ArgumentException(
                $"A deep memory takes positive heads, widths, clip and epsilon and a depth of 1 to {MaximumDepth}, not H {Heads}, " +
                $"d {Width}, hidden {HiddenWidth}, clip {GradientClip}, epsilon {NormEpsilon}, depth {Depth}.");
        }

        return this;
    }
}

/// <summary>The gates of a deep memory, [rows, H] each.</summary>
/// <param name="LearningRate">e, the step along the negative gradient.</param>
/// <param name="LogDecay">log of what stays of the weights, at most 0; 0 where null.</param>
/// <param name="Momentum">h, what stays of the step before, in [0, 1]; no momentum where null.</param>
public readonly record struct DeepMemoryGates(Tensor LearningRate, Tensor? LogDecay = null, Tensor? Momentum = null);
