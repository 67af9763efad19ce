using Loci.Reference;
using Xunit;

namespace Loci.Tests.ReferenceTests;

/// <summary>The identities of the method (section 8) that matrix memories satisfy, on the reference itself.</summary>
public sealed class CachedMemoryTests
{
    private const int Heads = 2;
    private const int KeySize = 3;
    private const int ValueSize = 2;
    private const int Rows = 22;

    private static readonly int[] starts = [0, 9];
    private static readonly Real[] temperature = [1.3, 0.6];

    private static readonly SegmentStart[] bothStarts = [SegmentStart.Checkpoint, SegmentStart.Independent];

    private static readonly Aggregation[] gated = [Aggregation.GatedResidual, Aggregation.MemorySoup, Aggregation.SparseSelective];

    private static readonly Segmentation[] segmentations =
    [
        new ConstantSegmentation(4), new ConstantSegmentation(1), new LogarithmicSegmentation(2), new LogarithmicSegmentation(1),
    ];

    private static readonly Inputs linear = Inputs.Make(Rows, swla: false);
    private static readonly Inputs swla = Inputs.Make(Rows, swla: true);

    [Fact]
    public void Identity_1_one_segment_is_the_base_model()
    {
        foreach (SegmentStart start in bothStarts)
        {
            foreach (Segmentation whole in new Segmentation[] { new ConstantSegmentation(13), new LogarithmicSegmentation(16) })
            {
                double[] expected = swla.Run(new CachedMemoryOptions(new ConstantSegmentation(4), SegmentStart.Checkpoint, Aggregation.None));
                foreach (Aggregation aggregation in Enum.GetValues<Aggregation>())
                {
                    Assert.Equal(expected, swla.Run(new CachedMemoryOptions(whole, start, aggregation)));
                }
            }
        }
    }

    [Fact]
    public void Without_caching_independent_segments_forget()
    {
        double[] windowed = swla.Run(new CachedMemoryOptions(new ConstantSegmentation(4), SegmentStart.Independent, Aggregation.None));
        double[] running = swla.Run(new CachedMemoryOptions(new ConstantSegmentation(4), SegmentStart.Checkpoint, Aggregation.None));
        Assert.Equal(running[..(4 * Heads * ValueSize)], windowed[..(4 * Heads * ValueSize)]);
        double[] alone = swla.Take(4, 8).Run(new CachedMemoryOptions(new ConstantSegmentation(4), SegmentStart.Checkpoint, Aggregation.None), [0]);
        Assert.Equal(alone, windowed[(4 * Heads * ValueSize)..(8 * Heads * ValueSize)]);
    }

    [Fact]
    public void Identity_2_gated_residual_is_soup_for_matrix_memories() => ForAll((segmentation, start) =>
        AssertClose(
            swla.Run(new CachedMemoryOptions(segmentation, start, Aggregation.GatedResidual)),
            swla.Run(new CachedMemoryOptions(segmentation, start, Aggregation.MemorySoup))));

    [Fact]
    public void Identity_3_sparse_selection_of_all_segments_is_gated_residual() => ForAll((segmentation, start) =>
    {
        double[] all = swla.Run(new CachedMemoryOptions(segmentation, start, Aggregation.GatedResidual));
        AssertClose(all, swla.Run(new CachedMemoryOptions(segmentation, start, Aggregation.SparseSelective) { SelectedSegments = 12 }));
        double[] one = swla.Run(new CachedMemoryOptions(segmentation, start, Aggregation.SparseSelective) { SelectedSegments = 1 });
        Assert.NotEqual(all, one);
    });

    [Fact]
    public void Identity_4_residual_over_independent_linear_memories_is_linear_attention()
    {
        double[] expected = linear.Run(new CachedMemoryOptions(new ConstantSegmentation(64), SegmentStart.Checkpoint, Aggregation.None));
        foreach (Segmentation segmentation in segmentations)
        {
            AssertClose(expected, linear.Run(new CachedMemoryOptions(segmentation, SegmentStart.Independent, Aggregation.Residual)));
        }
    }

