namespace Loci.Numerics.Operations;

/// <summary>
/// Dropout: while training every element is zero with a given probability, and else divided by the probability of staying. The mask is a function of the tape's
/// seed, the number of the mask within the step and the element, so it is computed again in the backward pass rather than kept.
/// </summary>
public static class Dropout
{
    /// <summary>Drops elements; returns <paramref name="x"/> itself outside training or with probability 0.</summary>
    /// <param name="tape">The step.</param>
    /// <param name="x">Any shape.</param>
    /// <param name="probability">Of an element being dropped, in [0, 1).</param>
    public static Tensor Apply(Tape tape, Tensor x, float probability)
    {
        ArgumentNullException.ThrowIfNull(tape);
        ArgumentNullException.ThrowIfNull(x);
        RequireProbability(probability);
        return tape.IsTraining && probability > 0 ? Run(tape, null, x, probability) : x;
    }

    /// <summary>residual + dropout(branch) in one pass; the plain sum outside training or with probability 0.</summary>
    /// <param name="tape">The step.</param>
    /// <param name="residual">Any shape.</param>
    /// <param name="branch">The shape of the residual.</param>
    /// <param name="probability">Of an element of the branch being dropped, in [0, 1).</param>
    /// <exception cref="ArgumentException">The shapes differ.</exception>
    public static Tensor Add(Tape tape, Tensor residual, Tensor branch, float probability)
    {
        ArgumentNullException.ThrowIfNull(tape);
        ArgumentNullException.ThrowIfNull(residual);
        ArgumentNullException.ThrowIfNull(branch);
        RequireProbability(probability);
        return residual.Shape == branch.Shape
            ? Run(tape, residual, branch, tape.IsTraining ? probability : 0)
            : throw new ArgumentException($"A residual of shape {residual.Shape} and a branch of shape {branch.Shape} cannot be added.", nameof(branch));
    }

    private static void RequireProbability(float probability)
    {
        if (!(probability is >= 0 and < 1))
        {
            throw new ArgumentOutOfRangeException(nameof(probability), $"A dropout probability lies in [0, 1), not at {probability}.");
        }
    }

    private static Tensor Run(Tape tape, Tensor? residual, Tensor x, float probability)
    {
        var record = tape.IsRecording && (x.RequiresGradient || residual is { RequiresGradient: true });
        var key = probability > 0 ? Key(tape.DropoutSeed, tape.DropoutCount++) : 0;
        var y = tape.NewOutput(x.Shape, record);
        tape.Device.Dropout(x.Data, residual?.Data ?? default, probability, key, y.Data);
        if (record)
        {
            var node = tape.Record<Node>();
            node.Residual = residual;
            node.X = x;
            node.Probability = probability;
            node.Key = key;
            node.Output = y;
        }

        return y;
    }

    /// <summary>A key per mask: SplitMix64 (Steele, Lea and Flood, 2014) at the mask's place in the seed's sequence.</summary>
    private static ulong Key(ulong seed, int mask)
    {
        var value = seed + (0x9E3779B97F4A7C15UL * ((ulong)mask + 1));
        value = (value ^ (value >> 30)) * 0xBF58476D1CE4E5B9UL;
        value = (value ^ (value >> 27)) * 0x94D049BB133111EBUL;
        return value ^ (value >> 31);
    }

    private sealed class Node : TapeNode
    {
        public Tensor? Residual { get; set; }

        public Tensor X { get; set; } = null!;

        public float Probability { get; set; }

        public ulong Key { get; set; }

        public override void Backward(Tape tape)
        {
            var dx = tape.GradientOf(X, out var accumulate);
            if (!dx.IsEmpty)
            {
                tape.Device.Dropout(Output.Gradient, accumulate ? dx : default, Probability, Key, dx);
            }

            if (Residual is not null)
            {
                tape.PassGradient(Output, Residual);
            }
        }
    }
}
