using FsCheck;
using FsCheck.Fluent;
using Loci.Memory.Aggregations;
using Loci.Memory.Routing;
using Loci.Memory.Rules.Deep;
using Loci.Memory.Rules.Delta;
using Loci.Memory.Segments;
using Loci.Numerics;
using Loci.Numerics.Operations;
using Loci.Reference;
using Xunit;
using Aggregation = Loci.Reference.Aggregation;
using DeepMemoryGates = Loci.Memory.Rules.Deep.DeepMemoryGates;
using DeepMemoryOptions = Loci.Memory.Rules.Deep.DeepMemoryOptions;
using InnerLoss = Loci.Memory.Rules.Deep.InnerLoss;
using Segmentation = Loci.Memory.Segments.Segmentation;
using SegmentStart = Loci.Memory.Segments.SegmentStart;
using Shape = Loci.Numerics.Shape;

namespace Loci.Tests.Caching;

/// <summary>Deep memories and their cached reads against the equations in double precision, forward and every gradient.</summary>
public sealed class DeepMemoryTests
{
    public static TheoryData<InnerLoss, Aggregation, SegmentKind, SegmentStart> Combinations()
    {
        var data = new TheoryData<InnerLoss, Aggregation, SegmentKind, SegmentStart>();
        foreach (var loss in Enum.GetValues<InnerLoss>())
        {
            foreach (var aggregation in Enum.GetValues<Aggregation>())
            {
                foreach (var kind in Enum.GetValues<SegmentKind>())
                {
                    foreach (var start in Enum.GetValues<SegmentStart>())
                    {
                        data.Add(loss, aggregation, kind, start);
                    }
                }
            }
        }

        return data;
    }

    [Theory]
    [MemberData(nameof(Combinations))]
    public void AgreesWithTheReference(InnerLoss loss, Aggregation aggregation, SegmentKind kind, SegmentStart start) =>
        Check(new Case(loss, aggregation, kind, start) { Lengths = [23, 1, 8, 3] });

    [Theory]
    [InlineData(1)]
    [InlineData(3)]
    public void EveryDepthAgreesWithTheReference(int depth)
    {
        foreach (var aggregation in Enum.GetValues<Aggregation>())
        {
            foreach (var start in Enum.GetValues<SegmentStart>())
            {
                Check(new Case(InnerLoss.SquaredError, aggregation, SegmentKind.Constant, start) { Lengths = [11, 2], Depth = depth });
            }
        }
    }

    [Theory]
    [InlineData(false, true)]
    [InlineData(true, false)]
    [InlineData(false, false)]
    public void GatesMayBeLeftOut(bool decays, bool hasMomentum)
    {
        foreach (var aggregation in (ReadOnlySpan<Aggregation>)[Aggregation.None, Aggregation.GatedResidual, Aggregation.MemorySoup])
        {
            foreach (var loss in Enum.GetValues<InnerLoss>())
            {
                Check(new Case(loss, aggregation, SegmentKind.Constant, SegmentStart.Checkpoint) { Lengths = [19], Decays = decays, HasMomentum = hasMomentum });
            }
        }
    }

    [Theory]
    [InlineData(1, 1)]
    [InlineData(1, 3)]
    [InlineData(2, 2)]
    [InlineData(16, 16)]
    public void EveryChunkLengthAgreesWithTheReference(int chunk, int segmentChunks)
    {
        // Segments of one token, chunks of one token, chunks longer than the sequence.
        foreach (var aggregation in (ReadOnlySpan<Aggregation>)[Aggregation.None, Aggregation.GatedResidual, Aggregation.MemorySoup])
        {
            foreach (var kind in Enum.GetValues<SegmentKind>())
            {
                Check(new Case(InnerLoss.SquaredError, aggregation, kind, SegmentStart.Independent) { Lengths = [9], Chunk = chunk, Segment = chunk * segmentChunks });
            }
        }
    }

    [Fact]
    public void StatesAreRecomputedBetweenTheKeptOnes()
    {
        // More chunks than are kept: with chunks of 16 every fourth state is.
        foreach (var start in Enum.GetValues<SegmentStart>())
        {
            Check(new Case(InnerLoss.SquaredError, Aggregation.GatedResidual, SegmentKind.Constant, start) { Lengths = [166], Chunk = 16, Segment = 96, Heads = 1, Rate = 0.05 });
        }
    }

