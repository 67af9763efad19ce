using Loci.Memory.Rules;
using Loci.Memory.Rules.Deep;
using Loci.Memory.Rules.ScalarGated;

using static Loci.Tests.Independent.Algebra;

namespace Loci.Tests.Independent;

/// <summary>What a memory of a head holds after a token: M as its matrices, and what only deep memories have beside them.</summary>
/// <param name="Matrices">The matrix, or those of the network, the one that is applied first in front.</param>
/// <param name="Momenta">S of each.</param>
/// <param name="AtChunkStart">The matrices that the open chunk began with.</param>
internal sealed record State(double[][,] Matrices, double[][,] Momenta, double[][,] AtChunkStart);

/// <summary>The memory of one head over a text: "Memories" in docs/models.md.</summary>
internal abstract class Memory
{
    private readonly Dictionary<int, List<State>> _states = [];

    /// <summary>The state before token <paramref name="end"/> of a memory that starts at <paramref name="begin"/>.</summary>
    public State Written(int begin, int end)
    {
        if (!_states.TryGetValue(begin, out var states))
        {
            _states.Add(begin, states = [Start()]);
        }

        while (states.Count <= end - begin)
        {
            states.Add(Write(states[^1], begin + states.Count - 1, begin));
        }

        return states[end - begin];
    }

    public abstract double[] Read(double[][,] matrices, double[] q);

    protected abstract State Start();

    /// <param name="before">The state before the token.</param>
    /// <param name="t">The token.</param>
    /// <param name="begin">The token that the memory starts with.</param>
    protected abstract State Write(State before, int t, int begin);
}

/// <summary>M_t of the table of matrix memories.</summary>
/// <param name="width">d.</param>
/// <param name="update">M_t of M_{t-1}, t and the token that the memory starts with.</param>
internal sealed class MatrixMemory(int width, Func<double[,], int, int, double[,]> update) : Memory
{
    public override double[] Read(double[][,] matrices, double[] q) => Product(matrices[0], q);

    protected override State Start() => new([new double[width, width]], [], []);

    protected override State Write(State before, int t, int begin) => new([update(before.Matrices[0], t, begin)], [], []);
}

/// <summary>"Deep memories" in docs/models.md.</summary>
internal sealed class DeepMemory : Memory
{
    public required double[][] K { get; init; }

    public required double[][] V { get; init; }

    /// <summary>M_0, the matrix that is applied to x first in front.</summary>
    public required double[][,] Initial { get; init; }

    /// <summary>g of the LN; null where there is none.</summary>
    public required double[]? Gain { get; init; }

    public required double Epsilon { get; init; }

    public required bool IsSquaredError { get; init; }

    public required double? Clip { get; init; }

    public required int ChunkLength { get; init; }

    public required Func<int, double> Rate { get; init; }

    public required Func<int, double> Decay { get; init; }

    public required Func<int, double> Momentum { get; init; }

    public override double[] Read(double[][,] matrices, double[] q) => Forward(matrices, q).Output;

    protected override State Start() => new(Initial, [.. Initial.Select(matrix => Times(0, matrix))], Initial);

    protected override State Write(State before, int t, int begin)
    {
        var atChunkStart = (t - begin) % ChunkLength == 0 ? before.Matrices : before.AtChunkStart;
        var gradients = Gradients(atChunkStart, K[t], V[t]);
        var momenta = before.Momenta.Zip(gradients, (s, g) => Plus(Times(Momentum(t), s), Times(-Rate(t), g))).ToArray();
        return new([.. before.Matrices.Zip(momenta, (w, s) => Plus(Times(Decay(t), w), s))], momenta, atChunkStart);
    }

    private (double[][] Inputs, double[][] Products, double[] Output) Forward(double[][,] matrices, double[] x)
    {
        var inputs = new double[matrices.Length][];
        var products = new double[matrices.Length][];
        for (var i = 0; i < matrices.Length; i++)
        {
            inputs[i] = i == 0 ? x : [.. products[i - 1].Select(Gelu)];
            products[i] = Product(matrices[i], inputs[i]);
        }

        var output = Gain is null ? products[^1] : Times(Gain, Normalized(products[^1]).Values);
        return (inputs, products, matrices.Length == 1 ? output : Plus(x, output));
    }

    private double[][,] Gradients(double[][,] matrices, double[] k, double[] v)
    {
        var (inputs, products, output) = Forward(matrices, k);
        var slope = IsSquaredError ? Times(2, Minus(output, v)) : Times(-1, v);
        if (Gain is not null)
        {
            slope = NormalizedBackward(products[^1], Times(Gain, slope));
        }

        var gradients = new double[matrices.Length][,];
        for (var i = matrices.Length - 1; i >= 0; i--)
        {
            gradients[i] = Clipped(Outer(slope, inputs[i]));
            if (i > 0)
            {
                slope = Times(Product(Transposed(matrices[i]), slope), [.. products[i - 1].Select(GeluSlope)]);
            }
        }

        return gradients;
    }

    private double[,] Clipped(double[,] gradient)
    {
        var norm = Math.Sqrt(gradient.Cast<double>().Sum(value => value * value));
        return Clip is { } most && norm > most ? Times(most / norm, gradient) : gradient;
    }

    private (double[] Values, double Deviation) Normalized(double[] z)
    {
        var mean = z.Average();
        var deviation = Math.Sqrt(z.Average(value => (value - mean) * (value - mean)) + Epsilon);
        return ([.. z.Select(value => (value - mean) / deviation)], deviation);
    }

    private double[] NormalizedBackward(double[] z, double[] slope)
    {
        // n_i = (z_i - mean) / deviation, and both depend on every z_j.
        var (n, deviation) = Normalized(z);
        var along = Times(n, slope).Average();
        return [.. slope.Select((value, i) => (value - slope.Average() - (n[i] * along)) / deviation)];
    }

    private static double Gelu(double z) => z * (1 + Erf(z / Math.Sqrt(2))) / 2;

    private static double GeluSlope(double z) => ((1 + Erf(z / Math.Sqrt(2))) / 2) + (z * Math.Exp(-z * z / 2) / Math.Sqrt(2 * Math.PI));
}