    [Fact]
    public void Identity_5_gated_residual_over_linear_memories_is_gated_linear_attention() => ForAll((segmentation, start) =>
    {
        foreach (SegmentDescription description in Enum.GetValues<SegmentDescription>())
        {
            foreach (bool shared in new[] { false, true })
            {
                var options = new CachedMemoryOptions(segmentation, start, Aggregation.GatedResidual)
                {
                    Description = description,
                    SharedGates = shared,
                    OnlineBias = 0.4,
                };
                AssertClose(GatedLinearAttention(linear, options), linear.Run(options));
            }
        }
    });

    [Fact]
    public void Keys_taken_as_normalised_are_summed_as_they_are()
    {
        var options = new CachedMemoryOptions(new ConstantSegmentation(4), SegmentStart.Independent, Aggregation.GatedResidual);
        Inputs unit = linear with { K = L2Norm.Forward(linear.K, Heads, 0) };
        AssertClose(unit.Run(options), unit.Run(options with { NormalizeKeys = false }));
        Assert.NotEqual(linear.Run(options), linear.Run(options with { NormalizeKeys = false }));
    }

    [Fact]
    public void Identity_6_segments_of_one_token_are_softmax_attention()
    {
        // (18-20): a memory that returns its one value whatever the query is, routed by the keys themselves.
        var options = new CachedMemoryOptions(new ConstantSegmentation(1), SegmentStart.Independent, Aggregation.GatedResidual)
        {
            Description = SegmentDescription.Sum,
        };
        double[] cached = Matrix.Values(CachedMemory.Forward(
            linear.Q, linear.K, linear.V, linear.U, [0.7, 0.7], options, Heads, starts, (_, _, _, _, values) => new ConstantMemory(values)));
        AssertClose(Matrix.Values(CausalAttention.Forward(linear.U, linear.K, linear.V, Heads, starts, 0.7)), cached);

        // With the matrix memory each weight of softmax attention meets the weight of linear attention.
        double[] weighted = linear.Run(options);
        foreach ((int start, int end) in Sequences.Ranges(starts, Rows))
        {
            for (int head = 0; head < Heads; head++)
            {
                Real[][] q = Sequences.Head(linear.Q, Heads, head, start, end), k = Sequences.Head(linear.K, Heads, head, start, end);
                Real[][] v = Sequences.Head(linear.V, Heads, head, start, end), u = Sequences.Head(linear.U, Heads, head, start, end);
                for (int t = 0; t < end - start; t++)
                {
                    double[] exponentials = [.. Enumerable.Range(0, t + 1).Select(j => Math.Exp(temperature[head].Value * Dot(u[t], k[j])))];
                    for (int i = 0; i < ValueSize; i++)
                    {
                        double expected = Enumerable.Range(0, t + 1)
                            .Sum(j => exponentials[j] / exponentials.Sum() * Dot(q[t], k[j]) * v[j][i].Value);
                        Assert.Equal(expected, weighted[(start + t) * Heads * ValueSize + head * ValueSize + i], 1e-12);
                    }
                }
            }
        }
    }

    [Fact]
    public void Identity_8_no_output_depends_on_a_later_token() => ForAll((segmentation, start) =>
    {
        foreach (Aggregation aggregation in Enum.GetValues<Aggregation>())
        {
            var options = new CachedMemoryOptions(segmentation, start, aggregation) { SelectedSegments = 2 };
            double[] before = swla.Run(options);
            for (int changed = 1; changed < Rows; changed += 3)
            {
                double[] after = swla.Changed(changed).Run(options);
                Assert.Equal(before[..(changed * Heads * ValueSize)], after[..(changed * Heads * ValueSize)]);
                Assert.NotEqual(
                    before[(changed * Heads * ValueSize)..((changed + 1) * Heads * ValueSize)],
                    after[(changed * Heads * ValueSize)..((changed + 1) * Heads * ValueSize)]);
            }
        }
    });

