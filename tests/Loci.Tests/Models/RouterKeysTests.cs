using Loci.Memory.Aggregations;
using Loci.Memory.Routing;
using Loci.Memory.Segments;
using Loci.Models;
using Loci.Numerics;
using Loci.Sessions;
using Xunit;

namespace Loci.Tests.Models;

/// <summary>The identities of section 8 of the method for routers whose keys are not the memory's: keys of their own, and positions.</summary>
public sealed class RouterKeysTests : IDisposable
{
    private const int Vocabulary = IdentityTests.Vocabulary;

    private readonly string _folder = Directory.CreateTempSubdirectory("loci-router-").FullName;

    public static TheoryData<RouterKeys, RouterQuery, string, string, SegmentKind, SegmentStart> Combinations()
    {
        var data = new TheoryData<RouterKeys, RouterQuery, string, string, SegmentKind, SegmentStart>();
        foreach (var keys in (ReadOnlySpan<RouterKeys>)[RouterKeys.Projected, RouterKeys.Position])
        {
            foreach (var query in Enum.GetValues<RouterQuery>())
            {
                foreach (var memory in (ReadOnlySpan<string>)["gated-linear", "titans", "delta-net"])
                {
                    foreach (var aggregation in (ReadOnlySpan<string>)["grm", "soup", "ssc"])
                    {
                        foreach (var kind in Enum.GetValues<SegmentKind>())
                        {
                            foreach (var start in Enum.GetValues<SegmentStart>())
                            {
                                data.Add(keys, query, memory, aggregation, kind, start);
                            }
                        }
                    }
                }
            }
        }

        return data;
    }

    public void Dispose() => Directory.Delete(_folder, true);

    [Theory]
    [MemberData(nameof(Combinations))]
    public void NothingSeesTheFuture(RouterKeys keys, RouterQuery query, string memory, string aggregation, SegmentKind kind, SegmentStart start)
    {
        var configuration = Configuration(keys, query, memory, aggregation, kind, start);
        int[] tokens = IdentityTests.Tokens(41, 2);
        var before = Logits(configuration, tokens);
        foreach (var position in (ReadOnlySpan<int>)[0, 3, 4, 8, 15, 16, 31, 40])
        {
            int[] changed = [.. tokens];
            changed[position] = (changed[position] + 7) % Vocabulary;
            var after = Logits(configuration, changed);
            Assert.Equal(before[..(position * Vocabulary)], after[..(position * Vocabulary)]);
            Assert.NotEqual(before[(position * Vocabulary)..((position + 1) * Vocabulary)], after[(position * Vocabulary)..((position + 1) * Vocabulary)]);
        }
    }

    [Theory]
    [MemberData(nameof(Combinations))]
    public void APrefixGivesThePrefixOfTheOutputs(RouterKeys keys, RouterQuery query, string memory, string aggregation, SegmentKind kind, SegmentStart start)
    {
        var configuration = Configuration(keys, query, memory, aggregation, kind, start);
        int[] tokens = IdentityTests.Tokens(41, 3);
        var whole = Logits(configuration, tokens);
        foreach (var length in (ReadOnlySpan<int>)[1, 3, 4, 5, 8, 9, 15, 16, 17, 31, 32, 33, 40])
        {
            Assert.Equal(whole[..(length * Vocabulary)], Logits(configuration, tokens[..length]));
        }
    }

    [Theory]
    [MemberData(nameof(Combinations))]
    public void StreamsAtEverySplitGiveTheParallelForm(RouterKeys keys, RouterQuery query, string memory, string aggregation, SegmentKind kind, SegmentStart start)
    {
        var configuration = Configuration(keys, query, memory, aggregation, kind, start);
        int[] tokens = IdentityTests.Tokens(45, 4);
        var whole = Logits(configuration, tokens);
        using var device = new CpuDevice(1);
        using var model = Sharpened(configuration, device);
        var stepped = new float[tokens.Length][];
        using (var stream = model.CreateSession())
        {
            for (var i = 0; i < tokens.Length; i++)
            {
                stream.Read(tokens[i]);
                stepped[i] = stream.Logits.ToArray();
                IdentityTests.Close(whole[(i * Vocabulary)..((i + 1) * Vocabulary)], stepped[i], 2e-4);
            }
        }

        for (var split = 1; split < tokens.Length; split++)
        {
            using var stream = model.CreateSession();
            stream.Read(tokens.AsSpan(0, split));
            Assert.Equal(stepped[split - 1], stream.Logits.ToArray());
            stream.Read(tokens.AsSpan(split));
            Assert.Equal(stepped[^1], stream.Logits.ToArray());
        }
    }