    [Theory]
    [InlineData(0f)]
    [InlineData(-20f)]
    public void ExtremeGatesAgreeWithTheReference(float logDecay)
    {
        foreach (var aggregation in (ReadOnlySpan<Aggregation>)[Aggregation.None, Aggregation.GatedResidual, Aggregation.MemorySoup])
        {
            foreach (var momentum in (ReadOnlySpan<float>)[0, 1])
            {
                Check(new Case(InnerLoss.SquaredError, aggregation, SegmentKind.Constant, SegmentStart.Checkpoint) { Lengths = [17], LogDecay = logDecay, Momentum = momentum });
            }
        }
    }

    [Theory]
    [InlineData(0.05f)]
    [InlineData(float.PositiveInfinity)]
    public void ClippingAgreesWithTheReference(float clip)
    {
        foreach (var loss in Enum.GetValues<InnerLoss>())
        {
            Check(new Case(loss, Aggregation.GatedResidual, SegmentKind.Constant, SegmentStart.Checkpoint) { Lengths = [17], Clip = clip });
        }
    }

    [Fact]
    public void WithoutTheNorm()
    {
        foreach (var loss in Enum.GetValues<InnerLoss>())
        {
            foreach (var aggregation in (ReadOnlySpan<Aggregation>)[Aggregation.None, Aggregation.Residual, Aggregation.MemorySoup])
            {
                Check(new Case(loss, aggregation, SegmentKind.Constant, SegmentStart.Checkpoint) { Lengths = [17], Normalizes = false });
            }
        }
    }

    [Fact]
    public void SequencesTooShortForASecondLevel()
    {
        // Together they are long enough for segments of two blocks, alone they are not.
        foreach (var aggregation in Enum.GetValues<Aggregation>())
        {
            Check(new Case(InnerLoss.SquaredError, aggregation, SegmentKind.Logarithmic, SegmentStart.Independent) { Lengths = [3, 4, 2, 1] });
        }
    }

    [Fact]
    public void RepeatedKeys() =>
        Check(new Case(InnerLoss.SquaredError, Aggregation.GatedResidual, SegmentKind.Constant, SegmentStart.Checkpoint) { Lengths = [17], RepeatsKeys = true });

    [Theory]
    [InlineData(RouterKey.Sum, false, null)]
    [InlineData(RouterKey.Mean, true, 0.7f)]
    public void RouterOptionsAgreeWithTheReference(RouterKey key, bool shared, float? bias)
    {
        foreach (var aggregation in (ReadOnlySpan<Aggregation>)[Aggregation.GatedResidual, Aggregation.MemorySoup, Aggregation.SparseSelective])
        {
            Check(new Case(InnerLoss.SquaredError, aggregation, SegmentKind.Logarithmic, SegmentStart.Independent) { Lengths = [27, 9], Key = key, Shared = shared, Bias = bias });
            Check(new Case(InnerLoss.InnerProduct, aggregation, SegmentKind.Constant, SegmentStart.Checkpoint) { Lengths = [27], Key = key, Shared = shared, Bias = bias, RoutesByQuery = true });
        }
    }

    [Theory]
    [InlineData(InnerLoss.SquaredError)]
    [InlineData(InnerLoss.InnerProduct)]
    public void TheRouterMayHaveKeysOfItsOwn(InnerLoss loss)
    {
        foreach (var aggregation in (ReadOnlySpan<Aggregation>)[Aggregation.GatedResidual, Aggregation.MemorySoup, Aggregation.SparseSelective])
        {
            foreach (var kind in Enum.GetValues<SegmentKind>())
            {
                foreach (var start in Enum.GetValues<SegmentStart>())
                {
                    var settings = new Case(loss, aggregation, kind, start) { Lengths = [23, 1, 8], HasRouterKeys = true };
                    Check(settings);
                    Check(settings with { Lengths = [19], RoutesByQuery = true, Key = RouterKey.Mean, Shared = true, Bias = 0.4f });
                }
            }
        }
    }

    [Theory]
    [InlineData(1, 2)]
    [InlineData(16, 40)]
    public void WidthsThatDoAndDoNotFillRegisters(int width, int hidden) =>
        Check(new Case(InnerLoss.SquaredError, Aggregation.GatedResidual, SegmentKind.Constant, SegmentStart.Checkpoint) { Lengths = [13], Width = width, Hidden = hidden, Heads = 1, Normalizes = width > 1 });

