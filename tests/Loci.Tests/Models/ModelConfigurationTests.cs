using Loci.Memory.Aggregations;
using Loci.Memory.Routing;
using Loci.Memory.Segments;
using Loci.Models;
using Loci.Numerics;
using Xunit;

namespace Loci.Tests.Models;

public sealed class ModelConfigurationTests
{
    private static readonly ModelConfiguration s_full = new()
    {
        VocabularySize = 300,
        Dimension = 48,
        Layers = 3,
        Heads = 6,
        FeedForward = 100,
        ConvolutionWidth = 3,
        TiedEmbeddings = false,
        Dropout = 0.25f,
        NormEpsilon = 1e-5f,
        RotaryBase = 500,
        Mixers =
        [
            new()
            {
                Memory = "swla",
                ChunkLength = 16,
                Cache = new()
                {
                    Aggregation = "ssc",
                    Segments = SegmentKind.Logarithmic,
                    SegmentLength = 32,
                    Start = SegmentStart.Checkpoint,
                    TopK = 3,
                    Router = new() { Key = RouterKey.Mean, Query = RouterQuery.Query, SharedGates = true, InitialTemperature = 2, OnlineBias = 1.5f },
                },
            },
            new() { Memory = "attention" },
        ],
    };

    [Fact]
    public void AllSettingsSurviveJson()
    {
        var read = ModelConfiguration.FromJson(s_full.ToJson());
        Assert.Equal(s_full.Mixers, read.Mixers);
        Assert.Equal(s_full with { Mixers = [] }, read with { Mixers = [] });
        Assert.Contains("\"aggregation\": \"ssc\"", s_full.ToJson(), StringComparison.Ordinal);
        Assert.Contains("\"segments\": \"logarithmic\"", s_full.ToJson(), StringComparison.Ordinal);
        Assert.Contains("\"start\": \"checkpoint\"", s_full.ToJson(), StringComparison.Ordinal);
    }

    [Fact]
    public void WhatIsLeftOutHasItsDefault()
    {
        var read = ModelConfiguration.FromJson("""{ "vocabularySize": 257 }""");
        Assert.Equal(256, read.Dimension);
        Assert.Equal(704, read.HiddenWidth);
        Assert.Equal("none", read.Mixers[0].Cache.Aggregation);
    }

    [Fact]
    public void TheArchitectureStandsInTheFileWhereItIsNotTheDefault()
    {
        Assert.DoesNotContain("architecture", s_full.ToJson(), StringComparison.Ordinal);
        Assert.DoesNotContain("ranks", s_full.ToJson(), StringComparison.Ordinal);
        ModelConfiguration rwkv = new()
        {
            VocabularySize = 300,
            Architecture = ModelArchitecture.Rwkv7,
            Ranks = new RwkvRanks(8, 9, 10, 11),
            Dimension = 24,
            FeedForward = 50,
            TiedEmbeddings = false,
            Mixers = [],
        };
        var read = ModelConfiguration.FromJson(rwkv.ToJson());
        Assert.Empty(read.Mixers);
        Assert.Equal(rwkv, read with { Mixers = rwkv.Mixers });
        Assert.Contains("\"architecture\": \"rwkv-7\"", rwkv.ToJson(), StringComparison.Ordinal);
        Assert.True(ModelConfiguration.FromJson("""{ "vocabularySize": 257, "architecture": "rwkv-5.2", "feedForward": 64, "tiedEmbeddings": false }""").IsRwkv);
        Assert.False(ModelConfiguration.FromJson("""{ "vocabularySize": 257, "architecture": "llama" }""").IsRwkv);
    }

