using Loci.Data;
using Loci.Evaluation.Experiments;
using Loci.Evaluation.Tasks.Ruler;
using Loci.Memory.Aggregations;
using Loci.Models;
using Loci.Numerics;
using Xunit;

namespace Loci.Tests.Evaluation.Ruler;

public sealed class RoutingMeasurementTests
{
    private static readonly RoutingOptions Small = new() { Needle = "niah-single-1", Lengths = [224, 320], Depths = [0, 0.5], Samples = 2, Digits = 4, Seed = 3 };

    [Fact]
    public void WhoReadsAllSegmentsAlwaysHits()
    {
        using var device = new CpuDevice(2);
        using var model = Model("ssc", device, topK: 100);
        var result = RoutingMeasurement.Measure(model, new ByteTokenizer(), Small, cancellationToken: TestContext.Current.CancellationToken);
        Assert.Equal((8, 0), (result.All.Examples, result.All.InOnlineSegment));
        Assert.Equal(new RoutingMean(8, 1, 0), result.All.All.HitRate);
        Assert.Equal(1, result.All.All.Chance);
        Assert.Equal([4, 4], result.Lengths.Select(slice => slice.Examples));
        Assert.Equal([4, 4], result.Depths.Select(slice => slice.Examples));
        Assert.Equal([(224, 0.0), (224, 0.5), (320, 0), (320, 0.5)], result.Cells.Select(slice => (slice.Length!.Value, slice.Depth!.Value)));

        // Two blocks of two heads, and the mean of each block's heads.
        Assert.Equal([(0, null), (0, 0), (0, 1), (1, null), (1, 0), (1, 1)], result.All.Heads.Select(use => (use.Layer!.Value, use.Head)));
        Assert.All(result.All.Heads, use => Assert.InRange(use.GateMass.Value, 0.001, 0.999));
        Assert.Equal(result.All.All.GateMass.Value, result.All.Heads.Where(use => use.Head is not null).Average(use => use.GateMass.Value), 1e-9);
        Assert.Equal(result.All.All.GateMass.Value, result.Cells.Average(slice => slice.All.GateMass.Value), 1e-9);
    }

    [Fact]
    public void OneOfManySegmentsIsHitAsOftenAsItIsChosen()
    {
        using var device = new CpuDevice(2);
        using LanguageModel sparse = Model("ssc", device, topK: 1), gated = Model("grm", device);
        var result = RoutingMeasurement.Measure(sparse, new ByteTokenizer(), Small, cancellationToken: TestContext.Current.CancellationToken);
        Assert.InRange(result.All.All.HitRate!.Value, 0, 0.99);
        Assert.InRange(result.All.All.Chance!.Value, 0.1, 0.9);

        // A hit is a gate above 0.
        Assert.True(result.All.All.GateMass.Value <= result.All.All.HitRate.Value);
        result = RoutingMeasurement.Measure(gated, new ByteTokenizer(), Small, cancellationToken: TestContext.Current.CancellationToken);
        Assert.Null(result.All.All.HitRate);
        Assert.Null(result.All.All.Chance);
    }

    [Fact]
    public void EqualGatesAreOnceTheUniformOnes()
    {
        using var device = new CpuDevice(1);
        using var model = Model("soup", device, memory: "titans");
        foreach (var temperature in model.Parameters.Where(parameter => parameter.Name.EndsWith("router.temperature", StringComparison.Ordinal)))
        {
            temperature.Load(new float[temperature.Shape.Count]);
        }

        var result = RoutingMeasurement.Measure(model, new ByteTokenizer(), Small with { Lengths = [224] }, cancellationToken: TestContext.Current.CancellationToken);
        Assert.Equal(1, result.All.All.GateRatio.Value, 1e-5);
        Assert.Equal(0, result.All.All.GateRatio.StandardError, 1e-5);
    }

    [Fact]
    public void WithOneSegmentTheOracleIsTheRouter()
    {
        // One segment of 128 tokens holds the needle, and the online one goes to the end.
        using var device = new CpuDevice(1);
        using var model = Model("grm", device, segmentLength: 128);
        var result = RoutingMeasurement.Measure(model, new ByteTokenizer(), Small with { Lengths = [200], Depths = [0] }, cancellationToken: TestContext.Current.CancellationToken);
        Assert.Equal(2, result.All.Examples);
        Assert.Equal(result.All.Router, result.All.Oracle);
        Assert.NotEqual(result.All.Router.Loss, result.All.Online.Loss);
    }