    [Fact]
    public void DetachedStatesTeachNothing()
    {
        // The gradient with detached states is the one of a loss to which the cached states are constants: it differs from the full one, and M_0 still learns through the online memory.
        foreach (var aggregation in (ReadOnlySpan<Aggregation>)[Aggregation.Residual, Aggregation.GatedResidual, Aggregation.MemorySoup])
        {
            var full = Run(new Case(InnerLoss.SquaredError, aggregation, SegmentKind.Constant, SegmentStart.Independent) { Lengths = [16] });
            var detached = Run(new Case(InnerLoss.SquaredError, aggregation, SegmentKind.Constant, SegmentStart.Independent) { Lengths = [16], Detaches = true });
            Assert.Equal(full["output"], detached["output"]);

            // Values of the first segment reach the second one's outputs through its state alone.
            Assert.NotEqual(full["v"][..20], detached["v"][..20]);
            Assert.Equal(full["v"][(8 * 10)..], detached["v"][(8 * 10)..]);
        }
    }

    [Fact]
    public void NothingBecomesNotANumber() => Prop.ForAll(
        Gen.Choose(0, int.MaxValue).ToArbitrary(), Gen.Choose(0, 63).ToArbitrary(), Gen.Choose(0, 63).ToArbitrary(), StaysFinite)
        .Check(Config.QuickThrowOnFailure.WithMaxTest(250));

    private static void StaysFinite(int seed, int shape, int gates)
    {
        // Extreme gates, repeated and zero keys, large values, chunks of one token and chunks longer than the sequence.
        float? Pick(int bits, float low, float high) => (bits & 3) switch { 0 => low, 1 => high, _ => null };
        var random = new Random(seed);
        var chunk = (shape & 3) switch { 0 => 1, 1 => 3, 2 => 8, _ => 64 };
        var aggregations = Enum.GetValues<Aggregation>();
        var settings = new Case(
            (shape & 4) == 0 ? InnerLoss.SquaredError : InnerLoss.InnerProduct, aggregations[random.Next(aggregations.Length)],
            (SegmentKind)random.Next(2), (SegmentStart)random.Next(2))
        {
            Lengths = [1 + random.Next(40), 1 + random.Next(3)],
            Chunk = chunk,
            Segment = chunk * (1 + random.Next(3)),
            Depth = 1 + random.Next(3),
            LogDecay = Pick(gates, 0, -20),
            Momentum = Pick(gates >> 2, 0, 1),
            Rate = Pick(gates >> 4, 0, 1) ?? 0.3,
            FixedRate = (gates >> 4) is 0 or 1,
            RepeatsKeys = (shape & 8) != 0,
            KeyScale = (shape & 16) != 0 ? 0 : 1,
            ValueScale = (shape & 32) != 0 ? 1000 : 1,
        };
        foreach (var (name, values) in Run(settings))
        {
            Assert.All(values, value => Assert.True(float.IsFinite(value), $"{settings}: {name} holds {value}."));
        }
    }

    [Theory]
    [InlineData(InnerLoss.SquaredError)]
    [InlineData(InnerLoss.InnerProduct)]
    public void ASmallWriteLowersItsOwnLoss(InnerLoss loss)
    {
        for (var seed = 1; seed <= 10; seed++)
        {
            var settings = new Case(loss, Aggregation.None, SegmentKind.Constant, SegmentStart.Checkpoint) { Lengths = [1], AsksForKeys = true, Heads = 1, Seed = seed, Decays = false };
            double Loss(double rate)
            {
                float[] answer = Run(settings with { Rate = rate, FixedRate = true })["output"], value = new Data(settings, new Random(seed)).V;
                return loss == InnerLoss.InnerProduct
                    ? -answer.Zip(value, (a, b) => (double)a * b).Sum()
                    : answer.Zip(value, (a, b) => Math.Pow(a - b, 2)).Sum();
            }

            Assert.True(Loss(1e-2) < Loss(0), $"Seed {seed}: the write raised its loss.");
        }
    }

