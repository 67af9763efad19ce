using Loci.Reference;
using Xunit;

namespace Loci.Tests.ReferenceTests;

public sealed class MatrixMemoryTests
{
    private const int Tokens = 7;

    [Fact]
    public void Reads_are_the_weighted_sum_over_all_writes()
    {
        Real[][] q = Vectors(3, 1), k = Vectors(3, 2), v = Vectors(2, 3);
        Real[] logDecay = Array.ConvertAll(Samples.Normal(Tokens, 4), x => (Real)(-Math.Abs(x)));
        Real[] b = Array.ConvertAll(Samples.Normal(Tokens, 5), x => (Real)x);
        Real[] l = Array.ConvertAll(Samples.Normal(Tokens, 6), x => (Real)x);
        double Decay(int from, int to) => Math.Exp(Enumerable.Range(from + 1, to - from).Sum(i => logDecay[i].Value));

        // The weight that token t's read gives to the pair written by token j.
        CheckReads(q, k, v, new MatrixMemory(k, v), (t, j) => 1);
        CheckReads(q, k, v, new MatrixMemory(k, v, logDecay), (t, j) => Decay(j, t));
        CheckReads(
            q, k, v, new MatrixMemory(k, v, logDecay, b, l), (t, j) => Decay(j, t) * l[j].Value + (j < t ? Decay(j + 1, t) * b[j + 1].Value : 0));
    }

    [Fact]
    public void An_initial_state_decays_with_the_rest()
    {
        Real[][] k = Vectors(3, 2), v = Vectors(2, 3);
        var initial = Samples.Matrix(2, 3, 9);
        Real[] logDecay = [-0.1, -0.2, -0.3, -0.4, -0.5, -0.6, -0.7];
        Real[,] with = new MemoryHistory(new MatrixMemory(k, v, logDecay, initial: initial)).Written(0, 3).Weights[0];
        Real[,] without = new MemoryHistory(new MatrixMemory(k, v, logDecay)).Written(0, 3).Weights[0];
        for (int i = 0; i < 2; i++)
        {
            for (int j = 0; j < 3; j++)
            {
                Assert.Equal(Math.Exp(-0.6) * initial[i, j].Value, with[i, j].Value - without[i, j].Value, 1e-14);
            }
        }
    }

    [Fact]
    public void The_window_does_not_reach_across_the_start_of_a_run()
    {
        Real[][] k = Vectors(3, 2), v = Vectors(2, 3);
        Real[] b = [1, 2, 3, 4, 5, 6, 7];
        Real[,] state = new MemoryHistory(new MatrixMemory(k, v, b: b)).Written(2, 3).Weights[0];
        for (int i = 0; i < 2; i++)
        {
            for (int j = 0; j < 3; j++)
            {
                Assert.Equal(v[2][i].Value * k[2][j].Value, state[i, j].Value);
            }
        }
    }

    private static void CheckReads(Real[][] q, Real[][] k, Real[][] v, MatrixMemory memory, Func<int, int, double> weight)
    {
        var history = new MemoryHistory(memory);
        for (int t = 0; t < Tokens; t++)
        {
            Real[] y = memory.Read(history.Written(0, t + 1).Weights, q[t]);
            for (int i = 0; i < y.Length; i++)
            {
                double expected = Enumerable.Range(0, t + 1).Sum(j => weight(t, j) * Matrix.Dot(q[t], k[j]).Value * v[j][i].Value);
                Assert.Equal(expected, y[i].Value, 1e-12);
            }
        }
    }

    private static Real[][] Vectors(int size, int seed) => Sequences.Head(Samples.Matrix(Tokens, size, seed), 1, 0, 0, Tokens);
}
