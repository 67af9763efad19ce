using Loci.Reference;
using Xunit;

namespace Loci.Tests.ReferenceTests;

public sealed class OperationTests
{
    private static readonly int[] starts = [0, 1, 4];

    [Fact]
    public void Every_operation_has_the_gradient_of_its_forward()
    {
        FiniteDifferences.Check([(3, 4), (5, 4), (1, 5)], x => Linear.Forward(x[0], x[1], Matrix.Flatten(x[2])));
        FiniteDifferences.Check([(4, 3)], x => Embedding.Forward(x[0], [2, 0, 2, 3]));
        FiniteDifferences.Check([(3, 4), (1, 4)], x => RmsNorm.Forward(x[0], Matrix.Flatten(x[1]), 1e-6));
        FiniteDifferences.Check([(3, 6), (1, 3)], x => RmsNorm.PerHead(x[0], Matrix.Flatten(x[1]), 2, 1e-6));
        FiniteDifferences.Check([(3, 4), (1, 4), (1, 4)], x => LayerNorm.Forward(x[0], Matrix.Flatten(x[1]), Matrix.Flatten(x[2]), 1e-5));
        FiniteDifferences.Check([(3, 4), (5, 4), (5, 4), (4, 5)], x => SwiGlu.Forward(x[0], x[1], x[2], x[3]));
        FiniteDifferences.Check([(7, 3), (3, 4), (1, 3)], x => CausalConvolution.Forward(x[0], x[1], starts, Matrix.Flatten(x[2])));
        FiniteDifferences.Check([(3, 6)], x => L2Norm.Forward(x[0], 2, 1e-6));
        FiniteDifferences.Check([(7, 8)], x => Rotary.Forward(x[0], 2, starts));
        FiniteDifferences.Check([(7, 6), (7, 6), (7, 4)], x => CausalAttention.Forward(x[0], x[1], x[2], 2, starts));
        FiniteDifferences.Check([(4, 5)], x => new[,] { { CrossEntropy.Forward(x[0], [3, -1, 0, 4]) } });
        FiniteDifferences.Check([(2, 2)], x => Dropout.Forward(x[0], new[,] { { true, false }, { false, true } }, 0.2));
    }

    [Fact]
    public void Norms_give_what_they_promise()
    {
        Real[,] x = Samples.Matrix(2, 6, 3);
        Real[,] unit = L2Norm.Forward(x, 2, 0);
        Real[,] rms = RmsNorm.PerHead(x, null, 2, 0);
        Real[,] layer = LayerNorm.Forward(x, null, null, 0);
        for (int row = 0; row < 2; row++)
        {
            for (int head = 0; head < 2; head++)
            {
                Assert.Equal(1, Enumerable.Range(3 * head, 3).Sum(i => Square(unit[row, i])), 1e-14);
                Assert.Equal(1, Enumerable.Range(3 * head, 3).Average(i => Square(rms[row, i])), 1e-14);
            }

            Assert.Equal(0, Enumerable.Range(0, 6).Average(i => layer[row, i].Value), 1e-14);
            Assert.Equal(1, Enumerable.Range(0, 6).Average(i => Square(layer[row, i])), 1e-14);
        }
    }

    [Fact]
    public void Convolution_starts_afresh_at_every_sequence()
    {
        Real[,] x = Matrix.Constants([1.0, 10, 100, 1000, 10000], 5, 1);
        Real[,] y = CausalConvolution.Forward(x, Matrix.Constants([1.0, 2.0, 3.0], 1, 3), [0, 3]);
        Assert.Equal([3.0, 32, 321, 3000, 32000], Matrix.Values(y));
    }

    [Theory]
    [InlineData(RotaryLayout.HalfSplit)]
    [InlineData(RotaryLayout.Interleaved)]
    public void Rotary_scores_depend_on_the_distance_only(RotaryLayout layout)
    {
        Real[,] one = Samples.Matrix(1, 8, 5);
        var x = new Real[6, 8];
        for (int row = 0; row < 6; row++)
        {
            for (int i = 0; i < 8; i++)
            {
                x[row, i] = one[0, i];
            }
        }

        Real[][] turned = Sequences.Head(Rotary.Forward(x, 1, [0], layout: layout), 1, 0, 0, 6);
        Assert.Equal(Matrix.Dot(turned[0], turned[2]).Value, Matrix.Dot(turned[3], turned[5]).Value, 1e-12);
        Assert.NotEqual(Matrix.Dot(turned[0], turned[2]).Value, Matrix.Dot(turned[0], turned[3]).Value, 1e-3);
    }