    [Fact]
    public void ADeltaRuleIsADeepMemoryOfDepthOne()
    {
        // ||W k - v||^2 with a step of beta / 2 and unit keys: W = W - beta (W k - v) k^T.
        const int Rows = 13, Heads = 2, Width = 5;
        var random = new Random(9);
        float[] Values(int count) => [.. Enumerable.Range(0, count).Select(_ => (float)((2 * random.NextDouble()) - 1))];
        float[] beta = [.. Enumerable.Range(0, Rows * Heads).Select(_ => (float)random.NextDouble())];
        using var device = new CpuDevice(1);
        using var tape = new Tape(device) { IsRecording = false };
        using var plan = new MemoryPlan(device);
        Segmentation.None.Plan(plan, new SequenceLayout(1, Rows), 1, true);
        Tensor Input(float[] values) => tape.FromHost(new Shape(Rows, values.Length / Rows), values);
        Tensor q = Input(Values(Rows * Heads * Width)), v = Input(Values(Rows * Heads * Width));
        var k = L2Normalise.Apply(tape, Input(Values(Rows * Heads * Width)), Heads);
        var expected = tape.ToHost(DeltaScan.Apply(tape, plan, q, k, v, Heads, Input(beta)).Output);
        var network = new DeepMemoryOptions(Heads, Width) { Depth = 1, GradientClip = float.PositiveInfinity };
        var weights = tape.FromHost(new Shape(Heads, network.WeightCount), new float[Heads * network.WeightCount]);
        var actual = tape.ToHost(DeepScan.Apply(tape, plan, q, k, v, new DeepMemoryGates(Input([.. beta.Select(value => value / 2)])), weights, null, network).Output);
        for (var i = 0; i < expected.Length; i++)
        {
            Assert.True(Math.Abs(expected[i] - actual[i]) < 1e-5, $"Element {i}: the delta rule says {expected[i]}, the memory of depth 1 {actual[i]}.");
        }
    }

    private static Dictionary<string, float[]> Run(Case settings)
    {
        int heads = settings.Heads, width = settings.Width, rows = settings.Lengths.Sum(), columns = heads * width;
        var network = settings.Network;
        var data = new Data(settings, new Random(settings.Seed));
        using var device = new CpuDevice(2);
        using var tape = new Tape(device);
        using var plan = new MemoryPlan(device);
        var layout = new SequenceLayout();
        layout.Set(data.Starts, rows);
        new Segmentation(settings.Kind, settings.Kind == SegmentKind.Constant ? settings.Segment : settings.Chunk, settings.Start).Plan(plan, layout, settings.Chunk, true);
        Tensor Input(float[] values, int width) => tape.FromHost(new Shape(rows, width), values, true);
        Tensor q = Input(data.Q, columns), k = Input(data.K, columns), v = Input(data.V, columns), u = settings.RoutesByQuery ? q : Input(data.U, columns), r = settings.HasRouterKeys ? Input(data.R, columns) : k;
        var rate = Input(data.Rate, heads);
        var decay = settings.Decays ? Input(data.Decay, heads) : null;
        var momentum = settings.HasMomentum ? Input(data.Momentum, heads) : null;
        var weights = tape.FromHost(new Shape(heads, network.WeightCount), data.Weights, true);
        var gain = tape.FromHost(new Shape(columns), data.Gain, true);
        var tau = tape.FromHost(new Shape(heads), data.Tau, true);
        var bias = settings.Bias is { } value ? tape.FromHost(new Shape(heads), [.. Enumerable.Repeat(value, heads)], true) : null;
        var gates = new DeepMemoryGates(rate, decay, momentum);
        var options = new CachedReadOptions(heads, settings.Shared, settings.Aggregation == Aggregation.SparseSelective ? 2 : 0, settings.Key, settings.Detaches);
        Tensor y;
        if (settings.Aggregation == Aggregation.MemorySoup)
        {
            y = DeepSoup.Apply(tape, plan, q, k, v, gates, weights, gain, network, u, r, tau, bias, options);
        }
        else
        {
            var scan = DeepScan.Apply(tape, plan, q, k, v, gates, weights, gain, network);
            y = settings.Aggregation switch
            {
                Aggregation.None => scan.Output,
                Aggregation.Residual => CachedRead.Sum(tape, plan, scan, q, options),
                _ => CachedRead.Gated(tape, plan, scan, q, u, r, tau, bias, options),
            };
        }

        Tape.Keep(y);
        var results = new Dictionary<string, float[]> { ["output"] = tape.ToHost(y) };
        tape.Backward(y, data.Seeds);
        foreach (var (name, tensor) in new (string, Tensor?)[]
        {
            ("q", q), ("k", k), ("v", v), ("u", settings.RoutesByQuery ? null : u), ("r", settings.HasRouterKeys ? r : null), ("rate", rate), ("log decay", decay), ("momentum", momentum), ("weights", weights),
            ("gain", gain), ("tau", tau), ("bias", bias),
        })
        {
            if (tensor is { HasGradient: true })
            {
                var values = new float[tensor.Shape.Count];
                device.CopyToHost(tensor.Gradient, values);
                results[name] = values;
            }
        }

        return results;
    }