    [Theory]
    [InlineData("", "not valid")]
    [InlineData("null", "JSON object")]
    [InlineData("[1]", "JSON object")]
    [InlineData("""{ "vocabularySize": 257, "mixers": [ null ] }""", "mixer")]
    [InlineData("""{ "vocabularySize": 257, "mixers": [ { "cache": null } ] }""", "cache")]
    [InlineData("""{ "vocabularySize": 257, "vocabularySize": 258 }""", "not valid")]
    [InlineData("{}", "vocabularySize")]
    [InlineData("""{ "vocabularySize": 257, "architecture": "rwkv-4" }""", "not valid")]
    [InlineData("""{ "vocabularySize": 257, "architecture": "rwkv-7", "feedForward": 64, "tiedEmbeddings": false }""", "needs ranks")]
    [InlineData("""{ "vocabularySize": 257, "architecture": "rwkv-7", "feedForward": 64, "tiedEmbeddings": false, "ranks": { "decay": 3 } }""", "each must be at least 1")]
    [InlineData("""{ "vocabularySize": 257, "ranks": { "decay": 3, "rate": 3, "firstValue": 3, "gate": 3 } }""", "leave them out")]
    [InlineData("""{ "vocabularySize": 257, "architecture": "rwkv-5.2", "tiedEmbeddings": false }""", "give feedForward")]
    [InlineData("""{ "vocabularySize": 257, "architecture": "rwkv-5.2", "feedForward": 64 }""", "tiedEmbeddings")]
    [InlineData("""{ "vocabularySize": 257, "architecture": "rwkv-5.2", "feedForward": 64, "tiedEmbeddings": false, "dropout": 0.1 }""", "dropout")]
    [InlineData("""{ "vocabularySize": 257, "dimensoin": 3 }""", "dimensoin")]
    [InlineData("""{ "vocabularySize": 257, "dimension": 10, "heads": 3 }""", "multiple")]
    [InlineData("""{ "vocabularySize": 257, "dropout": 1 }""", "dropout")]
    [InlineData("""{ "vocabularySize": 257, "mixers": [] }""", "at least one")]
    [InlineData("""{ "vocabularySize": 257, "mixers": [ { "memory": "titan" } ] }""", "gated-linear")]
    [InlineData("""{ "vocabularySize": 257, "mixers": [ { "cache": { "aggregation": "grm", "segmentLength": 100 } } ] }""", "multiple of the chunk length")]
    [InlineData("""{ "vocabularySize": 257, "mixers": [ { "cache": { "aggregation": "best" } } ] }""", "no aggregation named 'best': use none, residual, grm, soup, ssc, log-linear")]
    public void WhatIsWrongIsSaidInOneSentence(string json, string expected)
    {
        var failure = Assert.Throws<LociException>(() => ModelConfiguration.FromJson(json));
        Assert.Contains(expected, failure.Message, StringComparison.Ordinal);
        Assert.DoesNotContain('\n', failure.Message);
    }

    [Fact]
    public void SavedModelsAreTheSameWhenLoaded()
    {
        var folder = Directory.CreateTempSubdirectory("loci-model-").FullName;
        try
        {
            using var device = new CpuDevice(1);
            using var model = new LanguageModel(s_full, device, 5);
            model.Save(folder);
            using var loaded = LanguageModel.Load(folder, device);
            Assert.Equal(model.Parameters.Select(parameter => parameter.Name), loaded.Parameters.Select(parameter => parameter.Name));
            foreach (var (mine, read) in model.Parameters.Zip(loaded.Parameters))
            {
                var expected = new float[mine.Shape.Count];
                var actual = new float[read.Shape.Count];
                mine.Save(expected);
                read.Save(actual);
                Assert.Equal(expected, actual);
            }

            // Weights of another model, and weights that are not numbers.
            using var other = new LanguageModel(s_full with { Dimension = 24 }, device);
            Assert.Throws<LociException>(() => other.LoadWeights(Path.Combine(folder, "model.safetensors")));
            model.Parameters[3].Load([.. Enumerable.Repeat(float.NaN, (int)model.Parameters[3].Shape.Count)]);
            model.Save(folder);
            var failure = Assert.Throws<LociException>(() => LanguageModel.Load(folder, device));
            Assert.Contains(model.Parameters[3].Name, failure.Message, StringComparison.Ordinal);
            File.WriteAllBytes(Path.Combine(folder, "model.safetensors"), File.ReadAllBytes(Path.Combine(folder, "model.safetensors"))[..1000]);
            Assert.Throws<LociException>(() => LanguageModel.Load(folder, device));
        }
        finally
        {
            Directory.Delete(folder, true);
        }
    }

    [Fact]
    public void InitialValuesDependOnTheNameAlone()
    {
        using var device = new CpuDevice(1);
        using var plain = new LanguageModel(s_full with { Mixers = [new() { Memory = "linear" }] }, device, 9);
        using var cached = new LanguageModel(s_full with { Mixers = [new() { Memory = "swla", Cache = new() { Aggregation = "grm" } }] }, device, 9);
        foreach (var parameter in plain.Parameters)
        {
            var twin = Assert.Single(cached.Parameters, candidate => candidate.Name == parameter.Name);
            var expected = new float[parameter.Shape.Count];
            var actual = new float[twin.Shape.Count];
            parameter.Save(expected);
            twin.Save(actual);
            Assert.Equal(expected, actual);
        }

        var embedding = new float[plain.Parameters[0].Shape.Count];
        plain.Parameters[0].Save(embedding);
        Assert.InRange(Math.Sqrt(embedding.Average(value => (double)value * value)), 0.0195, 0.0205);
        Assert.InRange(embedding.Average(), -0.001, 0.001);
    }
}
