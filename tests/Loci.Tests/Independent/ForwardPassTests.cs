using Loci.Memory;
using Loci.Memory.Routing;
using Loci.Memory.Rules;
using Loci.Memory.Segments;
using Loci.Models;
using Loci.Numerics;
using Loci.Sessions;
using Loci.Tests.Data;
using Loci.Tests.Models;
using Xunit;

namespace Loci.Tests.Independent;

/// <summary>The logits of model folders, against those that docs/models.md and the bytes of the files give in doubles.</summary>
public sealed class ForwardPassTests : IDisposable
{
    private const double Tolerance = 5e-5; // of 1 + |logit|; single precision comes to 2.5e-5 in deep networks, to 1e-5 elsewhere

    private readonly TemporaryFolder _folder = new();

    public static TheoryData<string, string, SegmentKind, SegmentStart> Combinations() => IdentityTests.Combinations();

    public void Dispose() => _folder.Dispose();

    [Theory]
    [MemberData(nameof(Combinations))]
    public void Every_memory_aggregation_kind_and_start(string memory, string aggregation, SegmentKind kind, SegmentStart start) =>
        AssertSame(IdentityTests.Configuration(memory, aggregation, kind, start));

    [Fact]
    public void Every_router()
    {
        foreach (var key in Enum.GetValues<RouterKey>())
        {
            foreach (var keys in Enum.GetValues<RouterKeys>())
            {
                foreach (var query in Enum.GetValues<RouterQuery>())
                {
                    RouterConfiguration[] routers = [new(), new() { SharedGates = true, InitialTemperature = 1.5f, OnlineBias = 0.5f }];
                    foreach (var router in routers)
                    {
                        AssertSame(With(
                            Logarithmic("gated-linear", "grm"),
                            mixer => mixer with
                            {
                                Cache = mixer.Cache with
                                {
                                    Router = router with { Key = key, Keys = keys, Query = query },
                                },
                            }));
                    }
                }
            }
        }
    }

    [Theory]
    [InlineData("dla", 1, true, 1f, null, null)]
    [InlineData("dla", 2, false, 0.5f, true, true)]
    [InlineData("dla", 3, true, null, null, true)]
    [InlineData("titans", 1, true, 1f, null, null)]
    [InlineData("titans", 3, true, 1f, false, null)]
    [InlineData("titans", 4, false, 2f, null, false)]
    public void Every_deep_network(string memory, int depth, bool norm, float? clip, bool? decay, bool? momentum)
    {
        string[] aggregations = ["residual", "soup", "ssc"];
        foreach (var aggregation in aggregations)
        {
            AssertSame(With(
                Constant(memory, aggregation),
                mixer => mixer with
                {
                    Deep = new() { Depth = depth, Expansion = 2, Norm = norm, GradientClip = clip, Decay = decay, Momentum = momentum },
                }));
        }
    }

    [Fact]
    public void Settings_of_the_block()
    {
        var linear = Constant("gated-linear", "ssc");
        var titans = Constant("titans", "grm", chunkLength: 1);
        MixerConfiguration attention = new() { Memory = "attention" };
        AssertSame(linear with
        {
            Layers = 4,
            TiedEmbeddings = false,
            ConvolutionWidth = 3,
            FeedForward = 0,
            NormEpsilon = 1e-3f,
            RotaryBase = 50,
            Mixers = [linear.Mixers[0], attention, titans.Mixers[0]],
        });
    }

    [Fact]
    public void Starts_that_the_file_leaves_out_are_those_of_the_rule()
    {
        foreach (var rule in MemoryRules.All)
        {
            AssertSame(With(
                Constant(rule.Name, "grm"),
                mixer => mixer with { Cache = mixer.Cache with { Start = null } }));
        }
    }

    private static ModelConfiguration Constant(string memory, string aggregation, int chunkLength = 4) =>
        IdentityTests.Configuration(memory, aggregation, SegmentKind.Constant, SegmentStart.Independent, chunkLength: chunkLength);

    private static ModelConfiguration Logarithmic(string memory, string aggregation) =>
        IdentityTests.Configuration(memory, aggregation, SegmentKind.Logarithmic, SegmentStart.Checkpoint);

    private static ModelConfiguration With(ModelConfiguration configuration, Func<MixerConfiguration, MixerConfiguration> change) =>
        configuration with { Mixers = [.. configuration.Mixers.Select(change)] };

    private void AssertSame(ModelConfiguration configuration)
    {
        using (CpuDevice device = new(1))
        using (var model = Randomized(configuration, device))
        {
            model.Save(_folder.Path);
        }

        int[] tokens = IdentityTests.Tokens(45, 12);
        ModelFolder folder = new(_folder.Path);
        var expected = new ForwardPass(folder).Logits(tokens);
        Assert.Empty(folder.Unread);

        var parallel = IdentityTests.Logits(configuration, tokens, make: (_, device) => LanguageModel.Load(_folder.Path, device));
        AssertClose(expected, [.. parallel.Chunk(IdentityTests.Vocabulary)]);
        AssertClose(expected, Stepped(tokens));
    }

    private float[][] Stepped(int[] tokens)
    {
        using CpuDevice device = new(1);
        using var model = LanguageModel.Load(_folder.Path, device);
        using var session = model.CreateSession();
        return [.. tokens.Select(token =>
        {
            session.Read(token);
            return session.Logits.ToArray();
        })];
    }

    /// <summary>Weights of which every one matters: no gain of 1, no bias of 0, matrices larger than at the start of training.</summary>
    private static LanguageModel Randomized(ModelConfiguration configuration, CpuDevice device)
    {
        LanguageModel model = new(configuration, device, 5);
        Random random = new(6);
        foreach (var parameter in model.Parameters)
        {
            var scale = parameter.Shape.Rank == 2 && !parameter.Name.Contains("convolution", StringComparison.Ordinal) ? 12 : 1;
            parameter.Load([.. IdentityTests.Values(parameter).Select(value => (scale * value) + (0.2f * (random.NextSingle() - 0.5f)))]);
        }

        return model;
    }

    private static void AssertClose(double[][] expected, float[][] actual)
    {
        for (var t = 0; t < expected.Length; t++)
        {
            for (var i = 0; i < expected[t].Length; i++)
            {
                var error = Math.Abs(expected[t][i] - actual[t][i]) / (1 + Math.Abs(expected[t][i]));
                Assert.True(error < Tolerance, $"Token {t}, logit {i}: {actual[t][i]}, in doubles {expected[t][i]}.");
            }
        }
    }
}