    [Theory]
    [MemberData(nameof(Combinations))]
    public void TheGradientIsTheSlopeOfTheLoss(RouterKeys keys, RouterQuery query, string memory, string aggregation, SegmentKind kind, SegmentStart start)
    {
        using var device = new CpuDevice(1);
        using var model = Sharpened(Configuration(keys, query, memory, aggregation, kind, start), device);
        using var tape = new Tape(device);
        using var batch = new IdentityTests.Batch(device, IdentityTests.Tokens(46, 6));
        tape.Backward(model.Loss(tape, batch.Inputs, batch.Targets, batch.Layout).Loss);
        foreach (var parameter in model.Parameters)
        {
            var gradient = IdentityTests.Gradient(parameter);
            Assert.All(gradient, value => Assert.True(float.IsFinite(value), $"{parameter.Name} has a gradient of {value}."));
            Assert.True(gradient.Any(value => value != 0), $"{parameter.Name} receives no gradient.");
        }

        Parameter[] router = [.. model.Parameters.Where(parameter => parameter.Name.Contains("router", StringComparison.Ordinal))];
        AssertSlope(tape, batch, model, [.. model.Parameters]);

        // And that of the router's tensors alone, which is a small part of the whole. (Where segments are chosen, steps large enough to be measured change choices.)
        if (aggregation != "ssc")
        {
            AssertSlope(tape, batch, model, router);
        }
    }

    [Theory]
    [MemberData(nameof(Combinations))]
    public void SessionsForkRewindAndAreSaved(RouterKeys keys, RouterQuery query, string memory, string aggregation, SegmentKind kind, SegmentStart start)
    {
        using var device = new CpuDevice(1);
        using var model = Sharpened(Configuration(keys, query, memory, aggregation, kind, start), device);
        int[] tokens = IdentityTests.Tokens(45, 21), other = IdentityTests.Tokens(20, 22);
        var path = Path.Combine(_folder, "a.memory");
        using var session = model.CreateSession();
        session.Read(tokens.AsSpan(0, 27));
        session.SaveAs(path);
        session.Read(tokens.AsSpan(27));
        var end = session.Logits.ToArray();
        foreach (var position in (ReadOnlySpan<int>)[44, 33, 32, 9, 1])
        {
            using var fork = session.Fork();
            fork.Rewind(position);
            using var fresh = model.CreateSession();
            fresh.Read(tokens.AsSpan(0, position));
            Assert.Equal(fresh.Logits.ToArray(), fork.Logits.ToArray());
            fresh.Read(other);
            fork.Read(other);
            Assert.Equal(fresh.Logits.ToArray(), fork.Logits.ToArray());
        }

        Assert.Equal(end, session.Logits.ToArray());
        session.Save();
        session.Dispose();
        using var opened = Session.Open(model, path);
        Assert.Equal(end, opened.Logits.ToArray());
        opened.Rewind(30);
        opened.Read(tokens.AsSpan(30));
        Assert.Equal(end, opened.Logits.ToArray());
    }

