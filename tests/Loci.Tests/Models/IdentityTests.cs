using Loci.Memory.Aggregations;
using Loci.Memory.Rules;
using Loci.Memory.Segments;
using Loci.Models;
using Loci.Numerics;
using Loci.Sessions;
using Xunit;

namespace Loci.Tests.Models;

/// <summary>The identities of section 8 of the method on whole models, for every memory x aggregation x segmentation x start.</summary>
public sealed class IdentityTests
{
    internal const int Vocabulary = 31;

    public static TheoryData<string, string, SegmentKind, SegmentStart> Combinations()
    {
        var data = new TheoryData<string, string, SegmentKind, SegmentStart>();
        foreach (var rule in MemoryRules.All)
        {
            foreach (var aggregation in AggregationRegistry.Trained.Select(aggregation => aggregation.Name))
            {
                foreach (var kind in Enum.GetValues<SegmentKind>())
                {
                    foreach (var start in Enum.GetValues<SegmentStart>())
                    {
                        if (aggregation != "log-linear" || (rule.SupportsLogLinear && kind == SegmentKind.Logarithmic && start == SegmentStart.Independent))
                        {
                            data.Add(rule.Name, aggregation, kind, start);
                        }
                    }
                }
            }
        }

        data.Add("attention", "none", SegmentKind.Constant, SegmentStart.Checkpoint);
        return data;
    }

    [Theory]
    [MemberData(nameof(Combinations))]
    public void OneSegmentIsTheBaseModel(string memory, string aggregation, SegmentKind kind, SegmentStart start)
    {
        if (aggregation == "log-linear")
        {
            return; // it weighs the tokens of its one segment as well
        }

        int[] tokens = Tokens(23, 1);
        var cached = Configuration(memory, aggregation, kind, start, segmentLength: 32, chunkLength: kind == SegmentKind.Constant ? 8 : 32);
        var expected = Logits(Configuration(memory, "none", kind, start, 32, cached.Mixers[0].ChunkLength), tokens);
        Assert.Equal(expected, Logits(cached, tokens));
    }