    [Fact]
    public void Identity_9_a_prefix_gives_the_prefix_of_the_outputs() => ForAll((segmentation, start) =>
    {
        foreach (Aggregation aggregation in Enum.GetValues<Aggregation>())
        {
            var options = new CachedMemoryOptions(segmentation, start, aggregation) { SelectedSegments = 2 };
            double[] whole = swla.Run(options, [0]);
            for (int rows = 1; rows < Rows; rows++)
            {
                Assert.Equal(whole[..(rows * Heads * ValueSize)], swla.Take(0, rows).Run(options, [0]));
            }
        }
    });

    [Fact]
    public void Sequences_do_not_see_each_other() => ForAll((segmentation, start) =>
    {
        foreach (Aggregation aggregation in gated)
        {
            var options = new CachedMemoryOptions(segmentation, start, aggregation);
            double[] together = swla.Run(options);
            Assert.Equal([.. swla.Take(0, 9).Run(options, [0]), .. swla.Take(9, Rows).Run(options, [0])], together);
        }
    });

    [Fact]
    public void A_large_online_bias_gives_the_base_model()
    {
        double[] expected = swla.Run(new CachedMemoryOptions(new ConstantSegmentation(4), SegmentStart.Checkpoint, Aggregation.None));
        foreach (Aggregation aggregation in gated)
        {
            AssertClose(
                expected,
                swla.Run(new CachedMemoryOptions(new ConstantSegmentation(4), SegmentStart.Checkpoint, aggregation) { OnlineBias = 60 }));
        }
    }

    [Fact]
    public void Selection_takes_the_largest_and_of_equal_ones_the_earlier()
    {
        Assert.Equal([1, 3], SparseSelectiveCaching.Select([0, 5, 1, 2, 1, 9], 2));
        Assert.Equal([1, 2], SparseSelectiveCaching.Select([0, 5, 2, 2, 1, 9], 2));
        Assert.Equal([0, 1], SparseSelectiveCaching.Select([3, 3, 3, 3, 9], 2));
        Assert.Equal([0], SparseSelectiveCaching.Select([3, 9], 4));
        Assert.Empty(SparseSelectiveCaching.Select([3], 4));
    }

    [Fact]
    public void Gradients_of_every_variant_match_finite_differences()
    {
        foreach (Segmentation segmentation in new Segmentation[] { new ConstantSegmentation(2), new LogarithmicSegmentation(1) })
        {
            foreach (SegmentStart start in bothStarts)
            {
                foreach (Aggregation aggregation in Enum.GetValues<Aggregation>())
                {
                    CheckGradients(new CachedMemoryOptions(segmentation, start, aggregation) { SelectedSegments = 2 });
                }
            }
        }

        foreach (SegmentDescription description in Enum.GetValues<SegmentDescription>())
        {
            CheckGradients(new CachedMemoryOptions(new LogarithmicSegmentation(1), SegmentStart.Independent, Aggregation.GatedResidual)
            {
                Description = description,
                SharedGates = true,
                NormalizationEpsilon = 1e-6,
            });
        }
    }

