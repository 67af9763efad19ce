using Loci.Memory;
using Loci.Memory.Aggregations;
using Loci.Memory.Routing;
using Loci.Memory.Rules;
using Loci.Memory.Rules.Deep;
using Loci.Memory.Segments;
using Loci.Models;
using Loci.Numerics;
using Loci.Sessions;
using Loci.Tests.Models;
using Xunit;
using DeepNetwork = Loci.Reference.DeepNetwork;
using Real = Loci.Reference.Real;

namespace Loci.Tests.Sessions;

/// <summary>Caches for memories that were trained without one.</summary>
public sealed class AfterTrainingTests
{
    private const int Heads = 2, Width = 6, Segment = 8;

    public static TheoryData<string, string> Averages()
    {
        var data = new TheoryData<string, string>();
        foreach (var memory in (ReadOnlySpan<string>)["linear", "gated-linear", "gated-delta-net", "dla", "titans"])
        {
            data.Add(memory, "mean");
            data.Add(memory, "ema");
            data.Add(memory, "output-mean");
            data.Add(memory, "residual");
        }

        return data;
    }

    /// <summary>Against averages of the states in double precision, written out.</summary>
    [Theory]
    [MemberData(nameof(Averages))]
    public void AveragesAreThoseOfTheStates(string memory, string read)
    {
        using var device = new CpuDevice(1);
        var configuration = new ModelConfiguration { VocabularySize = 5, Dimension = Heads * Width, Heads = Heads, Mixers = [new() { Memory = memory, ChunkLength = 4 }] };
        var layer = MemoryRules.Find(memory).CreateLayer(new LayerContext(device, "", new Initializer(1, 2)) { Dimension = Heads * Width, Heads = Heads }, configuration.Mixers[0]);
        var after = new AfterTrainingCache { Read = read, SegmentLength = Segment, Rho = 0.7f };
        Segmentation segmentation = new(SegmentKind.Constant, Segment, SegmentStart.Checkpoint);
        using RecurrentMemory twin = layer.CreateRecurrent(Segmentation.None);
        using CachedMemoryState cache = new(device, layer.CreateRecurrent(segmentation), after.CreateReader(device, Heads, layer.ReadsLinearly), segmentation, Heads, Width);
        using Tape tape = new(device) { IsRecording = false };
        List<double[]> states = [];
        var random = new Random(4);
        for (var t = 0; t < 45; t++)
        {
            tape.Reset();
            Tensor Row(bool normalizes)
            {
                var values = Enumerable.Range(0, Heads * Width).Select(_ => (float)((2 * random.NextDouble()) - 1)).ToArray();
                for (var head = 0; head < Heads && normalizes; head++)
                {
                    var part = values.AsSpan(head * Width, Width);
                    var norm = MathF.Sqrt(part.ToArray().Sum(value => value * value));
                    foreach (ref var value in part)
                    {
                        value /= norm;
                    }
                }

                return tape.FromHost(new Shape(1, values.Length), values);
            }

            Tensor x = Row(false), q = Row(true), k = Row(true), v = Row(false);
            var actual = tape.ToHost(cache.Advance(tape, x, q, k, v, new RouterInputs(q, k)));
            twin.Begin(tape, x, q, k, v);
            var online = tape.NewTensor(q.Shape);
            twin.Write(tape, 0, 1, online);
            var state = Host(device, twin.State);
            var expected = Expected(read, layer, twin, states, state, tape.ToHost(q), tape.ToHost(online), after.Rho);
            for (var i = 0; i < expected.Length; i++)
            {
                Assert.True(Math.Abs(expected[i] - actual[i]) < 2e-5 * (1 + Math.Abs(expected[i])), $"Token {t}, value {i}: {expected[i]} expected, {actual[i]} read.");
            }

            if ((t + 1) % Segment == 0)
            {
                states.Add(state);
            }
        }

        // Averages of weights need one state, however long the text.
        Assert.Equal(read is "residual" || (read == "output-mean" && !layer.ReadsLinearly) ? 5 : 1, cache.Count);
    }

    /// <summary>The gated forms are those of a model that was trained with them and has these parameters.</summary>
    [Theory]
    [InlineData("gated-linear", "grm", "grm")]
    [InlineData("titans", "grm", "grm")]
    [InlineData("titans", "soup", "soup")]
    [InlineData("gated-linear", "ssc", "ssc")]
    [InlineData("dla", "ssc", "ssc")]
    [InlineData("mamba2", "residual", "residual")]
    public void GatedFormsAreThoseOfAModelWithACache(string memory, string read, string aggregation)
    {
        using var device = new CpuDevice(1);
        var plain = IdentityTests.Configuration(memory, "none", SegmentKind.Constant, SegmentStart.Checkpoint);
        var cached = IdentityTests.Configuration(memory, aggregation, SegmentKind.Constant, SegmentStart.Checkpoint);
        cached = cached with
        {
            Mixers = [cached.Mixers[0] with { Cache = cached.Mixers[0].Cache with { Router = new() { Query = RouterQuery.Query, InitialTemperature = 1.5f, OnlineBias = 0.25f } } }],
        };
        using LanguageModel model = IdentityTests.Sharpened(plain, device), trained = IdentityTests.Sharpened(cached, device);
        var options = new SessionOptions
        {
            AfterTraining = new() { Read = read, SegmentLength = 8, Temperature = 1.5f, OnlineBias = 0.25f, TopK = 2 },
        };
        using Session after = model.CreateSession(options), expected = trained.CreateSession();
        foreach (var token in IdentityTests.Tokens(50, 8))
        {
            after.Read(token);
            expected.Read(token);
            Assert.Equal(expected.Logits.ToArray(), after.Logits.ToArray());
        }
    }

