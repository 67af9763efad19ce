using Loci.Reference;
using Xunit;

namespace Loci.Tests.ReferenceTests;

public sealed class DeepMemoryTests
{
    private const int Size = 3;
    private const int Hidden = 5;
    private const int Tokens = 11;

    private static readonly DeepMemoryOptions titans = new(InnerLoss.SquaredError);
    private static readonly DeepMemoryOptions deepLinear = new(InnerLoss.InnerProduct);

    [Theory]
    [InlineData(InnerLoss.SquaredError, true, false)]
    [InlineData(InnerLoss.SquaredError, false, true)]
    [InlineData(InnerLoss.InnerProduct, true, true)]
    [InlineData(InnerLoss.InnerProduct, false, false)]
    public void Written_out_gradients_are_those_of_the_loss(InnerLoss loss, bool normalize, bool approximateGelu)
    {
        var options = new DeepMemoryOptions(loss) { Normalize = normalize, ApproximateGelu = approximateGelu, GradientClip = null };
        var tape = new RealTape();
        Real[,] w1 = tape.Variables(Samples.Normal(Size * Hidden, 1), Size, Hidden);
        Real[,] w2 = tape.Variables(Samples.Normal(Hidden * Size, 2), Hidden, Size);
        Real[] gain = Reals(3), k = Reals(4), v = Reals(5);
        RealGradient expected = tape.Gradient(DeepNetwork.Loss(DeepNetwork.Forward([w1, w2], gain, k, options), v, loss));
        Real[][,] g = DeepNetwork.Gradient([w1, w2], gain, k, v, options);
        (Real[,] g1, Real[,] g2) = (g[0], g[1]);
        Assert.Equal(expected.Of(w1), Matrix.Values(g1), Close);
        Assert.Equal(expected.Of(w2), Matrix.Values(g2), Close);

        foreach ((Real[,] full, Real[,] clipped) in new[]
        {
            (g1, DeepNetwork.Gradient([w1, w2], gain, k, v, options with { GradientClip = 0.01 })[0]),
            (g2, DeepNetwork.Gradient([w1, w2], gain, k, v, options with { GradientClip = 0.01 })[1]),
        })
        {
            double norm = Math.Sqrt(Matrix.Values(full).Sum(x => x * x));
            Assert.True(norm > 0.01);
            Assert.Equal(Array.ConvertAll(Matrix.Values(full), x => x * 0.01 / norm), Matrix.Values(clipped), Close);
        }
    }

    [Theory]
    [InlineData(1)]
    [InlineData(3)]
    [InlineData(4)]
    public void Chunks_have_the_closed_form_of_the_two_recurrences(int chunk)
    {
        // W_t = A_t W_0 + B_t S_0 - sum_j c_tj G_j, all G_j at the weights W_0 the chunk started with.
        var x = Sample.Make(1);
        DeepMemoryOptions options = titans with { ChunkLength = chunk };
        DeepMemory memory = x.Memory(0, options);
        var history = new MemoryHistory(memory);
        Real[][] k = Sequences.Head(x.K, 1, 0, 0, Tokens), v = Sequences.Head(x.V, 1, 0, 0, Tokens);
        Real[,] start = x.Parameters.Weights[0][0], momentum = new Real[Size, Hidden];
        Real[,] second = x.Parameters.Weights[0][1];
        for (int first = 0; first < Tokens; first += chunk)
        {
            int end = Math.Min(first + chunk, Tokens);
            var gradients = Enumerable.Range(first, end - first)
                .Select(j => DeepNetwork.Gradient([start, second], x.Parameters.Gain![0], k[j], v[j], options)[0]).ToArray();
            Real[,] weights = start, s = momentum;
            for (int t = first; t < end; t++)
            {
                double Keep(int from, int to) => Math.Exp(Enumerable.Range(from + 1, to - from).Sum(i => x.Gates.LogDecay![i, 0].Value));
                double Carry(int from, int to) => Enumerable.Range(from + 1, to - from).Aggregate(1.0, (p, i) => p * x.Gates.Momentum![i, 0].Value);
                double a = Keep(first - 1, t);
                double b = Enumerable.Range(first, t - first + 1).Sum(i => Keep(i, t) * Carry(first - 1, i));
                weights = Matrix.Add(Matrix.Map(start, y => a * y), Matrix.Map(momentum, y => b * y));
                s = Matrix.Map(momentum, y => Carry(first - 1, t) * y);
                for (int j = first; j <= t; j++)
                {
                    double c = x.Gates.LearningRate[j, 0].Value * Enumerable.Range(j, t - j + 1).Sum(i => Keep(i, t) * Carry(j, i));
                    double d = x.Gates.LearningRate[j, 0].Value * Carry(j, t);
                    weights = Matrix.Add(weights, Matrix.Map(gradients[j - first], y => -c * y));
                    s = Matrix.Add(s, Matrix.Map(gradients[j - first], y => -d * y));
                }

                Assert.Equal(Matrix.Values(weights), Matrix.Values(history.Written(0, t + 1).Weights[0]), Close);
            }

            (start, momentum) = (weights, s);
            second = history.Written(0, end).Weights[1];
        }
    }