    [Fact]
    public void NeedlesInTheOnlineSegmentAreCountedApart()
    {
        using var device = new CpuDevice(1);
        using var model = Model("ssc", device, segmentLength: 512);
        var result = RoutingMeasurement.Measure(model, new ByteTokenizer(), Small, cancellationToken: TestContext.Current.CancellationToken);
        Assert.Equal((0, 8), (result.All.Examples, result.All.InOnlineSegment));
        Assert.Empty(result.All.Heads);
        Assert.Null(result.All.All.HitRate);
        Assert.Equal(0, result.All.Router.Accuracy.Count);
        Assert.True(double.IsNaN(result.All.All.GateMass.Value));
    }

    [Fact]
    public void AnswersAreThoseThatTheNeedleTaskMeasures()
    {
        using var device = new CpuDevice(1);
        using var model = Model("grm", device);
        NeedleTask task = new() { Needles = [Small.Needle], Digits = 4, Length = 128, TestLengths = [224, 320], Depths = [0, 0.5], TestExamples = 2, EvaluationSeed = 3 };
        var measured = task.Prepare(new ByteTokenizer(), HaystackText.Shipped).Measure(model, ExperimentSet.Test, TestContext.Current.CancellationToken);
        var result = RoutingMeasurement.Measure(model, new ByteTokenizer(), Small, HaystackText.Shipped.Divide().Held, cancellationToken: TestContext.Current.CancellationToken);
        Assert.Equal(0, result.All.InOnlineSegment);
        Assert.Equal(measured.Values["loss"], result.All.Router.Loss.Value, 1e-3);
        Assert.Equal(measured.Values["accuracy"], result.All.Router.Accuracy.Value, 1e-9);
    }

    [Theory]
    [InlineData("niah-single-2", NeedleTemplate.Short)]
    [InlineData("niah-single-3", NeedleTemplate.Ruler)]
    [InlineData("niah-multivalue", NeedleTemplate.Short)]
    [InlineData("niah-multikey-2", NeedleTemplate.Short)]
    public void NeedlesAreFoundAmongTheTokens(string name, NeedleTemplate template)
    {
        ByteTokenizer tokenizer = new();
        NeedleGenerator generator = new(NeedleTokens.TaskOf(name, template, 5, null), tokenizer);
        RandomGenerator random = new(5);
        for (var i = 0; i < 5; i++)
        {
            var example = generator.Next(random, 900);
            var tokens = NeedleTokens.Encode(tokenizer, example);
            Assert.Equal(tokenizer.EndOfTextId, tokens.Tokens[0]);
            Assert.Equal(example.Input, tokenizer.Decode(tokens.Tokens.AsSpan(1, tokens.Answer - 1)));
            Assert.Equal(example.Continuation, tokenizer.Decode(tokens.Tokens.AsSpan(tokens.Answer)));
            Assert.Equal(example.Needles.Count, tokens.Needles.Count);
            for (var needle = 0; needle < tokens.Needles.Count; needle++)
            {
                var span = tokens.Needles[needle];
                Assert.Equal(example.Input[example.Needles[needle]], tokenizer.Decode(tokens.Tokens.AsSpan(span.Start, span.Length)).Trim());
                Assert.Contains(example.Answers[needle], example.Input[example.Needles[needle]], StringComparison.Ordinal);
            }
        }
    }

    [Fact]
    public void WhatCannotBeMeasuredIsRefused()
    {
        using var device = new CpuDevice(1);
        foreach (var aggregation in (ReadOnlySpan<string>)["none", "residual"])
        {
            using var plain = Model(aggregation, device);
            var exception = Assert.Throws<LociException>(() => RoutingMeasurement.Measure(plain, new ByteTokenizer(), Small, cancellationToken: TestContext.Current.CancellationToken));
            Assert.Contains("use a model with the aggregation grm, soup or ssc", exception.Message, StringComparison.Ordinal);
        }

        using var model = Model("ssc", device);
        foreach (var options in (RoutingOptions[])[Small with { Lengths = [] }, Small with { Lengths = [31] }, Small with { Depths = [1.5] }, Small with { Samples = 0 }, Small with { Digits = 0 }, Small with { Needle = "niah" }])
        {
            Assert.Throws<LociException>(() => RoutingMeasurement.Measure(model, new ByteTokenizer(), options, cancellationToken: TestContext.Current.CancellationToken));
        }

        using CancellationTokenSource cancelled = new();
        cancelled.Cancel();
        Assert.Throws<OperationCanceledException>(() => RoutingMeasurement.Measure(model, new ByteTokenizer(), Small, cancellationToken: cancelled.Token));
    }

    private static LanguageModel Model(string aggregation, Device device, int topK = 2, int segmentLength = 16, string memory = "gated-linear") => new(
        new ModelConfiguration
        {
            VocabularySize = 257,
            Dimension = 16,
            Layers = 2,
            Heads = 2,
            FeedForward = 16,
            Mixers = [new() { Memory = memory, ChunkLength = 16, Cache = new() { Aggregation = aggregation, SegmentLength = segmentLength, TopK = topK } }],
        },
        device, 4);
}
