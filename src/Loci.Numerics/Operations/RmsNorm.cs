namespace Loci.Numerics.Operations;

/// <summary>Root-mean-square normalisation, y = x / sqrt(mean(x^2) + epsilon) * gain (Zhang and Sennrich, 1910.07467), of rows or of each head of a row.</summary>
public static class RmsNorm
{
    /// <summary>Added to the mean of squares where no other number is given.</summary>
    public const float DefaultEpsilon = 1e-6f;

    /// <summary>Normalises.</summary>
    /// <param name="tape">The step.</param>
    /// <param name="x">[rows, columns].</param>
    /// <param name="gain">[columns]; none = 1.</param>
    /// <param name="groups">Number of groups of neighbouring columns (heads) that are normalised each for itself.</param>
    /// <param name="epsilon">Added to the mean of squares.</param>
    /// <returns>[rows, columns].</returns>
    /// <exception cref="ArgumentException">The shapes do not fit together.</exception>
    public static Tensor Apply(Tape tape, Tensor x, Tensor? gain, int groups = 1, float epsilon = DefaultEpsilon)
    {
        var width = Width(x, groups);
        return Normalisation.Apply(tape, x, gain, null, width, 1f / width, epsilon);
    }

    internal static int Width(Tensor x, int groups)
    {
        ArgumentNullException.ThrowIfNull(x);
        ArgumentOutOfRangeException.ThrowIfNegativeOrZero(groups);
        return x.Columns % groups == 0
            ? x.Columns / groups
            : throw new ArgumentException($"The {x.Columns} columns of an input of shape {x.Shape} do not divide into {groups} groups.", nameof(groups));
    }
}