    [Theory]
    [MemberData(nameof(Combinations))]
    public void NothingSeesTheFuture(string memory, string aggregation, SegmentKind kind, SegmentStart start)
    {
        var configuration = Configuration(memory, aggregation, kind, start);
        int[] tokens = Tokens(41, 2);
        var before = Logits(configuration, tokens);
        foreach (var position in (ReadOnlySpan<int>)[0, 3, 4, 7, 8, 15, 16, 31, 40])
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
    public void APrefixGivesThePrefixOfTheOutputs(string memory, string aggregation, SegmentKind kind, SegmentStart start)
    {
        var configuration = Configuration(memory, aggregation, kind, start);
        int[] tokens = Tokens(41, 3);
        var whole = Logits(configuration, tokens);
        for (var length = 1; length <= tokens.Length; length++)
        {
            Assert.Equal(whole[..(length * Vocabulary)], Logits(configuration, tokens[..length]));
        }
    }

    [Theory]
    [MemberData(nameof(Combinations))]
    public void StreamsAtEverySplitGiveTheParallelForm(string memory, string aggregation, SegmentKind kind, SegmentStart start)
    {
        var configuration = Configuration(memory, aggregation, kind, start);
        int[] tokens = Tokens(45, 4);
        var whole = Logits(configuration, tokens);
        using var device = new CpuDevice(1);
        using var model = Sharpened(configuration, device);

        // Token by token, against the parallel form within rounding.
        var stepped = new float[tokens.Length][];
        using (var stream = model.CreateSession())
        {
            for (var i = 0; i < tokens.Length; i++)
            {
                stream.Read(tokens[i]);
                stepped[i] = stream.Logits.ToArray();
                for (var j = 0; j < Vocabulary; j++)
                {
                    Assert.True(
                        Math.Abs(stepped[i][j] - whole[(i * Vocabulary) + j]) < 2e-4 * (1 + Math.Abs(stepped[i][j])),
                        $"Token {i}, logit {j}: step form {stepped[i][j]}, parallel form {whole[(i * Vocabulary) + j]}.");
                }
            }
        }

        // Split anywhere, the same bits as token by token.
        for (var split = 1; split < tokens.Length; split++)
        {
            using var stream = model.CreateSession();
            stream.Read(tokens.AsSpan(0, split));
            Assert.Equal(stepped[split - 1], stream.Logits.ToArray());
            stream.Read(tokens.AsSpan(split));
            Assert.Equal(stepped[^1], stream.Logits.ToArray());
        }
    }

    [Fact]
    public void LongChunksGiveTheSameModel()
    {
        // Chunks of several blocks of rows: prefixes that end anywhere in them, and the step form.
        int[] tokens = Tokens(150, 16);
        foreach (var rule in MemoryRules.All)
        {
            foreach (var kind in Enum.GetValues<SegmentKind>())
            {
                foreach (var start in Enum.GetValues<SegmentStart>())
                {
                    var configuration = Configuration(rule.Name, "grm", kind, start, segmentLength: 40, chunkLength: 40);
                    var whole = Logits(configuration, tokens);
                    foreach (var length in (ReadOnlySpan<int>)[1, 15, 16, 17, 33, 39, 40, 41, 57, 80, 97, 121, 149])
                    {
                        Assert.Equal(whole[..(length * Vocabulary)], Logits(configuration, tokens[..length]));
                    }

                    using var device = new CpuDevice(1);
                    using var model = Sharpened(configuration, device);
                    using var stream = model.CreateSession();
                    for (var i = 0; i < tokens.Length; i++)
                    {
                        stream.Read(tokens[i]);
                        Close(whole[(i * Vocabulary)..((i + 1) * Vocabulary)], stream.Logits.ToArray(), 3e-4);
                    }
                }
            }
        }
    }

    [Theory]
    [MemberData(nameof(Combinations))]
    public void EveryParameterReceivesAGradient(string memory, string aggregation, SegmentKind kind, SegmentStart start)
    {
        using var device = new CpuDevice(2);
        using var model = Sharpened(Configuration(memory, aggregation, kind, start), device);
        using var tape = new Tape(device);
        using var batch = new Batch(device, Tokens(46, 5));
        tape.Backward(model.Loss(tape, batch.Inputs, batch.Targets, batch.Layout).Loss);
        foreach (var parameter in model.Parameters)
        {
            var gradient = Gradient(parameter);
            Assert.All(gradient, value => Assert.True(float.IsFinite(value), $"{parameter.Name} has a gradient of {value}."));
            Assert.True(gradient.Any(value => value != 0), $"{parameter.Name} receives no gradient.");
        }
    }

    [Theory]
    [MemberData(nameof(Combinations))]
    public void TheGradientIsTheSlopeOfTheLoss(string memory, string aggregation, SegmentKind kind, SegmentStart start)
    {
        // A directional derivative over all parameters at once, by central differences. The direction is the gradient's sign, so the slope is large.
        using var device = new CpuDevice(1);
        using var model = Sharpened(Configuration(memory, aggregation, kind, start), device);
        using var tape = new Tape(device);
        using var batch = new Batch(device, Tokens(46, 6));
        tape.Backward(model.Loss(tape, batch.Inputs, batch.Targets, batch.Layout).Loss);
        var values = model.Parameters.Select(Values).ToArray();
        var gradients = model.Parameters.Select(Gradient).ToArray();
        double Loss(double step)
        {
            for (var i = 0; i < values.Length; i++)
            {
                model.Parameters[i].Load([.. values[i].Select((value, j) => (float)(value + (step * gradients[i][j])))]);
            }

            tape.Reset();
            tape.IsRecording = false;
            return tape.ToHost(model.Loss(tape, batch.Inputs, batch.Targets, batch.Layout).Loss)[0];
        }

        var slope = gradients.Sum(gradient => gradient.Sum(g => (double)g * g));

        // Aim at a change of the loss of about 0.003: far above rounding, small enough for the slope and for no choice of segments to change.
        var size = 0.003 / slope;
        var measured = (Loss(size / 2) - Loss(-size / 2)) / size;
        Assert.True(Math.Abs(measured - slope) < 0.02 * slope, $"The gradient says {slope:G5}, the loss rises by {measured:G5}.");
    }

    [Theory]
    [InlineData("linear")]
    [InlineData("gated-linear")]
    [InlineData("swla")]
    [InlineData("mamba2")]
    [InlineData("gla")]
    [InlineData("delta-net")]
    [InlineData("gated-delta-net")]
    public void SoupOfMatrixMemoriesIsGatedResidual(string memory)
    {
        int[] tokens = Tokens(41, 7);
        foreach (var kind in Enum.GetValues<SegmentKind>())
        {
            foreach (var start in Enum.GetValues<SegmentStart>())
            {
                var expected = Logits(Configuration(memory, "grm", kind, start), tokens);
                Assert.Equal(expected, Logits(Configuration(memory, "soup", kind, start), tokens));
                Close(expected, Logits(Configuration(memory, "ssc", kind, start, topK: 100), tokens), 1e-6);
                Assert.NotEqual(expected, Logits(Configuration(memory, "ssc", kind, start, topK: 1), tokens));
            }
        }
    }

    [Fact]
    public void ResidualOverIndependentLinearSegmentsIsLinearAttention()
    {
        int[] tokens = Tokens(41, 8);
        var expected = Logits(Configuration("linear", "none", SegmentKind.Constant, SegmentStart.Independent), tokens);
        foreach (var kind in Enum.GetValues<SegmentKind>())
        {
            Close(expected, Logits(Configuration("linear", "residual", kind, SegmentStart.Independent), tokens), 2e-5);
        }
    }

    [Fact]
    public void PackedDocumentsDoNotSeeEachOther()
    {
        foreach (var combination in Combinations())
        {
            var (memory, aggregation, kind, start) = combination.Data;
            var configuration = Configuration(memory, aggregation, kind, start);
            int[] first = Tokens(19, 9), second = Tokens(22, 10);
            var packed = Logits(configuration, [.. first, .. second], [0, first.Length]);
            Assert.Equal(Logits(configuration, first), packed[..(first.Length * Vocabulary)]);
            Assert.Equal(Logits(configuration, second), packed[(first.Length * Vocabulary)..]);
        }
    }

    [Fact]
    public void ThreadsDoNotChangeABit()
    {
        foreach (var combination in Combinations())
        {
            var (memory, aggregation, kind, start) = combination.Data;
            var configuration = Configuration(memory, aggregation, kind, start);
            List<float[]>? expected = null;
            foreach (var threads in (ReadOnlySpan<int>)[1, 2, 3])
            {
                using var device = new CpuDevice(threads);
                using var model = Sharpened(configuration, device);
                using var tape = new Tape(device);
                using var batch = new Batch(device, Tokens(46, 11));
                tape.Backward(model.Loss(tape, batch.Inputs, batch.Targets, batch.Layout).Loss);
                List<float[]> actual = [.. model.Parameters.Select(Gradient)];
                if (expected is null)
                {
                    expected = actual;
                }
                else
                {
                    Assert.Equal(expected, actual);
                }
            }
        }
    }

    [Fact]
    public void ABackwardPassAfterAnotherForwardPassIsRefused()
    {
        using var device = new CpuDevice(1);
        using var model = Sharpened(Configuration("swla", "grm", SegmentKind.Constant, SegmentStart.Independent), device);
        using Tape tape = new(device);
        using Batch batch = new(device, Tokens(46, 14)), shorter = new(device, Tokens(20, 15));
        var loss = model.Loss(tape, batch.Inputs, batch.Targets, batch.Layout).Loss;
        _ = model.Loss(tape, shorter.Inputs, shorter.Targets, shorter.Layout);
        Assert.Throws<InvalidOperationException>(() => tape.Backward(loss));
    }

    [Fact]
    public void PassesOnAnotherTapeChangeNothing()
    {
        using var device = new CpuDevice(1);
        using var model = Sharpened(Configuration("swla", "grm", SegmentKind.Constant, SegmentStart.Independent), device);
        using Tape tape = new(device), other = new(device);
        using Batch batch = new(device, Tokens(46, 14)), shorter = new(device, Tokens(20, 15));
        float[] Gradient(bool isDisturbed)
        {
            tape.Reset();
            var loss = model.Loss(tape, batch.Inputs, batch.Targets, batch.Layout).Loss;
            if (isDisturbed)
            {
                other.Reset();
                _ = model.Loss(other, shorter.Inputs, shorter.Targets, shorter.Layout);
            }

            tape.Backward(loss);
            return [.. model.Parameters.SelectMany(parameter => TakeGradient(device, parameter))];
        }

        var expected = Gradient(false);
        Assert.Contains(expected, value => value != 0);
        Assert.Equal(expected, Gradient(true));
    }

    private static float[] TakeGradient(Device device, Parameter parameter)
    {
        var values = new float[parameter.Shape.Count];
        device.CopyToHost(parameter.Gradient, values);
        parameter.ResetGradient();
        return values;
    }

    [Fact]
    public void StepsAllocateNothingAfterTheFirst()
    {
        foreach (var combination in Combinations().Where(combination => combination.Data.Item3 == SegmentKind.Logarithmic))
        {
            var (memory, aggregation, kind, start) = combination.Data;
            using var device = new CpuDevice(1);
            using var model = Sharpened(Configuration(memory, aggregation, kind, start), device);
            using var tape = new Tape(device);
            using var batch = new Batch(device, Tokens(46, 12));
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
            int[] tokens = Tokens(64, 13);
            for (var i = 0; i < tokens.Length; i++)
            {
                stream.Read(tokens[i]);
            }

            // Buffers double at powers of two; between these a token allocates nothing.
            before = GC.GetAllocatedBytesForCurrentThread();
            for (var i = 0; i < 20; i++)
            {
                stream.Read(tokens[i]);
            }

            Assert.True(GC.GetAllocatedBytesForCurrentThread() == before, $"A token of {combination.Data} allocates.");
        }
    }

    internal static ModelConfiguration Configuration(
        string memory, string aggregation, SegmentKind kind, SegmentStart start, int segmentLength = 8, int chunkLength = 4, int topK = 2) => new()
        {
            VocabularySize = Vocabulary,
            Dimension = 12,
            Layers = 2,
            Heads = 2,
            FeedForward = 10,
            Mixers =
            [
                new()
                {
                    Memory = memory,
                    ChunkLength = chunkLength,
                    Cache = new() { Aggregation = aggregation, Segments = kind, SegmentLength = segmentLength, Start = start, TopK = topK },
                },
            ],
        };

    /// <summary>A model whose weights are larger than at the start of training, so that every path carries weight.</summary>
    internal static LanguageModel Sharpened(ModelConfiguration configuration, Device device)
    {
        var model = new LanguageModel(configuration, device, 3);
        foreach (var parameter in model.Parameters.Where(parameter => parameter.Shape.Rank == 2))
        {
            parameter.Load([.. Values(parameter).Select(value => value * (parameter.Name.Contains("convolution", StringComparison.Ordinal) ? 1 : 12))]);
        }

        return model;
    }

    /// <summary>All logits of the parallel form, [tokens, vocabulary].</summary>
    internal static float[] Logits(ModelConfiguration configuration, int[] tokens, int[]? starts = null, Func<ModelConfiguration, Device, LanguageModel>? make = null)
    {
        using var device = new CpuDevice(2);
        using var model = (make ?? Sharpened)(configuration, device);
        using var tape = new Tape(device) { IsRecording = false };
        var inputs = device.Allocate<int>(tokens.Length);
        device.CopyFromHost<int>(tokens, inputs);
        var layout = new SequenceLayout();
        layout.Set(starts ?? [0], tokens.Length);
        var logits = tape.ToHost(model.Logits(tape, inputs, layout));
        device.Free(inputs);
        Assert.All(logits, value => Assert.True(float.IsFinite(value)));
        return logits;
    }

    internal static int[] Tokens(int count, int seed)
    {
        var random = new Random(seed);
        return [.. Enumerable.Range(0, count).Select(_ => random.Next(Vocabulary))];
    }

    internal static float[] Values(Parameter parameter)
    {
        var values = new float[parameter.Shape.Count];
        parameter.Save(values);
        return values;
    }

    internal static float[] Gradient(Parameter parameter)
    {
        Assert.True(parameter.HasGradient, $"{parameter.Name} has no gradient.");
        var values = new float[parameter.Shape.Count];
        parameter.Device.CopyToHost(parameter.Gradient, values);
        return values;
    }

    internal static void Close(float[] expected, float[] actual, double tolerance)
    {
        for (var i = 0; i < expected.Length; i++)
        {
            Assert.True(Math.Abs(expected[i] - actual[i]) <= tolerance * (1 + Math.Abs(expected[i])), $"Logit {i}: {expected[i]} and {actual[i]}.");
        }
    }

    internal sealed class Batch : IDisposable
    {
        private readonly Device _device;

        public Batch(Device device, int[] tokens)
        {
            _device = device;
            var rows = tokens.Length - 1;
            Inputs = device.Allocate<int>(rows);
            Targets = device.Allocate<int>(rows);
            device.CopyFromHost(tokens.AsSpan(0, rows), Inputs);
            device.CopyFromHost(tokens.AsSpan(1, rows), Targets);
            Layout = new SequenceLayout(1, rows);
        }

        public DeviceSpan<int> Inputs { get; }

        public DeviceSpan<int> Targets { get; }

        public SequenceLayout Layout { get; }

        public void Dispose()
        {
            _device.Free(Inputs);
            _device.Free(Targets);
        }
    }
}
