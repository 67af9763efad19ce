using Loci.Memory.Segments;
using Loci.Models;
using Loci.Numerics;
using Loci.Sessions;
using Loci.Tests.Models;
using Xunit;

namespace Loci.Tests.Sessions;

public sealed class ReadTopKTests
{
    [Theory]
    [InlineData("gated-linear")]
    [InlineData("gated-delta-net")]
    [InlineData("titans")]
    public void GatedResidualIsReadAsSparseSelectiveCaching(string memory)
    {
        foreach (var kind in Enum.GetValues<SegmentKind>())
        {
            var grm = IdentityTests.Configuration(memory, "grm", kind, SegmentStart.Checkpoint);
            var ssc = IdentityTests.Configuration(memory, "ssc", kind, SegmentStart.Checkpoint, topK: 2);
            var tokens = IdentityTests.Tokens(61, 3);
            Assert.Equal(Read(ssc, null, tokens), Read(grm, 2, tokens));
            Assert.Equal(Read(ssc, 1, tokens), Read(grm, 1, tokens));
            Assert.NotEqual(Read(ssc, 1, tokens), Read(ssc, null, tokens));
            Assert.NotEqual(Read(grm, null, tokens), Read(grm, 1, tokens));
            var (all, whole) = (Read(grm, 1000, tokens), Read(grm, null, tokens));
            for (var i = 0; i < all.Length; i++)
            {
                Assert.Equal(whole[i], all[i], 1e-5f * (1 + Math.Abs(whole[i])));
            }
        }
    }

    [Fact]
    public void WhatCannotBeReadSoIsRefused()
    {
        foreach (var aggregation in (ReadOnlySpan<string>)["residual", "soup"])
        {
            Assert.Contains("trained with GRM or SSC", Refused(IdentityTests.Configuration("titans", aggregation, SegmentKind.Constant, SegmentStart.Checkpoint), 2), StringComparison.Ordinal);
        }

        Assert.Contains("caches no segments", Refused(IdentityTests.Configuration("titans", "none", SegmentKind.Constant, SegmentStart.Checkpoint), 2), StringComparison.Ordinal);
        Assert.Contains("at least 1", Refused(IdentityTests.Configuration("titans", "grm", SegmentKind.Constant, SegmentStart.Checkpoint), 0), StringComparison.Ordinal);

        using CpuDevice device = new(1);
        using LanguageModel model = new(IdentityTests.Configuration("titans", "grm", SegmentKind.Constant, SegmentStart.Checkpoint), device);
        using var session = model.CreateSession(new SessionOptions { ReadTopK = 2 });
        var path = Path.Combine(Path.GetTempPath(), Path.GetRandomFileName());
        Assert.Contains("not kept in a file", Assert.Throws<LociException>(() => session.SaveAs(path)).Message, StringComparison.Ordinal);
        Assert.False(File.Exists(path));
    }

    private static string Refused(ModelConfiguration configuration, int topK)
    {
        using CpuDevice device = new(1);
        using LanguageModel model = new(configuration, device);
        return Assert.Throws<LociException>(() => model.CreateSession(new SessionOptions { ReadTopK = topK })).Message;
    }

    private static float[] Read(ModelConfiguration configuration, int? topK, int[] tokens)
    {
        using CpuDevice device = new(1);
        using var model = IdentityTests.Sharpened(configuration, device);
        using var session = model.CreateSession(new SessionOptions { ReadTopK = topK });
        List<float> logits = [];
        foreach (var token in tokens)
        {
            session.Read(token);
            logits.AddRange(session.Logits);
        }

        using var split = session.Fork(); // goes on the same way
        session.Read([1, 2, 3]);
        split.Read([1, 2, 3]);
        Assert.Equal(session.Logits.ToArray(), split.Logits.ToArray());
        return [.. logits];
    }
}