    [Fact]
    public void Every_input_of_every_gated_variant_gets_a_gradient() => ForAll((segmentation, start) =>
    {
        foreach (Aggregation aggregation in gated)
        {
            var tape = new RealTape();
            Real[,] q = Vary(tape, swla.Q), k = Vary(tape, swla.K), v = Vary(tape, swla.V), u = Vary(tape, swla.U);
            var gates = new MatrixMemoryGates(
                Vary(tape, swla.Gates.LogDecay!), Vary(tape, swla.Gates.B!), Vary(tape, swla.Gates.L!));
            Real[] tau = tape.Variables(Matrix.Values(temperature));
            Real bias = tape.Variable(0.1);
            Real[,] y = CachedMemory.Forward(
                q, k, v, u, gates, tau, new CachedMemoryOptions(segmentation, start, aggregation) { OnlineBias = bias }, Heads, [0]);
            RealGradient gradient = tape.Gradient(FiniteDifferences.WeightedSum(y));
            foreach (Real[,] input in new[] { q, k, v, gates.L! })
            {
                Assert.DoesNotContain(0, gradient.Of(input));
            }

            foreach (double[] derivatives in new[] { gradient.Of(u), gradient.Of(tau), [gradient[bias]] })
            {
                Assert.Contains(derivatives, x => x != 0);
            }

            if (segmentation is ConstantSegmentation { Length: > 1 } || start == SegmentStart.Checkpoint)
            {
                Assert.Contains(gradient.Of(gates.LogDecay!), x => x != 0);
                Assert.Contains(gradient.Of(gates.B!), x => x != 0);
            }
        }
    });

    private static Real[,] Vary(RealTape tape, Real[,] x) => tape.Variables(Matrix.Values(x), x.GetLength(0), x.GetLength(1));

    private static void CheckGradients(CachedMemoryOptions options) => FiniteDifferences.Check(
        [(7, 4), (7, 4), (7, 2), (7, 4), (7, 2), (7, 2), (7, 2), (1, 2), (1, 1)],
        x => CachedMemory.Forward(
            x[0], x[1], x[2], x[3], new MatrixMemoryGates(x[4], x[5], x[6]), Matrix.Flatten(x[7]), options with { OnlineBias = x[8][0, 0] }, 2, [0, 2]),
        seed: 11,
        tolerance: 1e-6);

    private static void ForAll(Action<Segmentation, SegmentStart> check)
    {
        foreach (Segmentation segmentation in segmentations)
        {
            foreach (SegmentStart start in bothStarts)
            {
                check(segmentation, start);
            }
        }
    }

    /// <summary>((Q K^T) * Gate) V in plain doubles: Gate[t, j] = g^(seg(j)), or the sum of g from seg(j) on where states carry over.</summary>
    private static double[] GatedLinearAttention(Inputs x, CachedMemoryOptions options)
    {
        double[] y = new double[Rows * Heads * ValueSize];
        foreach ((int start, int end) in Sequences.Ranges(starts, Rows))
        {
            for (int t = 0; t < end - start; t++)
            {
                VisibleSegments visible = options.Segmentation.At(t);
                Segment[] segments = [.. visible.Past, new Segment(visible.OnlineStart, t + 1)];
                double[][] logits = [.. Enumerable.Range(0, Heads).Select(head => Array.ConvertAll(segments, segment => Logit(head, segment)))];
                if (options.SharedGates)
                {
                    double[] sum = [.. Enumerable.Range(0, segments.Length).Select(i => logits.Sum(l => l[i]))];
                    logits = Array.ConvertAll(logits, _ => (double[])sum.Clone());
                }

                for (int head = 0; head < Heads; head++)
                {
                    logits[head][^1] += options.OnlineBias.Value;
                    double total = logits[head].Sum(Math.Exp);
                    double[] gates = Array.ConvertAll(logits[head], l => Math.Exp(l) / total);
                    Real[][] q = Sequences.Head(x.Q, Heads, head, start, end), k = Sequences.Head(x.K, Heads, head, start, end);
                    Real[][] v = Sequences.Head(x.V, Heads, head, start, end);
                    for (int j = 0; j <= t; j++)
                    {
                        int segment = Array.FindIndex(segments, s => j >= s.Start && j < s.End);
                        double gate = options.Start == SegmentStart.Independent ? gates[segment] : gates[segment..].Sum();
                        for (int i = 0; i < ValueSize; i++)
                        {
                            y[(start + t) * Heads * ValueSize + head * ValueSize + i] += Dot(q[t], k[j]) * gate * v[j][i].Value;
                        }
                    }
                }

                double Logit(int head, Segment segment)
                {
                    Real[][] k = Sequences.Head(x.K, Heads, head, start + segment.Start, start + segment.End);
                    Real[] u = Sequences.Head(x.U, Heads, head, start + t, start + t + 1)[0];
                    return temperature[head].Value * options.Description switch
                    {
                        SegmentDescription.Sum => k.Sum(key => Dot(u, key)),
                        SegmentDescription.Mean => k.Average(key => Dot(u, key)),
                        _ => k.Average(key => Dot(u, key) / Math.Sqrt(Dot(key, key))) * Math.Sqrt(k.Length),
                    };
                }
            }
        }

        return y;
    }

