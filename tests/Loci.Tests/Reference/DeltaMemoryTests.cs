using Loci.Reference;
using Xunit;

namespace Loci.Tests.ReferenceTests;

public sealed class DeltaMemoryTests
{
    private const int Tokens = 7;

    [Fact]
    public void A_full_write_replaces_the_value_of_its_key()
    {
        Real[][] k = Array.ConvertAll(Vectors(3, 1), key => L2Norm.Normalize(key, 0)), v = Vectors(2, 2);
        k[4] = k[1];
        var memory = new DeltaMemory(k, v, Constant(1), Constant(-0.1));
        Real[] read = memory.Read(new MemoryHistory(memory).Written(0, 5).Weights, k[1]);
        for (int i = 0; i < 2; i++)
        {
            Assert.Equal(v[4][i].Value, read[i].Value, 1e-14);
        }
    }

    [Fact]
    public void Without_writes_only_the_decay_is_left()
    {
        Real[][] k = Vectors(3, 1), v = Vectors(2, 2);
        var initial = Samples.Matrix(2, 3, 9);
        Real[,] state = new MemoryHistory(new DeltaMemory(k, v, Constant(0), Constant(-0.2), initial)).Written(0, 3).Weights[0];
        for (int i = 0; i < 2; i++)
        {
            for (int j = 0; j < 3; j++)
            {
                Assert.Equal(Math.Exp(-0.6) * initial[i, j].Value, state[i, j].Value, 1e-14);
            }
        }
    }

    [Fact]
    public void Orthogonal_keys_are_written_as_by_linear_attention()
    {
        Real[][] k = [[1, 0, 0], [0, 1, 0], [0, 0, 1]], v = Vectors(2, 2)[..3];
        Real[] beta = [0.3, 0.6, 0.9], decay = [-0.3, -0.2, -0.1];
        Assert.Equal(
            Matrix.Values(new MemoryHistory(new MatrixMemory(k, v, decay, l: beta)).Written(0, 3).Weights[0]),
            Matrix.Values(new MemoryHistory(new DeltaMemory(k, v, beta, decay)).Written(0, 3).Weights[0]));
    }

    [Fact]
    public void Vector_gates_of_one_value_are_a_scalar_gate()
    {
        Real[][] k = Vectors(3, 1), v = Vectors(2, 2);
        Real[] decay = Array.ConvertAll(Samples.Normal(Tokens, 4), x => (Real)(-Math.Abs(x)));
        Real[][] vectors = Array.ConvertAll(decay, x => new[] { x, x, x });
        Assert.Equal(
            Matrix.Values(new MemoryHistory(new MatrixMemory(k, v, decay)).Written(0, Tokens).Weights[0]),
            Matrix.Values(new MemoryHistory(new VectorGatedMemory(k, v, vectors)).Written(0, Tokens).Weights[0]));
    }

    private static Real[] Constant(double value) => [.. Enumerable.Repeat((Real)value, Tokens)];

    private static Real[][] Vectors(int size, int seed) => Sequences.Head(Samples.Matrix(Tokens, size, seed), 1, 0, 0, Tokens);
}
