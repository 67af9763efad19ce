namespace Loci.Numerics.Operations;

/// <summary>Unit length for every head: y = x / sqrt(sum x^2 + epsilon).</summary>
public static class L2Normalise
{
    /// <summary>Added to the sum of squares where no other number is given.</summary>
    public const float DefaultEpsilon = 1e-6f;

    /// <summary>Normalises.</summary>
    /// <param name="tape">The step.</param>
    /// <param name="x">[rows, columns].</param>
    /// <param name="groups">Number of groups of neighbouring columns (heads) that are normalised each for itself.</param>
    /// <param name="epsilon">Added to the sum of squares.</param>
    /// <returns>[rows, columns].</returns>
    /// <exception cref="ArgumentException">The columns do not divide into groups.</exception>
    public static Tensor Apply(Tape tape, Tensor x, int groups, float epsilon = DefaultEpsilon) =>
        Normalisation.Apply(tape, x, null, null, RmsNorm.Width(x, groups), 1, epsilon);
}