    private static double Dot(Real[] a, Real[] b) => a.Zip(b).Sum(pair => pair.First.Value * pair.Second.Value);

    private static void AssertClose(double[] expected, double[] actual)
    {
        Assert.Equal(expected.Length, actual.Length);
        for (int i = 0; i < expected.Length; i++)
        {
            Assert.True(Math.Abs(expected[i] - actual[i]) <= 1e-11 * (1 + Math.Abs(expected[i])), $"entry {i}: {expected[i]:R} and {actual[i]:R}");
        }
    }

    private sealed record Inputs(Real[,] Q, Real[,] K, Real[,] V, Real[,] U, MatrixMemoryGates Gates)
    {
        public static Inputs Make(int rows, bool swla) => new(
            Samples.Matrix(rows, Heads * KeySize, 1),
            Samples.Matrix(rows, Heads * KeySize, 2),
            Samples.Matrix(rows, Heads * ValueSize, 3),
            Samples.Matrix(rows, Heads * KeySize, 4),
            !swla
                ? new MatrixMemoryGates()
                : new MatrixMemoryGates(
                    Matrix.Map(Samples.Matrix(rows, Heads, 5), x => -Real.Softplus(x)),
                    Activation.Sigmoid(Samples.Matrix(rows, Heads, 6)),
                    Activation.Sigmoid(Samples.Matrix(rows, Heads, 7))));

        public double[] Run(CachedMemoryOptions options, int[]? sequenceStarts = null) =>
            Matrix.Values(CachedMemory.Forward(Q, K, V, U, Gates, temperature, options, Heads, sequenceStarts ?? starts));

        public Inputs Take(int start, int end) => Each((x, _) => Rows(x, start, end));

        /// <summary>Other inputs from one row on.</summary>
        public Inputs Changed(int from) => Each((x, seed) =>
        {
            Real[,] other = Activation.Sigmoid(Samples.Matrix(x.GetLength(0), x.GetLength(1), 20 + seed));
            Real[,] changed = (Real[,])x.Clone();
            for (int row = from; row < x.GetLength(0); row++)
            {
                for (int column = 0; column < x.GetLength(1); column++)
                {
                    changed[row, column] = other[row, column];
                }
            }

            return changed;
        });

        private Inputs Each(Func<Real[,], int, Real[,]> change) => new(
            change(Q, 1),
            change(K, 2),
            change(V, 3),
            change(U, 4),
            new MatrixMemoryGates(
                Gates.LogDecay is null ? null : change(Gates.LogDecay, 5),
                Gates.B is null ? null : change(Gates.B, 6),
                Gates.L is null ? null : change(Gates.L, 7)));

        private static Real[,] Rows(Real[,] x, int start, int end)
        {
            int columns = x.GetLength(1);
            return Matrix.FromRows(Matrix.Flatten(x).AsSpan(start * columns, (end - start) * columns), end - start, columns);
        }
    }

    /// <summary>Holds the value written last and returns it whatever the query is.</summary>
    private sealed class ConstantMemory(Real[][] values) : PlainMemory
    {
        public override MemoryState Initial => new([new Real[values[0].Length, 1]]);

        public override MemoryState Write(MemoryState state, int token) => new([Matrix.FromRows(values[token], values[token].Length, 1)]);

        public override Real[] Read(Real[][,] weights, Real[] q) => Matrix.Flatten(weights[0]);
    }
}
