using Loci.Memory.Segments;
using Loci.Models;
using Loci.Numerics;
using Loci.Sessions;
using Loci.Tests.Models;
using Xunit;

namespace Loci.Tests.Sessions;

public sealed class SegmentReadTableTests
{
    [Theory]
    [InlineData("grm", SegmentKind.Constant)]
    [InlineData("ssc", SegmentKind.Constant)]
    [InlineData("grm", SegmentKind.Logarithmic)]
    public void TheTableHoldsWhatTheHandlerWasTold(string aggregation, SegmentKind kind)
    {
        using var device = new CpuDevice(1);
        using var model = IdentityTests.Sharpened(IdentityTests.Configuration("gated-linear", aggregation, kind, SegmentStart.Checkpoint), device);
        var tokens = IdentityTests.Tokens(45, 3);
        using var session = model.CreateSession();
        SegmentReadTable table = new();
        Assert.False(table.HasGates);
        Assert.Throws<InvalidOperationException>(() => table.Mean());
        Dictionary<(int Layer, int Position, int Start, int Length), float> expected = [];
        session.Read(tokens.AsSpan(0, 5));
        session.ReadHandler = read =>
        {
            table.Add(read);
            var width = read.Segments.Count + 1;
            for (var token = 0; token < read.Tokens; token++)
            {
                for (var (i, start) = (0, 0); i < width; start += i < width - 1 ? read.Segments[i] : 0, i++)
                {
                    var sum = 0f;
                    for (var head = 0; head < read.Heads; head++)
                    {
                        sum += read.Gates[(((head * read.Tokens) + token) * width) + i] / read.Heads;
                    }

                    expected[(read.Layer, read.Position + token, start, i == width - 1 ? 0 : read.Segments[i])] = sum;
                }
            }
        };
        session.Read(tokens.AsSpan(5, 12));
        session.Read(tokens.AsSpan(17));
        Assert.True(table.HasGates);
        Assert.Equal(Enumerable.Range(0, model.Configuration.Layers), table.Layers);
        foreach (var layer in table.Layers)
        {
            var reads = table.Of(layer);
            Assert.Equal((layer, 5, 40), (reads.Layer, reads.Start, reads.Tokens));
            Assert.Equal(reads.Segments.Order(), reads.Segments);
            var seen = 0;
            for (var i = 0; i < reads.Tokens; i++)
            {
                var gates = reads.GatesOf(i).ToArray();
                Assert.Equal(1, gates.Where(gate => !float.IsNaN(gate)).Sum(), 1e-5);
                for (var place = 0; place < gates.Length; place++)
                {
                    var isOnline = place == reads.Segments.Count;
                    var end = isOnline ? 0 : reads.Segments[place].End;
                    var found = isOnline
                        ? expected.Single(pair => pair.Key.Layer == layer && pair.Key.Position == 5 + i && pair.Key.Length == 0).Value
                        : expected.GetValueOrDefault((layer, 5 + i, reads.Segments[place].Start, reads.Segments[place].Length), float.NaN);
                    Assert.Equal(found, gates[place]);
                    Assert.True(float.IsNaN(found) || end <= 5 + i);
                    seen += float.IsNaN(found) ? 0 : 1;
                }
            }

            Assert.Equal(expected.Keys.Count(key => key.Layer == layer), seen);
            Assert.Equal(reads.Segments.Count + 1, reads.Uses.Count);
            foreach (var (use, place) in reads.Uses.Select((use, place) => (use, place)))
            {
                var gates = Enumerable.Range(0, reads.Tokens).Select(i => reads.GatesOf(i)[place]).Where(gate => !float.IsNaN(gate)).ToList();
                Assert.Equal((gates.Count, gates.Average()), (use.Readers, (float)use.MeanGate));
                Assert.True(use.Segment is null ? double.IsNaN(use.Chosen) : use.Chosen is >= 0 and <= 1 && use.Largest is >= 0 and <= 1);
            }

            var cached = reads.Uses.SkipLast(1).ToList();
            var readers = Enumerable.Range(0, reads.Tokens).Count(i => reads.GatesOf(i)[..^1].ToArray().Any(gate => !float.IsNaN(gate)));
            Assert.Equal(readers, cached.Sum(use => use.Largest * use.Readers), 1e-9); // one of them is for every token and head
            if (aggregation != "ssc")
            {
                Assert.All(cached, use => Assert.Equal(1, use.Chosen));
            }
        }

        var mean = table.Mean()!;
        Assert.Null(mean.Layer);
        Assert.Equal((table.Of(0).GatesOf(30)[1] + table.Of(1).GatesOf(30)[1]) / 2, mean.GatesOf(30)[1], 1e-6);
        Assert.Equal((table.Of(0).Uses[0].Largest + table.Of(1).Uses[0].Largest) / 2, mean.Uses[0].Largest, 1e-9);
        Assert.Throws<ArgumentException>(() => table.Of(7));
        Assert.Throws<ArgumentOutOfRangeException>(() => mean.GatesOf(40));
    }

    [Fact]
    public void WhatIsReadAgainTakesThePlaceOfWhatWasRead()
    {
        using var device = new CpuDevice(1);
        using var model = IdentityTests.Sharpened(IdentityTests.Configuration("gated-linear", "grm", SegmentKind.Constant, SegmentStart.Checkpoint), device);
        var tokens = IdentityTests.Tokens(40, 3);
        SegmentReadTable straight = new(), rewound = new();
        using var session = model.CreateSession();
        session.ReadHandler = rewound.Add;
        session.Read(IdentityTests.Tokens(33, 8));
        session.Rewind(0);
        session.Read(tokens);
        session.Rewind(29);
        session.Read(tokens.AsSpan(29));
        using var other = model.CreateSession();
        other.ReadHandler = straight.Add;
        other.Read(tokens);
        Assert.Equal(straight.Of(1).Segments, rewound.Of(1).Segments);
        Assert.Equal(straight.Of(1).Tokens, rewound.Of(1).Tokens);
        for (var i = 0; i < tokens.Length; i++)
        {
            Assert.Equal(straight.Of(1).GatesOf(i).ToArray(), rewound.Of(1).GatesOf(i).ToArray());
        }
    }

    [Fact]
    public void LayersThatCutTheTextDifferentlyHaveNoMean()
    {
        using var device = new CpuDevice(1);
        var configuration = IdentityTests.Configuration("gated-linear", "grm", SegmentKind.Constant, SegmentStart.Checkpoint);
        var mixer = configuration.Mixers[0];
        using LanguageModel model = new(configuration with { Mixers = [mixer, mixer with { Cache = mixer.Cache with { SegmentLength = 16 } }] }, device);
        using var session = model.CreateSession();
        SegmentReadTable table = new();
        session.ReadHandler = table.Add;
        session.Read(IdentityTests.Tokens(40, 3));
        Assert.Null(table.Mean());
        Assert.NotEqual(table.Of(0).Segments.Count, table.Of(1).Segments.Count);
    }
}