    private static void Check(Case settings)
    {
        var actual = Run(settings);
        int heads = settings.Heads, width = settings.Width, rows = settings.Lengths.Sum(), columns = heads * width;
        var network = settings.Network;
        var data = new Data(settings, new Random(settings.Seed));
        var real = new RealTape();
        Real[,] q = real.Variables(data.Q, rows, columns), k = real.Variables(data.K, rows, columns), v = real.Variables(data.V, rows, columns);
        var u = settings.RoutesByQuery ? null : real.Variables(data.U, rows, columns);
        var r = settings.HasRouterKeys ? real.Variables(data.R, rows, columns) : null;
        var rate = real.Variables(data.Rate, rows, heads);
        var decay = settings.Decays ? real.Variables(data.Decay, rows, heads) : null;
        var momentum = settings.HasMomentum ? real.Variables(data.Momentum, rows, heads) : null;
        var tau = real.Variables(data.Tau);
        var gain = real.Variables(data.Gain);
        var weights = real.Variables(data.Weights);
        var bias = real.Variable((settings.Bias ?? 0) * (settings.Shared ? heads : 1));

        // Stored [in, out], first layer first; the reference takes [out, in], last layer first.
        var matrices = new Real[heads][][,];
        for (var head = 0; head < heads; head++)
        {
            matrices[head] = new Real[network.Depth][,];
            var next = head * network.WeightCount;
            for (var layer = 0; layer < network.Depth; layer++)
            {
                int input = layer == 0 ? width : network.HiddenWidth, output = layer == network.Depth - 1 ? width : network.HiddenWidth;
                var matrix = new Real[output, input];
                for (var i = 0; i < input; i++)
                {
                    for (var j = 0; j < output; j++)
                    {
                        matrix[j, i] = weights[next++];
                    }
                }

                matrices[head][network.Depth - 1 - layer] = matrix;
            }
        }

        var isDeep = network.Depth > 1;
        var expected = CachedMemory.Forward(
            q, k, v, u,
            new DeepMemoryParameters(matrices, [.. Enumerable.Range(0, heads).Select(head => gain[(head * width)..((head + 1) * width)])]),
            new Loci.Reference.DeepMemoryGates(rate, decay, momentum),
            new Loci.Reference.DeepMemoryOptions((Loci.Reference.InnerLoss)settings.Loss)
            {
                ChunkLength = settings.Chunk,
                Normalize = isDeep && settings.Normalizes,
                NormalizationEpsilon = network.NormEpsilon,
                Residual = isDeep,
                GradientClip = float.IsFinite(settings.Clip) ? settings.Clip : null,
            },
            tau,
            new CachedMemoryOptions(
                settings.Kind == SegmentKind.Constant ? new ConstantSegmentation(settings.Segment) : new LogarithmicSegmentation(settings.Chunk),
                (Loci.Reference.SegmentStart)settings.Start, settings.Aggregation)
            {
                Description = (SegmentDescription)settings.Key,
                NormalizeKeys = false,
                SharedGates = settings.Shared,
                OnlineBias = bias,
                SelectedSegments = 2,
                RouterKeys = r,
            },
            heads, data.Starts);
        var gradient = real.Gradient(expected, data.Seeds);
        Compare(settings, "output", Matrix.Values(expected), actual);
        Compare(settings, "q", gradient.Of(q), actual);
        Compare(settings, "k", gradient.Of(k), actual);
        Compare(settings, "v", gradient.Of(v), actual);
        Compare(settings, "rate", gradient.Of(rate), actual);
        Compare(settings, "weights", gradient.Of(weights), actual);
        if (decay is not null)
        {
            Compare(settings, "log decay", gradient.Of(decay), actual);
        }

        if (momentum is not null)
        {
            Compare(settings, "momentum", gradient.Of(momentum), actual);
        }

        if (isDeep && settings.Normalizes)
        {
            Compare(settings, "gain", gradient.Of(gain), actual);
        }

        if (settings.Aggregation is Aggregation.None or Aggregation.Residual)
        {
            return;
        }

        if (u is not null)
        {
            Compare(settings, "u", gradient.Of(u), actual);
        }

        if (r is not null)
        {
            Compare(settings, "r", gradient.Of(r), actual);
        }

        Compare(settings, "tau", gradient.Of(tau), actual);
        if (settings.Bias is not null)
        {
            // One reference bias stands for all heads' biases.
            actual["bias"] = [actual["bias"].Sum()];
            // Terms of size 1 may cancel in this one number, which is judged by them.
            Compare(settings, "bias", [gradient[bias] * (settings.Shared ? heads : 1)], actual, 0.1);
        }
    }