    [Fact]
    public void Identity_12_a_small_write_lowers_its_own_loss()
    {
        foreach (DeepMemoryOptions options in new[] { titans, deepLinear })
        {
            for (int seed = 1; seed <= 20; seed++)
            {
                var x = Sample.Make(1, seed);
                Real[] k = Sequences.Head(x.K, 1, 0, 0, 1)[0], v = Sequences.Head(x.V, 1, 0, 0, 1)[0];
                Real[] rate = [1e-3];
                var memory = new DeepMemory([k], [v], x.Parameters.Weights[0], x.Parameters.Gain![0], rate, null, null, options);
                double before = DeepNetwork.Loss(memory.Read(memory.Initial.Weights, k), v, options.Loss).Value;
                double after = DeepNetwork.Loss(memory.Read(memory.Write(memory.Initial, 0).Weights, k), v, options.Loss).Value;
                Assert.True(after < before, $"seed {seed}: {before:R} became {after:R}");
            }
        }
    }

    [Fact]
    public void Identities_1_and_3_hold()
    {
        var x = Sample.Make(2);
        foreach (SegmentStart start in Enum.GetValues<SegmentStart>())
        {
            var one = new CachedMemoryOptions(new ConstantSegmentation(64), start, Aggregation.None);
            foreach (Aggregation aggregation in Enum.GetValues<Aggregation>())
            {
                Assert.Equal(x.Run(titans, one), x.Run(titans, one with { Aggregation = aggregation }), Close);
            }

            var all = new CachedMemoryOptions(new LogarithmicSegmentation(1), start, Aggregation.GatedResidual);
            Assert.Equal(x.Run(titans, all), x.Run(titans, all with { Aggregation = Aggregation.SparseSelective, SelectedSegments = 9 }));
            Assert.NotEqual(x.Run(titans, all), x.Run(titans, all with { Aggregation = Aggregation.MemorySoup }));
        }
    }

    [Fact]
    public void Identity_7_layer_by_layer_soup_is_the_soup_of_weights()
    {
        // z = sum_i g_i W_2 q ; o = sum_i g_i W_1 gelu(z) ; y = q + LN(o)
        var x = Sample.Make(1);
        DeepMemory memory = x.Memory(0, titans);
        var history = new MemoryHistory(memory);
        MemoryState[] states = [history.Written(0, 4), history.Written(4, 8), history.Written(8, 10)];
        Real[] logits = [0.3, -0.4, 1.1];
        Real[] gates = Softmax.Forward(logits);
        Real[] q = Reals(8);
        Real[] z = Sum(i => Matrix.Product(states[i].Weights[1], q));
        Real[] o = Sum(i => Matrix.Product(states[i].Weights[0], Array.ConvertAll(z, Real.Gelu)));
        Real[] n = LayerNorm.Normalize(o, titans.NormalizationEpsilon).Normalized;
        double[] expected = [.. Enumerable.Range(0, Size).Select(i => (q[i] + x.Parameters.Gain![0][i] * n[i]).Value)];
        Assert.Equal(expected, Matrix.Values(MemorySoup.Read(memory, states, logits, q)), Close);

        Real[] Sum(Func<int, Real[]> read) => Enumerable.Range(0, 3)
            .Select(i => Array.ConvertAll(read(i), y => gates[i] * y))
            .Aggregate((a, b) => [.. a.Zip(b, (left, right) => left + right)]);
    }

