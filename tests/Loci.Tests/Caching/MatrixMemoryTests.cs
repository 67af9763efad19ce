using Loci.Caching;
using Loci.Numerics;
using Loci.Numerics.Operations;
using Loci.Reference;
using Xunit;
using Aggregation = Loci.Reference.Aggregation;
using Segmentation = Loci.Caching.Segmentation;
using SegmentStart = Loci.Caching.SegmentStart;
using Shape = Loci.Numerics.Shape;

namespace Loci.Tests.Caching;

/// <summary>The chunked scan and the cached read against the equations in double precision, forward and every gradient.</summary>
public sealed class MatrixMemoryTests
{
    public enum Rule
    {
        Linear,
        Gated,
        Swla,
    }

    public static TheoryData<Rule, Aggregation, SegmentKind, SegmentStart> Combinations()
    {
        var data = new TheoryData<Rule, Aggregation, SegmentKind, SegmentStart>();
        foreach (var rule in Enum.GetValues<Rule>())
        {
            foreach (var aggregation in Enum.GetValues<Aggregation>())
            {
                foreach (var kind in Enum.GetValues<SegmentKind>())
                {
                    foreach (var start in Enum.GetValues<SegmentStart>())
                    {
                        data.Add(rule, aggregation, kind, start);
                    }
                }
            }
        }

        return data;
    }

    [Theory]
    [MemberData(nameof(Combinations))]
    public void AgreesWithTheReference(Rule rule, Aggregation aggregation, SegmentKind kind, SegmentStart start)
    {
        // Sequences that end inside a chunk, inside a segment, at a segment's end and after one token.
        Check(new Case(rule, aggregation, kind, start) { Lengths = [29, 1, 16, 3] });
    }

    [Theory]
    [InlineData(RouterKey.Sum, false, null)]
    [InlineData(RouterKey.Mean, false, 0.7f)]
    [InlineData(RouterKey.NormalizedMean, true, null)]
    [InlineData(RouterKey.Mean, true, 0.3f)]
    public void RouterOptionsAgreeWithTheReference(RouterKey key, bool shared, float? bias)
    {
        foreach (var aggregation in (ReadOnlySpan<Aggregation>)[Aggregation.GatedResidual, Aggregation.SparseSelective])
        {
            foreach (var kind in Enum.GetValues<SegmentKind>())
            {
                Check(new Case(Rule.Gated, aggregation, kind, SegmentStart.Independent)
                {
                    Lengths = [37, 9],
                    Key = key,
                    Shared = shared,
                    Bias = bias,
                });
            }
        }
    }

    [Theory]
    [InlineData(0f)]
    [InlineData(-20f)]
    public void ExtremeGatesAgreeWithTheReference(float logDecay)
    {
        foreach (var start in Enum.GetValues<SegmentStart>())
        {
            foreach (var kind in Enum.GetValues<SegmentKind>())
            {
                Check(new Case(Rule.Swla, Aggregation.GatedResidual, kind, start) { Lengths = [23], LogDecay = logDecay });
            }
        }
    }

    [Fact]
    public void QueriesMayRoute()
    {
        Check(new Case(Rule.Gated, Aggregation.GatedResidual, SegmentKind.Constant, SegmentStart.Independent) { Lengths = [27], RoutesByQuery = true });
        Check(new Case(Rule.Gated, Aggregation.SparseSelective, SegmentKind.Logarithmic, SegmentStart.Checkpoint) { Lengths = [27], RoutesByQuery = true });
    }

    [Theory]
    [InlineData(1)]
    [InlineData(20)]
    public void HeadWidthsThatDoNotFillARegister(int width) =>
        Check(new Case(Rule.Swla, Aggregation.GatedResidual, SegmentKind.Constant, SegmentStart.Checkpoint) { Lengths = [19], Width = width, Heads = 1 });