    [Fact]
    public void SessionsOfABatchGetTheBitsThatTheyGetAlone()
    {
        foreach (var combination in Combinations().Where(combination => combination.Data.Item5 == SegmentKind.Constant && combination.Data.Item6 == SegmentStart.Checkpoint))
        {
            using var device = new CpuDevice(2);
            using var model = Sharpened(Of(combination.Data), device);
            Session[] together = [.. Enumerable.Range(0, 3).Select(_ => model.CreateSession())], alone = [.. Enumerable.Range(0, 3).Select(_ => model.CreateSession())];
            for (var i = 0; i < together.Length; i++)
            {
                // They stand at different positions.
                together[i].Read(IdentityTests.Tokens(5 * i, i));
                alone[i].Read(IdentityTests.Tokens(5 * i, i));
            }

            var batch = new SessionBatch(together);
            for (var step = 0; step < 20; step++)
            {
                var tokens = IdentityTests.Tokens(3, 100 + step);
                batch.Read(tokens);
                for (var i = 0; i < together.Length; i++)
                {
                    alone[i].Read(tokens[i]);
                    Assert.Equal(alone[i].Logits.ToArray(), together[i].Logits.ToArray());
                }
            }

            Array.ForEach([.. together, .. alone], session => session.Dispose());
        }
    }

    [Fact]
    public void OneSegmentIsTheBaseModel()
    {
        int[] tokens = IdentityTests.Tokens(23, 1);
        foreach (var combination in Combinations())
        {
            var (keys, query, memory, aggregation, kind, start) = combination.Data;
            var cached = Configuration(keys, query, memory, aggregation, kind, start, 32, kind == SegmentKind.Constant ? 8 : 32);
            var expected = IdentityTests.Logits(IdentityTests.Configuration(memory, "none", kind, start, 32, cached.Mixers[0].ChunkLength), tokens);
            Assert.Equal(expected, Logits(cached, tokens));
        }
    }

    [Fact]
    public void SoupOfMatrixMemoriesIsGatedResidual()
    {
        int[] tokens = IdentityTests.Tokens(41, 7);
        foreach (var combination in Combinations().Where(combination => combination.Data.Item3 != "titans" && combination.Data.Item4 == "grm"))
        {
            var (keys, query, memory, _, kind, start) = combination.Data;
            var expected = Logits(Configuration(keys, query, memory, "grm", kind, start), tokens);
            Assert.Equal(expected, Logits(Configuration(keys, query, memory, "soup", kind, start), tokens));
            IdentityTests.Close(expected, Logits(Configuration(keys, query, memory, "ssc", kind, start, topK: 100), tokens), 1e-6);
            Assert.NotEqual(expected, Logits(Configuration(keys, query, memory, "ssc", kind, start, topK: 1), tokens));
        }
    }

    [Fact]
    public void PackedDocumentsDoNotSeeEachOther()
    {
        int[] first = IdentityTests.Tokens(19, 9), second = IdentityTests.Tokens(22, 10);
        foreach (var combination in Combinations())
        {
            var configuration = Of(combination.Data);
            var packed = Logits(configuration, [.. first, .. second], [0, first.Length]);
            Assert.Equal(Logits(configuration, first), packed[..(first.Length * Vocabulary)]);
            Assert.Equal(Logits(configuration, second), packed[(first.Length * Vocabulary)..]);
        }
    }

    [Fact]
    public void StepsAndTokensAllocateNothing()
    {
        foreach (var combination in Combinations().Where(combination => combination.Data.Item5 == SegmentKind.Logarithmic && combination.Data.Item6 == SegmentStart.Independent))
        {
            using var device = new CpuDevice(1);
            using var model = Sharpened(Of(combination.Data), device);
            using var tape = new Tape(device);
            using var batch = new IdentityTests.Batch(device, IdentityTests.Tokens(46, 12));
            void Step()
            {
                tape.Reset();
                batch.Layout.Set(1, batch.Layout.Rows);
                tape.Backward(model.Loss(tape, batch.Inputs, batch.Targets, batch.Layout).Loss);
            }

            for (var i = 0; i < 3; i++)
            {
                Step();
            }

            var before = GC.GetAllocatedBytesForCurrentThread();
            Step();
            Assert.True(GC.GetAllocatedBytesForCurrentThread() == before, $"A training step of {combination.Data} allocates.");

            using var stream = model.CreateSession();
            int[] tokens = IdentityTests.Tokens(64, 13);
            for (var i = 0; i < tokens.Length; i++)
            {
                stream.Read(tokens[i]);
            }

            // One more, where buffers double; the next time is at 128.
            stream.Read(tokens[0]);
            before = GC.GetAllocatedBytesForCurrentThread();
            for (var i = 0; i < 20; i++)
            {
                stream.Read(tokens[i]);
            }

            Assert.True(GC.GetAllocatedBytesForCurrentThread() == before, $"A token of {combination.Data} allocates.");
        }
    }