    [Theory]
    [InlineData("mean")]
    [InlineData("ema")]
    [InlineData("output-mean")]
    [InlineData("grm")]
    [InlineData("soup")]
    [InlineData("ssc")]
    public void TheFirstSegmentIsTheModelAsItWas(string read)
    {
        using var device = new CpuDevice(1);
        using var model = IdentityTests.Sharpened(IdentityTests.Configuration("titans", "none", SegmentKind.Constant, SegmentStart.Checkpoint), device);
        using Session plain = model.CreateSession(), cached = model.CreateSession(new() { AfterTraining = new() { Read = read, SegmentLength = 16 } });
        var tokens = IdentityTests.Tokens(32, 1);
        foreach (var (token, t) in tokens.Select((token, t) => (token, t)))
        {
            plain.Read(token);
            cached.Read(token);
            if (t < 16)
            {
                Assert.Equal(plain.Logits.ToArray(), cached.Logits.ToArray());
            }
            else
            {
                Assert.NotEqual(plain.Logits.ToArray(), cached.Logits.ToArray());
            }
        }

        // Any split, a rewind to any token and a fork give the same bits.
        using Session split = model.CreateSession(cached.Options), fork = cached.Fork();
        split.Read(tokens.AsSpan(0, 21));
        split.Read(tokens.AsSpan(21));
        Assert.Equal(cached.Logits.ToArray(), split.Logits.ToArray());
        cached.Read(tokens);
        cached.Rewind(32);
        Assert.Equal(split.Logits.ToArray(), cached.Logits.ToArray());
        Assert.Equal(split.Logits.ToArray(), fork.Logits.ToArray());
    }

    [Fact]
    public void BadOptionsAreRefused()
    {
        using var device = new CpuDevice(1);
        using LanguageModel plain = new(IdentityTests.Configuration("titans", "none", SegmentKind.Constant, SegmentStart.Checkpoint), device);
        using LanguageModel cached = new(IdentityTests.Configuration("titans", "residual", SegmentKind.Constant, SegmentStart.Checkpoint), device);
        Assert.Contains("trained without a cache", Message(cached, new()));
        Assert.Contains("multiple of the chunk length", Message(plain, new() { SegmentLength = 30 }));
        Assert.Contains("at least 1", Message(plain, new() { SegmentLength = 0 }));
        Assert.Contains("above 0 and below 1", Message(plain, new() { Rho = 1 }));
        Assert.Contains("finite", Message(plain, new() { OnlineBias = float.NaN }));

        static string Message(LanguageModel model, AfterTrainingCache cache) =>
            Assert.Throws<LociException>(() => model.CreateSession(new() { AfterTraining = cache })).Message;
    }

    private static double[] Expected(
        string read, LayerMemory layer, RecurrentMemory twin, List<double[]> states, double[] online, float[] q, float[] onlineRead, float rho)
    {
        var reads = states.Select(state => Read(layer, twin, state, q)).ToArray();
        var own = onlineRead.Select(value => (double)value).ToArray();
        if (states.Count == 0)
        {
            return own;
        }

        switch (read)
        {
            case "residual":
                return [.. own.Select((value, i) => value + reads.Sum(other => other[i]))];
            case "output-mean":
                return [.. own.Select((value, i) => (value + reads.Sum(other => other[i])) / (states.Count + 1))];
            case "mean":
                return Read(layer, twin, [.. online.Select((value, i) => (value + states.Sum(other => other[i])) / (states.Count + 1))], q);
            default:
                var mean = states[0];
                foreach (var state in states.Skip(1))
                {
                    mean = [.. mean.Select((value, i) => (rho * value) + ((1 - rho) * state[i]))];
                }

                return Read(layer, twin, [.. online.Select((value, i) => ((1 - rho) * value) + (rho * mean[i]))], q);
        }
    }

    /// <summary>M(q) of every head.</summary>
    private static double[] Read(LayerMemory layer, RecurrentMemory twin, double[] state, float[] q)
    {
        var y = new double[Heads * Width];
        for (var head = 0; head < Heads; head++)
        {
            var weights = state.AsSpan(head * state.Length / Heads, state.Length / Heads).ToArray();
            var x = q.AsSpan(head * Width, Width).ToArray().Select(value => (double)value).ToArray();
            if (layer.ReadsLinearly)
            {
                for (var i = 0; i < Width * Width; i++)
                {
                    y[(head * Width) + (i % Width)] += x[i / Width] * weights[i]; // stored [d_k, d_v]
                }

                continue;
            }

            var hidden = twin.Network!.HiddenWidth;
            Real[,] Layer(int offset, int inputs, int outputs)
            {
                var matrix = new Real[outputs, inputs]; // stored [in, out]
                for (var i = 0; i < inputs * outputs; i++)
                {
                    matrix[i % outputs, i / outputs] = weights[offset + i];
                }

                return matrix;
            }

            var gain = Host(twin.Gain!.Device, twin.Gain.Data).AsSpan(head * Width, Width).ToArray().Select(value => (Real)value).ToArray();
            var read = DeepNetwork.Forward(
                [Layer(Width * hidden, hidden, Width), Layer(0, Width, hidden)], gain, [.. x.Select(value => (Real)value)],
                new Loci.Reference.DeepMemoryOptions(Loci.Reference.InnerLoss.SquaredError));
            for (var i = 0; i < Width; i++)
            {
                y[(head * Width) + i] = read[i].Value;
            }
        }

        return y;
    }

    private static double[] Host(Device device, DeviceSpan<float> span)
    {
        var values = new float[span.Length];
        device.CopyToHost(span, values);
        return [.. values.Select(value => (double)value)];
    }
}