    private static void Check(Case settings)
    {
        var random = new Random(5);
        int heads = settings.Heads, width = settings.Width, rows = settings.Lengths.Sum(), columns = heads * width;
        var starts = new int[settings.Lengths.Length];
        for (var i = 1; i < starts.Length; i++)
        {
            starts[i] = starts[i - 1] + settings.Lengths[i - 1];
        }

        float[] q = Values(random, rows * columns), k = Values(random, rows * columns), v = Values(random, rows * columns), u = Values(random, rows * columns);
        float[] decay = Gate(random, rows * heads, settings.LogDecay), b = Positive(random, rows * heads), l = Positive(random, rows * heads);
        float[] tau = [.. Enumerable.Range(0, heads).Select(i => 0.8f + (0.5f * i))];
        var seeds = Values(random, rows * columns);
        var isNone = settings.Aggregation == Aggregation.None;
        var isResidual = settings.Aggregation == Aggregation.Residual;

        // The fast operations.
        using var device = new CpuDevice(2);
        using var tape = new Tape(device);
        using var plan = new MemoryPlan(device);
        var layout = new SequenceLayout();
        layout.Set(starts, rows);
        new Segmentation(settings.Kind, settings.Kind == SegmentKind.Constant ? 8 : 4, settings.Start).Plan(plan, layout, 4);
        Tensor Input(float[] values, int width) => tape.FromHost(new Shape(rows, width), values, true);
        Tensor tq = Input(q, columns), tk = Input(k, columns), tv = Input(v, columns), tu = settings.RoutesByQuery ? tq : Input(u, columns);
        var tDecay = settings.Rule == Rule.Linear ? null : Input(decay, heads);
        var tB = settings.Rule == Rule.Swla ? Input(b, heads) : null;
        var tL = settings.Rule == Rule.Swla ? Input(l, heads) : null;
        var tTau = tape.FromHost(new Shape(heads), tau, true);
        var tBias = settings.Bias is { } bias ? tape.FromHost(new Shape(heads), [.. Enumerable.Repeat(bias, heads)], true) : null;
        var scan = Loci.Numerics.Operations.MemoryScan.Apply(tape, plan, tq, tk, tv, heads, tDecay, tB, tL);
        var options = new CachedReadOptions(heads, settings.Shared, settings.Aggregation == Aggregation.SparseSelective ? 2 : 0, settings.Key);
        var y = isNone ? scan.Output : isResidual
            ? CachedRead.Sum(tape, plan, scan, tq, options)
            : CachedRead.Gated(tape, plan, scan, tq, tu, tk, tTau, tBias, options);
        Tape.Keep(y);
        var actual = tape.ToHost(y);
        tape.Backward(y, seeds);

        // The equations.
        var real = new RealTape();
        Real[,] rq = real.Variables(q, rows, columns), rk = real.Variables(k, rows, columns), rv = real.Variables(v, rows, columns);
        var ru = settings.RoutesByQuery ? null : real.Variables(u, rows, columns);
        var rDecay = tDecay is null ? null : real.Variables(decay, rows, heads);
        var rB = tB is null ? null : real.Variables(b, rows, heads);
        var rL = tL is null ? null : real.Variables(l, rows, heads);
        var rTau = real.Variables(tau);
        var rBias = real.Variable((settings.Bias ?? 0) * (settings.Shared ? heads : 1));
        var expected = CachedMemory.Forward(
            rq, rk, rv, ru, new MatrixMemoryGates(rDecay, rB, rL), rTau,
            new CachedMemoryOptions(
                settings.Kind == SegmentKind.Constant ? new ConstantSegmentation(8) : new LogarithmicSegmentation(4),
                (Loci.Reference.SegmentStart)settings.Start, settings.Aggregation)
            {
                Description = (SegmentDescription)settings.Key,
                NormalizeKeys = false,
                SharedGates = settings.Shared,
                OnlineBias = rBias,
                SelectedSegments = 2,
            },
            heads, starts);
        var gradient = real.Gradient(expected, seeds);

        Compare("output", Matrix.Values(expected), actual);
        Compare("q", gradient.Of(rq), Gradient(tape, tq));
        Compare("k", gradient.Of(rk), Gradient(tape, tk));
        Compare("v", gradient.Of(rv), Gradient(tape, tv));
        if (!isNone && !isResidual)
        {
            if (ru is not null)
            {
                Compare("u", gradient.Of(ru), Gradient(tape, tu));
            }

            Compare("tau", gradient.Of(rTau), Gradient(tape, tTau));
            if (tBias is not null)
            {
                // One reference bias stands for all heads' biases.
                var total = Gradient(tape, tBias).Sum();
                Compare("bias", [gradient[rBias] * (settings.Shared ? heads : 1)], [total]);
            }
        }

        if (rDecay is not null)
        {
            Compare("log decay", gradient.Of(rDecay), Gradient(tape, tDecay!));
        }

        if (rB is not null)
        {
            Compare("b", gradient.Of(rB), Gradient(tape, tB!));
            Compare("l", gradient.Of(rL!), Gradient(tape, tL!));
        }
    }

    private static float[] Gradient(Tape tape, Tensor tensor)
    {
        Assert.True(tensor.HasGradient);
        var values = new float[tensor.Shape.Count];
        tape.Device.CopyToHost(tensor.Gradient, values);
        return values;
    }

    private static float[] Values(Random random, int count) => [.. Enumerable.Range(0, count).Select(_ => (float)((2 * random.NextDouble()) - 1))];

    private static float[] Positive(Random random, int count) => [.. Enumerable.Range(0, count).Select(_ => (float)random.NextDouble())];

    private static float[] Gate(Random random, int count, float? fixedValue) =>
        [.. Enumerable.Range(0, count).Select(_ => fixedValue ?? (float)-Math.Pow(random.NextDouble(), 3))];

    private static void Compare(string name, double[] expected, float[] actual)
    {
        Assert.Equal(expected.Length, actual.Length);
        var scale = expected.Select(Math.Abs).Append(1e-3).Max();
        for (var i = 0; i < expected.Length; i++)
        {
            Assert.True(
                Math.Abs(expected[i] - actual[i]) <= 2e-5 * (scale + Math.Abs(expected[i])),
                $"{name}[{i}]: the reference says {expected[i]:R}, the kernel {actual[i]:R} (largest {scale:G4}).");
        }
    }

    private sealed record Case(Rule Rule, Aggregation Aggregation, SegmentKind Kind, SegmentStart Start)
    {
        public int[] Lengths { get; init; } = [];

        public int Heads { get; init; } = 2;

        public int Width { get; init; } = 5;

        public RouterKey Key { get; init; } = RouterKey.NormalizedMean;

        public bool Shared { get; init; }

        public float? Bias { get; init; }

        public float? LogDecay { get; init; }

        public bool RoutesByQuery { get; init; }
    }
}
