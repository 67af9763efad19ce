namespace Loci.Numerics.Operations;

/// <summary>a * b + c, element by element. For inference.</summary>
internal static class MultiplyAdd
{
    /// <summary>Multiplies, and adds where there is something to add.</summary>
    /// <param name="tape">The step; it must not be recording.</param>
    /// <param name="a">Any shape, that of the others too.</param>
    /// <param name="b">The other factor.</param>
    /// <param name="c">What is added; null = 0.</param>
    /// <returns>The same shape.</returns>
    /// <exception cref="ArgumentException">The shapes differ.</exception>
    public static Tensor Apply(Tape tape, Tensor a, Tensor b, Tensor? c = null)
    {
        InferenceOnly.Require(tape);
        if (a.Shape != b.Shape || (c is not null && c.Shape != a.Shape))
        {
            throw new ArgumentException($"Factors {a.Shape} and {b.Shape} and a summand {c?.Shape ?? a.Shape} must have one shape.", nameof(b));
        }

        var y = tape.NewTensor(a.Shape);
        tape.Device.MultiplyAdd(a.Data, b.Data, c?.Data ?? default, y.Data);
        return y;
    }
}