    [Fact]
    public void PositionsAskNothingOfContents()
    {
        // Where u does not depend on the token that reads either, gates depend on positions alone: two texts are read with the same gates.
        using var device = new CpuDevice(1);
        using var model = Sharpened(Configuration(RouterKeys.Position, RouterQuery.Projected, "gated-linear", "grm", SegmentKind.Constant, SegmentStart.Independent), device);
        int[] first = IdentityTests.Tokens(40, 31), second = [.. IdentityTests.Tokens(39, 32), first[^1]];
        float[] GatesOfTheLast(int[] tokens)
        {
            using var session = model.CreateSession();
            session.Read(tokens.AsSpan(0, 36));
            float[] gates = [];
            session.Read(tokens.AsSpan(36, 3));
            session.ReadHandler = read => gates = read.Layer == 0 ? read.Gates.ToArray() : gates;
            session.Read(tokens[^1]);
            return gates;
        }

        // In the first layer, the router's input is the token's embedding.
        var gates = GatesOfTheLast(first);
        Assert.Equal(10, gates.Length);
        Assert.True(gates.Max() - gates.Min() > 0.01);
        Assert.Equal(gates, GatesOfTheLast(second));
    }

    [Fact]
    public void ConfigurationsKeepTheirKeys()
    {
        foreach (var keys in Enum.GetValues<RouterKeys>())
        {
            var configuration = Configuration(keys, RouterQuery.Query, "titans", "soup", SegmentKind.Constant, SegmentStart.Checkpoint);
            var json = configuration.ToJson();
            Assert.Equal(keys != RouterKeys.Memory, json.Contains("\"keys\"", StringComparison.Ordinal));
            var read = ModelConfiguration.FromJson(json);
            Assert.Equal(keys, read.Mixers[0].Cache.Router.Keys);
            Assert.Equal(json, read.ToJson());
        }

        Assert.Contains("\"keys\": \"projected\"", Configuration(RouterKeys.Projected, RouterQuery.Query, "titans", "soup", SegmentKind.Constant, SegmentStart.Checkpoint).ToJson(), StringComparison.Ordinal);
    }

    [Fact]
    public void WhatDoesNotFitIsRefusedWithASentence()
    {
        // D = 12 in 4 heads of 3 columns: positions turn pairs.
        var odd = Configuration(RouterKeys.Position, RouterQuery.Query, "titans", "grm", SegmentKind.Constant, SegmentStart.Checkpoint) with { Heads = 4 };
        var exception = Assert.Throws<LociException>(odd.Validate);
        Assert.Equal("A router that compares positions needs heads of even width, not 3.", exception.Message);

        // Nothing is routed, so nothing is compared.
        _ = (odd with { Mixers = [odd.Mixers[0] with { Cache = odd.Mixers[0].Cache with { Aggregation = "residual" } }] }).Validate();
        exception = Assert.Throws<LociException>(() => ModelConfiguration.FromJson("""{ "vocabularySize": 9, "mixers": [{ "cache": { "aggregation": "grm", "router": { "keys": "values" } } }] }"""));
        Assert.StartsWith("The model configuration is not valid", exception.Message, StringComparison.Ordinal);
        exception = Assert.Throws<LociException>(() => Configuration((RouterKeys)7, RouterQuery.Query, "titans", "grm", SegmentKind.Constant, SegmentStart.Checkpoint).Validate());
        Assert.Contains("use memory, projected or position", exception.Message, StringComparison.Ordinal);
    }