    [Theory]
    [InlineData(1)]
    [InlineData(2)]
    public void Identity_9_a_prefix_gives_the_prefix_of_the_outputs(int chunk)
    {
        var x = Sample.Make(2);
        foreach (Segmentation segmentation in new Segmentation[] { new ConstantSegmentation(4), new LogarithmicSegmentation(2) })
        {
            foreach (SegmentStart start in Enum.GetValues<SegmentStart>())
            {
                foreach (Aggregation aggregation in Enum.GetValues<Aggregation>())
                {
                    var options = new CachedMemoryOptions(segmentation, start, aggregation) { SelectedSegments = 1 };
                    double[] whole = x.Run(titans with { ChunkLength = chunk }, options);
                    for (int rows = 1; rows < Tokens; rows++)
                    {
                        Assert.Equal(whole[..(rows * 2 * Size)], x.Take(rows).Run(titans with { ChunkLength = chunk }, options));
                    }
                }
            }
        }
    }

    [Fact]
    public void Gradients_through_the_writes_match_finite_differences()
    {
        foreach (DeepMemoryOptions memory in new[] { titans with { ChunkLength = 2 }, titans with { GradientClip = 0.5 }, deepLinear with { Normalize = false } })
        {
            foreach (Aggregation aggregation in Enum.GetValues<Aggregation>())
            {
                foreach (SegmentStart start in Enum.GetValues<SegmentStart>())
                {
                    var options = new CachedMemoryOptions(new ConstantSegmentation(2), start, aggregation) { SelectedSegments = 1 };
                    FiniteDifferences.Check(
                        [(5, 3), (5, 3), (5, 3), (5, 3), (3, 4), (4, 3), (1, 3), (5, 1), (5, 1), (5, 1)],
                        x => CachedMemory.Forward(
                            x[0],
                            x[1],
                            x[2],
                            x[3],
                            new DeepMemoryParameters([[x[4], x[5]]], [Matrix.Flatten(x[6])]),
                            new DeepMemoryGates(
                                Activation.Sigmoid(x[7]), Matrix.Map(x[8], y => -Real.Softplus(y)), Activation.Sigmoid(x[9])),
                            memory,
                            null,
                            options,
                            1,
                            [0]),
                        seed: 5,
                        step: 1e-4,
                        tolerance: 1e-6);
                }
            }
        }
    }

