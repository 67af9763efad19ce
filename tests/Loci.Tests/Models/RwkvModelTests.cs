using Loci.Layers;
using Loci.Memory;
using Loci.Memory.Aggregations;
using Loci.Memory.Routing;
using Loci.Memory.Segments;
using Loci.Models;
using Loci.Numerics;
using Loci.Sessions;
using Loci.Tests.Formats;
using Xunit;
using Segmentation = Loci.Memory.Segments.Segmentation;
using SegmentStart = Loci.Memory.Segments.SegmentStart;

namespace Loci.Tests.Models;

/// <summary>RWKV models that were trained elsewhere: the published checkpoints, their splits, and cached states beside them.</summary>
public sealed class RwkvModelTests(ITestOutputHelper output)
{
    public static TheoryData<string> Names => [.. RwkvModels.All];

    [Theory]
    [MemberData(nameof(Names))]
    public void LogitsAreThoseOfTheOriginalProgram(string name)
    {
        using var device = new CpuDevice(1);
        using var model = RwkvModels.Load(name, device);
        int[] prompt = RwkvModels.Prompt;
        Close(Parallel(model, prompt)[^256..]);
        foreach (var pieces in (int[][])[[1, 1, 1], [1, 2], [2, 1], [3]])
        {
            Close(Stream(model, prompt, pieces));
        }

        void Close(float[] actual)
        {
            var expected = RwkvModels.ExpectedLogits(name);
            Assert.Equal(expected.Length, actual.Length);
            var difference = expected.Zip(actual, (a, b) => Math.Abs(a - b)).Max();
            output.WriteLine($"{name}: largest difference {difference:g3}, largest logit {expected.Max(Math.Abs):g3}");
            Assert.True(difference < 1e-4f, $"The logits differ by {difference}.");
        }
    }

    /// <summary>Sessions of a model that no one here trained: forks, rewinding, files, batches, and every cache after training.</summary>
    [Theory]
    [MemberData(nameof(Names))]
    public void SessionsDoAllThatSessionsDo(string name)
    {
        using var device = new CpuDevice(1);
        using var model = RwkvModels.Load(name, device);
        var text = RwkvModels.Text(60);
        var folder = Directory.CreateTempSubdirectory("loci-rwkv-").FullName;
        try
        {
            foreach (var read in (string?[])[null, .. AggregationRegistry.AfterTraining.Select(aggregation => aggregation.Name)])
            {
                var options = new SessionOptions { AfterTraining = read is null ? null : new() { Read = read, SegmentLength = 16, OnlineBias = 1, TopK = 2 } };
                var expected = Enumerable.Range(0, 61).Select(length =>
                {
                    using var fresh = model.CreateSession(options);
                    fresh.Read(text.AsSpan(0, length));
                    return length == 0 ? [] : fresh.Logits.ToArray();
                }).ToArray();
                var path = Path.Combine(folder, $"{read}.memory");
                using (var session = model.CreateSession(options))
                {
                    session.SaveAs(path);
                    session.Read(text.AsSpan(0, 50));
                    foreach (var position in (ReadOnlySpan<int>)[49, 48, 40, 32, 17, 16, 5])
                    {
                        using var fork = session.Fork();
                        fork.Rewind(position);
                        Assert.Equal(expected[position], fork.Logits.ToArray());
                    }

                    session.Save();
                }

                using var opened = Session.Open(model, path);
                opened.Read(text.AsSpan(50));
                Assert.Equal(expected[60], opened.Logits.ToArray());

                Session[] sessions = [.. Enumerable.Range(0, 3).Select(_ => model.CreateSession(options))];
                for (var i = 0; i < sessions.Length; i++)
                {
                    sessions[i].Read(text.AsSpan(0, 14 + i));
                }

                var batch = new SessionBatch(sessions);
                for (var step = 0; step < 20; step++)
                {
                    batch.Read([text[14 + step], text[15 + step], text[16 + step]]);
                    for (var i = 0; i < sessions.Length; i++)
                    {
                        Assert.Equal(expected[15 + i + step], sessions[i].Logits.ToArray());
                    }
                }

                Assert.All(sessions, session => session.Dispose());
            }
        }
        finally
        {
            Directory.Delete(folder, true);
        }
    }

