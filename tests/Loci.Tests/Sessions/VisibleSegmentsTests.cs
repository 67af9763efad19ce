using Loci.Memory.Aggregations;
using Loci.Memory.Segments;
using Loci.Models;
using Loci.Numerics;
using Loci.Sessions;
using Loci.Tests.Models;
using Xunit;

namespace Loci.Tests.Sessions;

/// <summary>Sessions that read only some of their cached segments.</summary>
public sealed class VisibleSegmentsTests
{
    public static TheoryData<string, string, SegmentKind, SegmentStart> Combinations()
    {
        var data = new TheoryData<string, string, SegmentKind, SegmentStart>();
        foreach (var memory in (ReadOnlySpan<string>)["gated-linear", "titans", "delta-net"])
        {
            foreach (var aggregation in (ReadOnlySpan<string>)["grm", "soup", "ssc"])
            {
                foreach (var kind in Enum.GetValues<SegmentKind>())
                {
                    foreach (var start in Enum.GetValues<SegmentStart>())
                    {
                        data.Add(memory, aggregation, kind, start);
                    }
                }
            }
        }

        data.Add("titans", "residual", SegmentKind.Constant, SegmentStart.Checkpoint);
        return data;
    }

    [Theory]
    [MemberData(nameof(Combinations))]
    public void AllSegmentsAreWhatIsReadWithout(string memory, string aggregation, SegmentKind kind, SegmentStart start)
    {
        using var device = new CpuDevice(1);
        using var model = IdentityTests.Sharpened(IdentityTests.Configuration(memory, aggregation, kind, start), device);
        int[] tokens = IdentityTests.Tokens(61, 41);
        using Session expected = model.CreateSession(), actual = model.CreateSession(), some = model.CreateSession(), back = model.CreateSession();
        actual.VisibleSegments = [new SegmentSpan(0, 30), new SegmentSpan(30, 1000)];
        some.VisibleSegments = [new SegmentSpan(9, 1)];
        back.VisibleSegments = [];
        expected.Read(tokens);
        actual.Read(tokens);
        some.Read(tokens);
        Assert.Equal(expected.Logits.ToArray(), actual.Logits.ToArray());
        Assert.NotEqual(expected.Logits.ToArray(), some.Logits.ToArray());

        // Forks and rewound sessions keep it, and what is set to null reads all again.
        using (var fork = actual.Fork())
        {
            fork.VisibleSegments = [];
            fork.Rewind(40);
            fork.Read(tokens.AsSpan(40));
            Assert.NotEqual(expected.Logits.ToArray(), fork.Logits.ToArray());
        }

        using (var fork = some.Fork())
        {
            Assert.Equal(some.VisibleSegments, fork.VisibleSegments);
            fork.Rewind(50);
            fork.Read(tokens.AsSpan(50));
            Assert.Equal(some.Logits.ToArray(), fork.Logits.ToArray());
        }

        back.VisibleSegments = null;
        back.Read(tokens);
        Assert.Equal(expected.Logits.ToArray(), back.Logits.ToArray());
    }

    [Theory]
    [InlineData("gated-linear", "grm")]
    [InlineData("gated-linear", "ssc")]
    [InlineData("delta-net", "grm")]
    [InlineData("titans", "grm")]
    [InlineData("titans", "soup")]
    [InlineData("titans", "ssc")]
    [InlineData("titans", "residual")]
    public void OneSegmentIsWhatACacheOfItAloneReads(string memory, string aggregation)
    {
        // In one layer without convolution, segments that start independently know nothing of each other.
        var configuration = IdentityTests.Configuration(memory, aggregation, SegmentKind.Constant, SegmentStart.Independent) with { Layers = 1, ConvolutionWidth = 1 };
        using var device = new CpuDevice(1);
        using var model = IdentityTests.Sharpened(configuration, device);
        int[] tokens = IdentityTests.Tokens(45, 42), online = tokens[40..];
        using var whole = model.CreateSession();
        whole.Read(tokens.AsSpan(0, 40));
        List<float> gates = [];
        foreach (var segment in (ReadOnlySpan<int>)[-1, 0, 2, 4])
        {
            using Session one = whole.Fork(), alone = model.CreateSession();
            one.VisibleSegments = segment < 0 ? [] : [new SegmentSpan((8 * segment) + 7, 1)];
            one.ReadHandler = read => gates.AddRange(read.Gates);
            if (segment >= 0)
            {
                alone.Read(tokens.AsSpan(8 * segment, 8));
            }

            foreach (var token in online)
            {
                gates.Clear();
                one.Read(token);
                alone.Read(token);
                Assert.Equal(alone.Logits.ToArray(), one.Logits.ToArray());
                if (aggregation != "residual")
                {
                    // [H, segments + 1]: what is hidden has no gate.
                    Assert.Equal(2 * 6, gates.Count);
                    for (var i = 0; i < gates.Count; i++)
                    {
                        Assert.Equal(i % 6 == segment || i % 6 == 5, gates[i] > 0);
                    }

                    Assert.Equal(2, gates.Sum(), 1e-5);
                }
            }
        }
    }

    [Fact]
    public void TheIndexOfManySegmentsIsNotAskedForHiddenOnes()
    {
        // More than 256 segments: a token finds the best through the index. Hidden from all but 60, it reads the best two of these.
        var configuration = IdentityTests.Configuration("gated-linear", "ssc", SegmentKind.Constant, SegmentStart.Independent, 2, 2) with { Layers = 1 };
        using var device = new CpuDevice(1);
        using var model = IdentityTests.Sharpened(configuration, device);
        using var session = model.CreateSession();
        int[] tokens = IdentityTests.Tokens(601, 43);
        session.Read(tokens.AsSpan(0, 600));
        foreach (var visible in (SegmentSpan[][])[[new(0, 600)], [new(200, 120)], [new(590, 2), new(3, 1)]])
        {
            using var fork = session.Fork();
            fork.VisibleSegments = visible;
            float[] gates = [];
            fork.ReadHandler = read => gates = read.Gates.ToArray();
            fork.Read(tokens[600]);
            for (var head = 0; head < 2; head++)
            {
                var chosen = Enumerable.Range(0, 300).Where(segment => gates[(head * 301) + segment] > 0).ToArray();
                Assert.Equal(2, chosen.Length);
                Assert.All(chosen, segment => Assert.Contains(visible, span => span.Overlaps(new SegmentSpan(2 * segment, 2))));
            }
        }
    }

    [Theory]
    [InlineData("gated-linear", "residual")]
    [InlineData("gated-linear", "log-linear")]
    public void WhatReadsAllAtOnceIsRefused(string memory, string aggregation)
    {
        using var device = new CpuDevice(1);
        using var model = new LanguageModel(IdentityTests.Configuration(memory, aggregation, SegmentKind.Logarithmic, SegmentStart.Independent), device);
        using var session = model.CreateSession();
        session.VisibleSegments = null;
        var exception = Assert.Throws<LociException>(() => session.VisibleSegments = [new SegmentSpan(0, 8)]);
        Assert.Contains("cannot be hidden", exception.Message, StringComparison.Ordinal);
    }

    [Fact]
    public void AveragesAreRefused()
    {
        using var device = new CpuDevice(1);
        using var model = new LanguageModel(IdentityTests.Configuration("gated-linear", "none", SegmentKind.Constant, SegmentStart.Independent), device);
        using var session = model.CreateSession(new SessionOptions { AfterTraining = new AfterTrainingCache { SegmentLength = 8 } });
        Assert.Throws<LociException>(() => session.VisibleSegments = []);
    }
}