    [Fact]
    public void Every_parameter_gets_a_gradient_and_outputs_depend_on_the_query()
    {
        var x = Sample.Make(1);
        foreach (DeepMemoryOptions memory in new[] { titans, deepLinear })
        {
            foreach (Aggregation aggregation in Enum.GetValues<Aggregation>())
            {
                var tape = new RealTape();
                Real[,] q = Vary(tape, x.Q), k = Vary(tape, x.K), v = Vary(tape, x.V);
                Real[,] w1 = Vary(tape, x.Parameters.Weights[0][0]), w2 = Vary(tape, x.Parameters.Weights[0][1]);
                Real[] gain = tape.Variables(Matrix.Values(x.Parameters.Gain![0]));
                var gates = new DeepMemoryGates(Vary(tape, x.Gates.LearningRate), Vary(tape, x.Gates.LogDecay!), Vary(tape, x.Gates.Momentum!));
                Real[,] y = CachedMemory.Forward(
                    q,
                    k,
                    v,
                    x.U,
                    new DeepMemoryParameters([[w1, w2]], [gain]),
                    gates,
                    memory,
                    null,
                    new CachedMemoryOptions(new ConstantSegmentation(4), SegmentStart.Checkpoint, aggregation),
                    1,
                    [0]);
                RealGradient gradient = tape.Gradient(FiniteDifferences.WeightedSum(y));
                foreach (Real[,] input in new[] { q, k, v, w1, w2, gates.LearningRate, gates.LogDecay! })
                {
                    Assert.DoesNotContain(0, gradient.Of(input));
                }

                Assert.DoesNotContain(0, gradient.Of(gain));

                // The first token has no momentum to carry.
                Assert.DoesNotContain(0, gradient.Of(gates.Momentum!)[1..]);
            }
        }
    }

    private static Real[,] Vary(RealTape tape, Real[,] x) => tape.Variables(Matrix.Values(x), x.GetLength(0), x.GetLength(1));

    private static Real[] Reals(int seed) => Array.ConvertAll(Samples.Normal(Size, seed), x => (Real)x);

    private static bool Close(double a, double b) => Math.Abs(a - b) <= 1e-11 * (1 + Math.Abs(a));

    private sealed record Sample(
        int Heads, Real[,] Q, Real[,] K, Real[,] V, Real[,] U, DeepMemoryParameters Parameters, DeepMemoryGates Gates)
    {
        public static Sample Make(int heads, int seed = 1) => new(
            heads,
            Samples.Matrix(Tokens, heads * Size, 10 * seed + 1),
            Samples.Matrix(Tokens, heads * Size, 10 * seed + 2),
            Samples.Matrix(Tokens, heads * Size, 10 * seed + 3),
            Samples.Matrix(Tokens, heads * Size, 10 * seed + 4),
            new DeepMemoryParameters(
                [.. Enumerable.Range(0, heads).Select(head => new[] { Samples.Matrix(Size, Hidden, 10 * seed + 50 + head), Samples.Matrix(Hidden, Size, 10 * seed + 60 + head) })],
                [.. Enumerable.Range(0, heads).Select(head => Reals(10 * seed + 70 + head))]),
            new DeepMemoryGates(
                Activation.Sigmoid(Samples.Matrix(Tokens, heads, 10 * seed + 5)),
                Matrix.Map(Samples.Matrix(Tokens, heads, 10 * seed + 6), x => -Real.Softplus(x - 2)),
                Activation.Sigmoid(Samples.Matrix(Tokens, heads, 10 * seed + 7))));

        public DeepMemory Memory(int head, DeepMemoryOptions options) => new(
            Sequences.Head(K, Heads, head, 0, Tokens),
            Sequences.Head(V, Heads, head, 0, Tokens),
            Parameters.Weights[head],
            Parameters.Gain![head],
            Sequences.Gate(Gates.LearningRate, head, 0, Tokens)!,
            Sequences.Gate(Gates.LogDecay, head, 0, Tokens),
            Sequences.Gate(Gates.Momentum, head, 0, Tokens),
            options);

        public double[] Run(DeepMemoryOptions memory, CachedMemoryOptions options) =>
            Matrix.Values(CachedMemory.Forward(Q, K, V, U, Parameters, Gates, memory, null, options, Heads, [0]));

        public Sample Take(int rows) => this with
        {
            Q = First(Q, rows),
            K = First(K, rows),
            V = First(V, rows),
            U = First(U, rows),
            Gates = new DeepMemoryGates(First(Gates.LearningRate, rows), First(Gates.LogDecay!, rows), First(Gates.Momentum!, rows)),
        };

        private static Real[,] First(Real[,] x, int rows) =>
            Matrix.FromRows(Matrix.Flatten(x).AsSpan(0, rows * x.GetLength(1)), rows, x.GetLength(1));
    }
}