    private static void Compare(Case settings, string name, double[] expected, Dictionary<string, float[]> results, double leastScale = 1e-3)
    {
        Assert.True(results.TryGetValue(name, out var actual), $"{name} has no gradient.");
        ReferenceCheck.Compare($"{settings}: {name}", expected, actual, 1e-4, leastScale);
    }

    private sealed class Data
    {
        public Data(Case settings, Random random)
        {
            int heads = settings.Heads, rows = settings.Lengths.Sum(), columns = heads * settings.Width;
            Starts = ReferenceCheck.Starts(settings.Lengths);

            Q = ReferenceCheck.Values(random, rows * columns);
            K = ReferenceCheck.Values(random, rows * columns);
            V = ReferenceCheck.Values(random, rows * columns);
            U = ReferenceCheck.Values(random, rows * columns);
            Rate = [.. Enumerable.Range(0, rows * heads).Select(_ => (float)(settings.Rate * (settings.FixedRate ? 1 : random.NextDouble())))];
            Decay = [.. Enumerable.Range(0, rows * heads).Select(_ => settings.LogDecay ?? (float)-Math.Pow(random.NextDouble(), 3))];
            Momentum = [.. Enumerable.Range(0, rows * heads).Select(_ => settings.Momentum ?? (float)random.NextDouble())];
            Weights = ReferenceCheck.Values(random, heads * settings.Network.WeightCount);
            Gain = [.. Enumerable.Range(0, columns).Select(_ => (float)(0.5 + random.NextDouble()))];
            Tau = [.. Enumerable.Range(0, heads).Select(i => 0.8f + (0.5f * i))];
            Seeds = ReferenceCheck.Values(random, rows * columns);
            R = settings.HasRouterKeys ? ReferenceCheck.Values(random, rows * columns) : [];
            for (var row = 1; row < rows && settings.RepeatsKeys; row++)
            {
                Array.Copy(K, 0, K, row * columns, columns);
            }

            for (var i = 0; i < K.Length; i++)
            {
                K[i] *= settings.KeyScale;
                V[i] *= settings.ValueScale;
                Q[i] = settings.AsksForKeys ? K[i] : Q[i];
            }
        }

        public int[] Starts { get; }

        public float[] Q { get; }

        public float[] K { get; }

        public float[] V { get; }

        public float[] U { get; }

        public float[] R { get; }

        public float[] Rate { get; }

        public float[] Decay { get; }

        public float[] Momentum { get; }

        public float[] Weights { get; }

        public float[] Gain { get; }

        public float[] Tau { get; }

        public float[] Seeds { get; }
    }

    private sealed record Case(InnerLoss Loss, Aggregation Aggregation, SegmentKind Kind, SegmentStart Start)
    {
        public int[] Lengths { get; init; } = [];

        public int Heads { get; init; } = 2;

        public int Width { get; init; } = 5;

        public int Hidden { get; init; } = 7;

        public int Depth { get; init; } = 2;

        public int Chunk { get; init; } = 4;

        public int Segment { get; init; } = 8;

        public bool Normalizes { get; init; } = true;

        public float Clip { get; init; } = 1;

        public double Rate { get; init; } = 0.3;

        public bool FixedRate { get; init; }

        public float KeyScale { get; init; } = 1;

        public float ValueScale { get; init; } = 1;

        public bool AsksForKeys { get; init; }

        public int Seed { get; init; } = 5;

        public bool Decays { get; init; } = true;

        public bool HasMomentum { get; init; } = true;

        public RouterKey Key { get; init; } = RouterKey.NormalizedMean;

        public bool Shared { get; init; }

        public float? Bias { get; init; }

        public float? LogDecay { get; init; }

        public float? Momentum { get; init; }

        public bool RoutesByQuery { get; init; }

        public bool HasRouterKeys { get; init; }

        public bool RepeatsKeys { get; init; }

        public bool Detaches { get; init; }

        public DeepMemoryOptions Network => new(Heads, Width)
        {
            Depth = Depth,
            HiddenWidth = Hidden,
            Loss = Loss,
            Normalizes = Normalizes,
            GradientClip = Clip,
        };
    }
}