    [Theory]
    [MemberData(nameof(Names))]
    public void EverySplitGivesTheSameBits(string name)
    {
        using var device = new CpuDevice(2);
        using var model = RwkvModels.Load(name, device);
        var text = RwkvModels.Text(40);
        var whole = Parallel(model, text);
        for (var length = 1; length <= text.Length; length++)
        {
            Assert.Equal(whole[((length - 1) * 256)..(length * 256)], Stream(model, text[..length], [length]));
        }

        for (var split = 1; split < text.Length; split++)
        {
            Assert.Equal(whole[^256..], Stream(model, text, [split, text.Length - split]));
        }

        Assert.Equal(whole[^256..], Stream(model, text, [.. Enumerable.Repeat(1, text.Length)]));

        // Sequences of a batch do not see each other.
        SequenceLayout layout = new();
        layout.Set([0, 1, 9, 30], text.Length);
        var batch = Parallel(model, text, layout);
        Assert.Equal(
            [.. Parallel(model, text[..1]), .. Parallel(model, text[1..9]), .. Parallel(model, text[9..30]), .. Parallel(model, text[30..])], batch);
    }

    [Theory]
    [MemberData(nameof(Names))]
    public void NoTokenSeesALaterOne(string name)
    {
        using var device = new CpuDevice(1);
        using var model = RwkvModels.Load(name, device);
        var text = RwkvModels.Text(24);
        var before = Parallel(model, text);
        var cached = Cached(model, text, [text.Length], Residual(model), s_segments);
        for (var changed = 1; changed < text.Length; changed += 5)
        {
            int[] other = [.. text[..changed], text[changed] ^ 1, .. text[(changed + 1)..]];
            var after = Parallel(model, other);
            Assert.Equal(before[..(changed * 256)], after[..(changed * 256)]);
            Assert.NotEqual(before[(changed * 256)..], after[(changed * 256)..]);
            Assert.Equal(cached[..(changed * 64)], Cached(model, other, [text.Length], Residual(model), s_segments)[..(changed * 64)]);
        }
    }

    [Theory]
    [MemberData(nameof(Names))]
    public void SavedModelsAreTheSameWhenLoaded(string name)
    {
        using TemporaryFolder folder = new();
        using var device = new CpuDevice(1);
        using var model = RwkvModels.Load(name, device);
        model.Save(folder.Path);
        using var loaded = LanguageModel.Load(folder.Path, device);
        Assert.Equal(model.Configuration with { Mixers = [] }, loaded.Configuration with { Mixers = [] });
        Assert.Equal(Parallel(model, RwkvModels.Text(16)), Parallel(loaded, RwkvModels.Text(16)));
    }

    [Theory]
    [MemberData(nameof(Names))]
    public void TokensAllocateNothing(string name)
    {
        using var device = new CpuDevice(1);
        using var model = RwkvModels.Load(name, device);
        using var stream = model.CreateSession();
        for (var i = 0; i < 40; i++)
        {
            stream.Read(i);
        }

        var before = GC.GetAllocatedBytesForCurrentThread();
        for (var i = 0; i < 20; i++)
        {
            stream.Read(i);
        }

        Assert.Equal(before, GC.GetAllocatedBytesForCurrentThread());
    }

    [Theory]
    [MemberData(nameof(Names))]
    public void TrainingIsRefused(string name)
    {
        using var device = new CpuDevice(1);
        using var model = RwkvModels.Load(name, device);
        using var tape = new Tape(device);
        var ids = device.Allocate<int>(3);
        device.CopyFromHost<int>(RwkvModels.Prompt, ids);
        var failure = Assert.Throws<LociException>(() => model.Logits(tape, ids, new SequenceLayout(1, 3)));
        Assert.Contains("not trained", failure.Message, StringComparison.Ordinal);
        device.Free(ids);
    }

