using Loci.Memory.Aggregations;
using Loci.Memory.Routing;
using Loci.Memory.Rules.Delta;
using Loci.Memory.Rules.ScalarGated;
using Loci.Memory.Rules.VectorGated;
using Loci.Memory.Segments;
using Loci.Numerics;
using Loci.Numerics.Operations;
using Loci.Reference;
using Xunit;
using Aggregation = Loci.Reference.Aggregation;
using Segmentation = Loci.Memory.Segments.Segmentation;
using SegmentStart = Loci.Memory.Segments.SegmentStart;
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
        Mamba2,
        Delta,
        GatedDelta,
        VectorGated,
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
    [InlineData(Rule.Swla, 0f)]
    [InlineData(Rule.Swla, -20f)]
    [InlineData(Rule.GatedDelta, 0f)]
    [InlineData(Rule.GatedDelta, -20f)]
    [InlineData(Rule.VectorGated, 0f)]
    [InlineData(Rule.VectorGated, -20f)]
    [InlineData(Rule.VectorGated, float.NaN)]
    [InlineData(Rule.GatedDelta, float.NaN)]
    public void ExtremeGatesAgreeWithTheReference(Rule rule, float logDecay)
    {
        foreach (var start in Enum.GetValues<SegmentStart>())
        {
            foreach (var kind in Enum.GetValues<SegmentKind>())
            {
                foreach (var chunkLength in (ReadOnlySpan<int>)[4, 64])
                {
                    Check(new Case(rule, Aggregation.GatedResidual, kind, start) { Lengths = [23, 37], LogDecay = logDecay, ChunkLength = chunkLength });
                }
            }
        }
    }

    [Theory]
    [InlineData(Rule.Delta, 0f)]
    [InlineData(Rule.Delta, 1f)]
    [InlineData(Rule.GatedDelta, 0f)]
    [InlineData(Rule.GatedDelta, 1f)]
    public void DeltaRuleTakesRepeatedKeysAndExtremeBetas(Rule rule, float beta)
    {
        foreach (var kind in Enum.GetValues<SegmentKind>())
        {
            foreach (var chunkLength in (ReadOnlySpan<int>)[4, 64])
            {
                Check(new Case(rule, Aggregation.GatedResidual, kind, SegmentStart.Independent)
                {
                    Lengths = [23, 37],
                    Beta = beta,
                    RepeatsKeys = true,
                    ChunkLength = chunkLength,
                });
            }
        }
    }

    [Theory]
    [InlineData(Rule.Linear)]
    [InlineData(Rule.Swla)]
    [InlineData(Rule.Mamba2)]
    [InlineData(Rule.Delta)]
    [InlineData(Rule.GatedDelta)]
    [InlineData(Rule.VectorGated)]
    public void LongChunksAgreeWithTheReference(Rule rule)
    {
        // Chunks of several blocks, some of them whole, and sequences that end inside a block, at its end and after one row of the next.
        foreach (var kind in Enum.GetValues<SegmentKind>())
        {
            foreach (var start in Enum.GetValues<SegmentStart>())
            {
                Check(new Case(rule, Aggregation.GatedResidual, kind, start) { Lengths = [135, 48, 17, 1], ChunkLength = 32, Width = 4 });
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
    [InlineData(Rule.Gated)]
    [InlineData(Rule.Swla)]
    [InlineData(Rule.GatedDelta)]
    [InlineData(Rule.VectorGated)]
    public void TheRouterMayHaveKeysOfItsOwn(Rule rule)
    {
        foreach (var aggregation in (ReadOnlySpan<Aggregation>)[Aggregation.GatedResidual, Aggregation.SparseSelective])
        {
            foreach (var kind in Enum.GetValues<SegmentKind>())
            {
                foreach (var start in Enum.GetValues<SegmentStart>())
                {
                    var settings = new Case(rule, aggregation, kind, start) { Lengths = [29, 1, 16, 3], HasRouterKeys = true };
                    Check(settings);
                    Check(settings with { RoutesByQuery = true, Key = RouterKey.Mean, Shared = true, Bias = 0.4f });
                }
            }
        }
    }

    [Theory]
    [InlineData(Rule.Swla, 1)]
    [InlineData(Rule.Swla, 20)]
    [InlineData(Rule.GatedDelta, 1)]
    [InlineData(Rule.GatedDelta, 20)]
    [InlineData(Rule.GatedDelta, 33)]
    [InlineData(Rule.VectorGated, 1)]
    [InlineData(Rule.VectorGated, 20)]
    [InlineData(Rule.VectorGated, 33)]
    public void HeadWidthsThatDoNotFillARegister(Rule rule, int width)
    {
        Check(new Case(rule, Aggregation.GatedResidual, SegmentKind.Constant, SegmentStart.Checkpoint) { Lengths = [19], Width = width, Heads = 1 });
        Check(new Case(rule, Aggregation.GatedResidual, SegmentKind.Logarithmic, SegmentStart.Independent) { Lengths = [19], Width = width, Heads = 1 });
    }

    [Fact]
    public void ThreadsAndUnwantedGradientsDoNotChangeABit()
    {
        foreach (var rule in Enum.GetValues<Rule>())
        {
            var settings = new Case(rule, Aggregation.GatedResidual, SegmentKind.Logarithmic, SegmentStart.Independent) { Lengths = [45, 70], ChunkLength = 16 };
            var expected = new Fast(settings, 1);
            foreach (var threads in (ReadOnlySpan<int>)[2, 3])
            {
                var actual = new Fast(settings, threads);
                Assert.Equal(expected.Output, actual.Output);
                Assert.Equal(expected.Gradients, actual.Gradients);
            }

            foreach (var name in expected.Gradients.Keys)
            {
                Assert.Equal(expected.Gradients[name], new Fast(settings, 2, name).Gradients[name]);
            }
        }
    }

    [Fact]
    public void PlansOfTheOtherKindAreRefused()
    {
        using var device = new CpuDevice(1);
        using var tape = new Tape(device);
        using var plan = new MemoryPlan(device);
        var segmentation = new Segmentation(SegmentKind.Logarithmic, 4, SegmentStart.Independent);
        var x = tape.FromHost(new Shape(23, 6), new float[23 * 6]);
        var gate = tape.FromHost(new Shape(23, 2), new float[23 * 2]);
        segmentation.Plan(plan, new SequenceLayout(1, 23), 4);
        Assert.Throws<ArgumentException>(() => DeltaScan.Apply(tape, plan, x, x, x, 2, gate));
        segmentation.Plan(plan, new SequenceLayout(1, 23), 4, rewrites: true);
        Assert.Throws<ArgumentException>(() => ScalarGatedScan.Apply(tape, plan, x, x, x, 2, gate));
        Assert.Throws<ArgumentException>(() => VectorGatedScan.Apply(tape, plan, x, x, x, 2, x));
        Assert.Throws<ArgumentException>(() => VectorGatedScan.Apply(tape, plan, x, x, x, 2, gate));
    }

    private static void Check(Case settings)
    {
        var fast = new Fast(settings, 2);
        var inputs = new Inputs(settings);
        int heads = settings.Heads, rows = inputs.Rows, columns = heads * settings.Width;
        var real = new RealTape();
        var variables = inputs.Tensors.ToDictionary(input => input.Key, input => real.Variables(input.Value, rows, input.Value.Length / rows));
        var tau = real.Variables(inputs.Temperature);
        var bias = real.Variable((settings.Bias ?? 0) * (settings.Shared ? heads : 1));
        Real[,] q = variables["q"], k = variables["k"], v = variables["v"];
        Real[,]? Optional(string name) => variables.GetValueOrDefault(name);
        var options = new CachedMemoryOptions(
            settings.Kind == SegmentKind.Constant ? new ConstantSegmentation(settings.SegmentLength) : new LogarithmicSegmentation(settings.SegmentLength),
            (Loci.Reference.SegmentStart)settings.Start, settings.Aggregation)
        {
            Description = (SegmentDescription)settings.Key,
            NormalizeKeys = false,
            SharedGates = settings.Shared,
            OnlineBias = bias,
            SelectedSegments = 2,
            RouterKeys = Optional("r"),
        };
        var u = Optional("u");
        var starts = inputs.Starts;
        var expected = settings.Rule switch
        {
            Rule.Delta or Rule.GatedDelta => CachedMemory.Forward(q, k, v, u, new DeltaMemoryGates(variables["l"], Optional("log decay")), tau, options, heads, starts),
            Rule.VectorGated => CachedMemory.Forward(q, k, v, u, new VectorGatedMemoryGates(variables["log decay"]), tau, options, heads, starts),
            _ => CachedMemory.Forward(q, k, v, u, new MatrixMemoryGates(Optional("log decay"), Optional("b"), Optional("l")), tau, options, heads, starts),
        };
        var gradient = real.Gradient(expected, inputs.Seeds);

        // Where all keys are one, terms of size 1 cancel in the gradients of decay and temperature: those are judged by the terms.
        var smallest = settings.RepeatsKeys ? 0.1 : 1e-3;
        Compare("output", Matrix.Values(expected), fast.Output);
        foreach (var (name, variable) in variables)
        {
            if (name is not ("u" or "r") || settings.IsRouted)
            {
                Compare(name, gradient.Of(variable), fast.Gradients[name], smallest);
            }
        }

        if (settings.IsRouted)
        {
            Compare("tau", gradient.Of(tau), fast.Gradients["tau"], smallest);
            if (settings.Bias is not null)
            {
                // One reference bias stands for all heads' biases.
                Compare("bias", [gradient[bias] * (settings.Shared ? heads : 1)], [fast.Gradients["bias"].Sum()]);
            }
        }
    }

    private static float[] Positive(Random random, int count) => [.. Enumerable.Range(0, count).Select(_ => (float)random.NextDouble())];

    private static float[] Gate(Random random, int count, float? fixedValue) =>
        [.. Enumerable.Range(0, count).Select(_ => fixedValue is float.NaN ? -20f * random.Next(2) : fixedValue ?? (float)-Math.Pow(random.NextDouble(), 3))];

    private static void Compare(string name, double[] expected, float[] actual, double leastScale = 1e-3) =>
        ReferenceCheck.Compare(name, expected, actual, 2e-5, leastScale);

    /// <summary>Random inputs of a case.</summary>
    private sealed class Inputs
    {
        public Inputs(Case settings)
        {
            var random = new Random(5);
            int heads = settings.Heads, width = settings.Width, columns = heads * width;
            Rows = settings.Lengths.Sum();
            Starts = ReferenceCheck.Starts(settings.Lengths);

            Tensors["q"] = ReferenceCheck.Values(random, Rows * columns);
            Tensors["k"] = ReferenceCheck.Values(random, Rows * columns);
            Tensors["v"] = ReferenceCheck.Values(random, Rows * columns);
            if (!settings.RoutesByQuery)
            {
                Tensors["u"] = ReferenceCheck.Values(random, Rows * columns);
            }

            var isDelta = settings.Rule is Rule.Delta or Rule.GatedDelta;
            if (settings.Rule is not (Rule.Linear or Rule.Delta))
            {
                Tensors["log decay"] = Gate(random, Rows * (settings.Rule == Rule.VectorGated ? columns : heads), settings.LogDecay);
            }

            if (settings.Rule == Rule.Swla)
            {
                Tensors["b"] = Positive(random, Rows * heads);
            }

            if (settings.Rule is Rule.Swla or Rule.Mamba2 || isDelta)
            {
                Tensors["l"] = settings.Beta is { } beta ? [.. Enumerable.Repeat(beta, Rows * heads)] : Positive(random, Rows * heads);
            }

            if (isDelta)
            {
                // The delta rule is stable for keys of length 1.
                var k = Tensors["k"];
                for (var head = 0; head < Rows * heads; head++)
                {
                    if (settings.RepeatsKeys)
                    {
                        k.AsSpan(head % heads * width, width).CopyTo(k.AsSpan(head * width, width));
                    }

                    var key = k.AsSpan(head * width, width);
                    var length = 0.0;
                    foreach (var value in key)
                    {
                        length += (double)value * value;
                    }

                    for (var i = 0; i < width; i++)
                    {
                        key[i] = (float)(key[i] / Math.Sqrt(length));
                    }
                }
            }

            Temperature = [.. Enumerable.Range(0, heads).Select(i => 0.8f + (0.5f * i))];
            Seeds = ReferenceCheck.Values(random, Rows * columns);
            if (settings.HasRouterKeys)
            {
                Tensors["r"] = ReferenceCheck.Values(random, Rows * columns);
            }
        }

        public int Rows { get; }

        public int[] Starts { get; }

        public Dictionary<string, float[]> Tensors { get; } = [];

        public float[] Temperature { get; }

        public float[] Seeds { get; }
    }

    /// <summary>The fast operations' output and gradients, all or one of them.</summary>
    private sealed class Fast
    {
        public Fast(Case settings, int threads, string? only = null)
        {
            var inputs = new Inputs(settings);
            int heads = settings.Heads, rows = inputs.Rows;
            using var device = new CpuDevice(threads);
            using var tape = new Tape(device);
            using var plan = new MemoryPlan(device);
            var layout = new SequenceLayout();
            layout.Set(inputs.Starts, rows);
            var isDelta = settings.Rule is Rule.Delta or Rule.GatedDelta;
            new Segmentation(settings.Kind, settings.SegmentLength, settings.Start).Plan(plan, layout, settings.ChunkLength, isDelta);
            bool IsWanted(string name) => only is null || only == name;
            var tensors = inputs.Tensors.ToDictionary(
                input => input.Key, input => tape.FromHost(new Shape(rows, input.Value.Length / rows), input.Value, IsWanted(input.Key)));
            Tensor? Optional(string name) => tensors.GetValueOrDefault(name);
            Tensor q = tensors["q"], k = tensors["k"], v = tensors["v"], u = Optional("u") ?? q;
            var tau = tape.FromHost(new Shape(heads), inputs.Temperature, IsWanted("tau"));
            var bias = settings.Bias is { } value ? tape.FromHost(new Shape(heads), [.. Enumerable.Repeat(value, heads)], IsWanted("bias")) : null;
            var scan = settings.Rule switch
            {
                Rule.Delta or Rule.GatedDelta => DeltaScan.Apply(tape, plan, q, k, v, heads, tensors["l"], Optional("log decay")),
                Rule.VectorGated => VectorGatedScan.Apply(tape, plan, q, k, v, heads, tensors["log decay"]),
                _ => ScalarGatedScan.Apply(tape, plan, q, k, v, heads, Optional("log decay"), Optional("b"), Optional("l")),
            };
            var options = new CachedReadOptions(heads, settings.Shared, settings.Aggregation == Aggregation.SparseSelective ? 2 : 0, settings.Key);
            var y = settings.Aggregation == Aggregation.None ? scan.Output : settings.IsRouted
                ? CachedRead.Gated(tape, plan, scan, q, u, Optional("r") ?? k, tau, bias, options)
                : CachedRead.Sum(tape, plan, scan, q, options);
            Tape.Keep(y);
            Output = tape.ToHost(y);
            tape.Backward(y, inputs.Seeds);
            tensors["tau"] = tau;
            if (bias is not null)
            {
                tensors["bias"] = bias;
            }

            Gradients = tensors.Where(tensor => tensor.Value.HasGradient).ToDictionary(tensor => tensor.Key, tensor => ReferenceCheck.Gradient(tape, tensor.Value));
        }

        public float[] Output { get; }

        public Dictionary<string, float[]> Gradients { get; }
    }

    private sealed record Case(Rule Rule, Aggregation Aggregation, SegmentKind Kind, SegmentStart Start)
    {
        public int[] Lengths { get; init; } = [];

        public int Heads { get; init; } = 2;

        public int Width { get; init; } = 5;

        public int ChunkLength { get; init; } = 4;

        public int SegmentLength => Kind == SegmentKind.Constant ? 2 * ChunkLength : ChunkLength;

        public bool IsRouted => Aggregation is not (Aggregation.None or Aggregation.Residual);

        public RouterKey Key { get; init; } = RouterKey.NormalizedMean;

        public bool Shared { get; init; }

        public float? Bias { get; init; }

        // NaN: each 0 or -20.
        public float? LogDecay { get; init; }

        public float? Beta { get; init; }

        public bool RepeatsKeys { get; init; }

        public bool RoutesByQuery { get; init; }

        public bool HasRouterKeys { get; init; }
    }
}