    [Fact]
    public void KeysOfItsOwnAreOneMatrixMore()
    {
        using var device = new CpuDevice(1);
        using LanguageModel
            memory = new(Configuration(RouterKeys.Memory, RouterQuery.Projected, "titans", "grm", SegmentKind.Constant, SegmentStart.Checkpoint), device, 3),
            projected = new(Configuration(RouterKeys.Projected, RouterQuery.Projected, "titans", "grm", SegmentKind.Constant, SegmentStart.Checkpoint), device, 3),
            position = new(Configuration(RouterKeys.Position, RouterQuery.Projected, "titans", "grm", SegmentKind.Constant, SegmentStart.Checkpoint), device, 3);
        static long Count(LanguageModel model) => model.Parameters.Sum(parameter => (long)parameter.Shape.Count);
        Assert.Equal(Count(memory) + (2 * 12 * 12), Count(projected));
        Assert.Equal(Count(memory) + (2 * 12), Count(position));

        // What the models share starts with the same values.
        foreach (var parameter in memory.Parameters)
        {
            Assert.Equal(IdentityTests.Values(parameter), IdentityTests.Values(projected.Parameters.Single(other => other.Name == parameter.Name)));
        }
    }

    private static ModelConfiguration Of((RouterKeys Keys, RouterQuery Query, string Memory, string Aggregation, SegmentKind Kind, SegmentStart Start) one) =>
        Configuration(one.Keys, one.Query, one.Memory, one.Aggregation, one.Kind, one.Start);

    private static ModelConfiguration Configuration(
        RouterKeys keys, RouterQuery query, string memory, string aggregation, SegmentKind kind, SegmentStart start, int segmentLength = 8, int chunkLength = 4, int topK = 2)
    {
        var configuration = IdentityTests.Configuration(memory, aggregation, kind, start, segmentLength, chunkLength, topK);
        var mixer = configuration.Mixers[0];
        return configuration with { Mixers = [mixer with { Cache = mixer.Cache with { Router = new() { Keys = keys, Query = query } } }] };
    }

    /// <summary>As <see cref="IdentityTests.Sharpened"/>; the vector of positions is not small at the start, and gates would be 0 or 1 if it were made larger.</summary>
    private static LanguageModel Sharpened(ModelConfiguration configuration, Device device)
    {
        var model = IdentityTests.Sharpened(configuration, device);
        foreach (var parameter in model.Parameters.Where(parameter => parameter.Name.EndsWith("router.position", StringComparison.Ordinal)))
        {
            parameter.Load([.. IdentityTests.Values(parameter).Select(value => value / 12)]);
        }

        return model;
    }

    private static float[] Logits(ModelConfiguration configuration, int[] tokens, int[]? starts = null) => IdentityTests.Logits(configuration, tokens, starts, Sharpened);

    /// <summary>A directional derivative along the gradient, which has been computed, by central differences.</summary>
    private static void AssertSlope(Tape tape, IdentityTests.Batch batch, LanguageModel model, Parameter[] parameters)
    {
        var values = parameters.Select(IdentityTests.Values).ToArray();
        var gradients = parameters.Select(IdentityTests.Gradient).ToArray();
        double Loss(double step)
        {
            for (var i = 0; i < values.Length; i++)
            {
                parameters[i].Load([.. values[i].Select((value, j) => (float)(value + (step * gradients[i][j])))]);
            }

            tape.Reset();
            tape.IsRecording = false;
            return tape.ToHost(model.Loss(tape, batch.Inputs, batch.Targets, batch.Layout).Loss)[0];
        }

        // Aim at a change of the loss far above rounding and small enough for the slope. Where segments are chosen, smaller steps may be needed for no choice to change.
        var slope = gradients.Sum(gradient => gradient.Sum(g => (double)g * g));
        List<double> measured = [];
        foreach (var change in (ReadOnlySpan<double>)[0.003, 0.001, 0.0003])
        {
            var size = change / slope;
            measured.Add((Loss(size / 2) - Loss(-size / 2)) / size);
            if (Math.Abs(measured[^1] - slope) < 0.02 * slope)
            {
                break;
            }
        }

        Loss(0);
        Assert.True(Math.Abs(measured[^1] - slope) < 0.02 * slope, $"The gradient says {slope:G5}, the loss rises by {string.Join(", ", measured.Select(one => $"{one:G5}"))}.");
    }
}