    [Theory]
    [MemberData(nameof(Names))]
    public void CachedStatesAreReadBesideTheOnlineMemory(string name)
    {
        using var device = new CpuDevice(2);
        using var model = RwkvModels.Load(name, device);
        var text = RwkvModels.Text(30);
        var plain = Cached(model, text, [text.Length], new NoCache.Reader(), Segmentation.None);

        // One segment is the base model, whatever reads.
        using var temperature = Gated(model, out var gated);
        foreach (var reader in (CacheReader[])[Residual(model), gated])
        {
            Assert.Equal(plain, Cached(model, text, [text.Length], reader, s_segments with { Length = 30 }));
            foreach (var start in Enum.GetValues<SegmentStart>())
            {
                var segments = s_segments with { Start = start };
                var whole = Cached(model, text, [text.Length], reader, segments);
                Assert.All(whole, value => Assert.True(float.IsFinite(value)));
                Assert.Equal(plain[..(8 * 64)], whole[..(8 * 64)]);
                Assert.NotEqual(plain[(8 * 64)..], whole[(8 * 64)..]);
                Assert.Equal(whole, Cached(model, text, [5, 1, 13, 11], reader, segments));
                Assert.Equal(whole, Cached(model, text, [.. Enumerable.Repeat(1, text.Length)], reader, segments));
            }
        }
    }

    private static readonly Segmentation s_segments = new(SegmentKind.Constant, 8, SegmentStart.Checkpoint);

    private static CacheReader Residual(LanguageModel model) => new AfterTrainingCache { Read = "residual" }.CreateReader(model.Device, model.Configuration.Heads, true);

    /// <summary>A gated read with fixed parameters; what is returned holds them.</summary>
    private static Parameter Gated(LanguageModel model, out CacheReader reader)
    {
        var router = Router.Fixed(model.Device, model.Configuration.Heads, 0, new RouterConfiguration().InitialTemperature, null);
        reader = new GatedResidual.Reader(router);
        return router.Temperature;
    }

    /// <summary>Final hidden states, [tokens, D], of a text read in pieces from states that cache their segments.</summary>
    private static float[] Cached(LanguageModel model, int[] tokens, int[] pieces, CacheReader reader, Segmentation segmentation)
    {
        using var tape = new Tape(model.Device) { IsRecording = false };
        MixerState[] states = [.. model.Mixers.Select(mixer => ((RwkvMixer)mixer).CreateState(reader, segmentation, new StateOptions()))];
        List<float> hidden = [];
        foreach (var piece in Pieces(tokens, pieces))
        {
            tape.Reset();
            var ids = model.Device.Allocate<int>(piece.Length);
            model.Device.CopyFromHost<int>(piece, ids);
            hidden.AddRange(tape.ToHost(model.Forward(tape, ids, new SequenceRows(new SequenceLayout(), [new StreamPart(states, piece.Length)]))));
            model.Device.Free(ids);
        }

        foreach (var state in states)
        {
            Assert.Equal(tokens.Length, state.Position);
            Assert.Equal(segmentation.VisibleAt(tokens.Length), state.CachedStates);
            state.Dispose();
        }

        return [.. hidden];
    }

    /// <summary>Logits after the last token of a text that is read in pieces.</summary>
    private static float[] Stream(LanguageModel model, int[] tokens, int[] pieces)
    {
        using var stream = model.CreateSession();
        foreach (var piece in Pieces(tokens, pieces))
        {
            stream.Read(piece);
        }

        return stream.Logits.ToArray();
    }

    private static IEnumerable<int[]> Pieces(int[] tokens, int[] pieces)
    {
        var first = 0;
        foreach (var length in pieces)
        {
            yield return tokens[first..(first + length)];
            first += length;
        }
    }

    /// <summary>Logits after every token, [tokens, vocabulary], in the parallel form.</summary>
    private static float[] Parallel(LanguageModel model, int[] tokens, SequenceLayout? layout = null)
    {
        using var tape = new Tape(model.Device) { IsRecording = false };
        var ids = model.Device.Allocate<int>(tokens.Length);
        model.Device.CopyFromHost<int>(tokens, ids);
        var logits = tape.ToHost(model.Logits(tape, ids, layout ?? new SequenceLayout(1, tokens.Length)));
        model.Device.Free(ids);
        return logits;
    }
}