    [Fact]
    public void Rotary_layouts_turn_their_own_pairs()
    {
        Real[,] x = Matrix.Constants([0.0, 0, 0, 0, 1, 0, 0, 0], 2, 4);
        Assert.Equal([Math.Cos(1), 0, Math.Sin(1), 0], Matrix.Values(Rotary.Forward(x, 1, [0]))[4..]);
        Assert.Equal([Math.Cos(1), Math.Sin(1), 0, 0], Matrix.Values(Rotary.Forward(x, 1, [0], layout: RotaryLayout.Interleaved))[4..]);
    }

    [Fact]
    public void Attention_to_equal_keys_is_the_running_mean_of_one_sequence()
    {
        Real[,] k = Matrix.Map(new Real[4, 2], _ => 1);
        Real[,] y = CausalAttention.Forward(Samples.Matrix(4, 2, 1), k, Matrix.Constants([1.0, 3, 10, 30], 4, 1), 1, [0, 2]);
        Assert.Equal([1.0, 2, 10, 20], Matrix.Values(y), Close);
    }

    [Fact]
    public void Attention_shares_keys_among_grouped_heads()
    {
        Real[,] q = Samples.Matrix(5, 8, 1);
        Real[,] k = Samples.Matrix(5, 4, 2);
        Real[,] v = Samples.Matrix(5, 4, 3);
        var repeatedK = new Real[5, 8];
        var repeatedV = new Real[5, 8];
        for (int row = 0; row < 5; row++)
        {
            for (int i = 0; i < 8; i++)
            {
                repeatedK[row, i] = k[row, i / 4 * 2 + i % 2];
                repeatedV[row, i] = v[row, i / 4 * 2 + i % 2];
            }
        }

        Assert.Equal(
            Matrix.Values(CausalAttention.Forward(q, repeatedK, repeatedV, 4, [0])),
            Matrix.Values(CausalAttention.Forward(q, k, v, 4, [0], keyValueHeads: 2)));
    }

    [Fact]
    public void Cross_entropy_counts_only_given_targets()
    {
        Real[,] logits = Matrix.Constants([0.0, 0, 1000, 0, 0, Math.Log(3)], 3, 2);
        Assert.Equal((Math.Log(2) + Math.Log(4)) / 2, CrossEntropy.Forward(logits, [1, -1, 0]).Value, 1e-14);
        Assert.Equal(1000, CrossEntropy.Forward(logits, [-1, 1, -1]).Value, 1e-10);
        Assert.Equal(0, CrossEntropy.Forward(logits, [-1, -1, -1]).Value);
    }

    [Fact]
    public void AdamW_first_step_is_the_sign_of_the_gradient_and_decay_is_apart()
    {
        double[][] parameters = [[1.0, -2.0], [4.0]];
        var optimizer = new AdamW(epsilon: 0);
        optimizer.Step(parameters, [[0.5, -3], [0]], 0.1, [0, 0.5]);
        Assert.Equal([0.9, -1.9], parameters[0], Close);

        // 0 / 0: a parameter that never had a gradient needs epsilon.
        Assert.True(double.IsNaN(parameters[1][0]));
        double[][] decayed = [[4.0]];
        new AdamW().Step(decayed, [[0]], 0.1, [0.5]);
        Assert.Equal(3.8, decayed[0][0], 1e-14);
    }

    [Fact]
    public void AdamW_second_step_by_hand()
    {
        double[][] parameters = [[1.0]];
        var optimizer = new AdamW(0.9, 0.95, 1e-8);
        optimizer.Step(parameters, [[2]], 0.01, [0.1]);
        optimizer.Step(parameters, [[-1]], 0.01, [0.1]);
        double afterFirst = 1 * (1 - 0.001) - 0.01 * 2 / (2 + 1e-8);
        double mean = (0.9 * 0.2 - 0.1) / (1 - 0.81);
        double square = (0.95 * 0.2 + 0.05) / (1 - 0.9025);
        Assert.Equal(afterFirst * (1 - 0.001) - 0.01 * mean / (Math.Sqrt(square) + 1e-8), parameters[0][0], 1e-14);
    }

    [Fact]
    public void Clipping_scales_all_gradients_by_one_factor()
    {
        double[][] gradients = [[3.0], [0, 4.0]];
        Assert.Equal(5, AdamW.ClipGlobalNorm(gradients, 10));
        Assert.Equal([3.0], gradients[0]);
        Assert.Equal(5, AdamW.ClipGlobalNorm(gradients, 1));
        Assert.Equal([0.6], gradients[0], Close);
        Assert.Equal([0, 0.8], gradients[1], Close);
    }

    private static bool Close(double a, double b) => Math.Abs(a - b) <= 1e-13 * (1 + Math.Abs(a));

    private static double Square(Real x) => x.Value * x.Value;
}
