namespace Loci.Numerics.Operations;

/// <summary>What a mixer does to the output of its memory: y = RMSNorm per head(x) * gain * SiLU(gate).</summary>
public static class GatedRmsNorm
{
    /// <summary>Normalises and gates.</summary>
    /// <param name="tape">The step.</param>
    /// <param name="x">[rows, columns].</param>
    /// <param name="gain">[columns]; none = 1.</param>
    /// <param name="gate">[rows, columns], before its SiLU.</param>
    /// <param name="groups">Number of groups of neighbouring columns (heads) that are normalised each for itself.</param>
    /// <param name="epsilon">Added to the mean of squares.</param>
    /// <returns>[rows, columns].</returns>
    /// <exception cref="ArgumentException">The shapes do not fit together.</exception>
    public static Tensor Apply(Tape tape, Tensor x, Tensor? gain, Tensor gate, int groups, float epsilon = RmsNorm.DefaultEpsilon)
    {
        ArgumentNullException.ThrowIfNull(gate);
        if (ReferenceEquals(x, gate))
        {
            throw new ArgumentException("The gate of a gated normalisation must be another tensor than its input.", nameof(gate));
        }

        var width = RmsNorm.Width(x, groups);
        return Normalisation.Apply(tape, x, gain, gate, width, 1f / width, epsilon);
    }
}
