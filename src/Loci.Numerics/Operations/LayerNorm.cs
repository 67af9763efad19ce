namespace Loci.Numerics.Operations;

/// <summary>
/// y = (x - mean) / sqrt(variance + epsilon) * gain + bias (Ba et al., arXiv 1607.06450), of rows or of each head of a row (then also known as group norm). For inference.
/// </summary>
internal static class LayerNorm
{
    /// <summary>Normalises.</summary>
    /// <param name="tape">The step; it must not be recording.</param>
    /// <param name="x">[rows, columns].</param>
    /// <param name="gain">[columns].</param>
    /// <param name="bias">[columns].</param>
    /// <param name="epsilon">Added to the variance.</param>
    /// <param name="groups">Number of groups of neighbouring columns (heads) that are normalised each for itself.</param>
    /// <returns>[rows, columns].</returns>
    /// <exception cref="ArgumentException">The shapes do not fit together.</exception>
    public static Tensor Apply(Tape tape, Tensor x, Tensor gain, Tensor bias, float epsilon, int groups = 1)
    {
        InferenceOnly.Require(tape);
        var width = RmsNorm.Width(x, groups);
        if (gain.Shape != new Shape(x.Columns) || bias.Shape != gain.Shape)
        {
            throw new ArgumentException($"Gain and bias of an input {x.Shape} have the shape [{x.Columns}], not {gain.Shape} and {bias.Shape}.", nameof(gain));
        }

        var y = tape.NewTensor(x.Shape);
        tape.Device.LayerNormalise(x.Data, gain.Data, bias.Data, x.Rows, x.Columns, width, epsilon, y.Data);
        return y;
    }
}
