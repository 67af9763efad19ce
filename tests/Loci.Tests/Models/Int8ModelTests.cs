using Loci.Memory.Rules;
using Loci.Memory.Segments;
using Loci.Models;
using Loci.Numerics;
using Loci.Sessions;
using Loci.Tests.Formats;
using Loci.Tests.Training;
using Loci.Training;
using Xunit;

namespace Loci.Tests.Models;

/// <summary>Models whose large matrices are rounded to int8.</summary>
public sealed class Int8ModelTests
{
    public static TheoryData<string, string> Memories()
    {
        var data = new TheoryData<string, string> { { "attention", "none" } };
        foreach (var rule in MemoryRules.All)
        {
            data.Add(rule.Name, "none");
            data.Add(rule.Name, "grm");
        }

        return data;
    }

    [Theory]
    [MemberData(nameof(Memories))]
    public void AStreamHasTheSameBitsAtEverySplitAndAllocatesNothing(string memory, string aggregation)
    {
        int[] tokens = [.. Enumerable.Range(0, 45).Select(i => (i * 7) % 31)];
        float[]? expected = null;
        foreach (var threads in (ReadOnlySpan<int>)[1, 2])
        {
            using var device = new CpuDevice(threads);
            using var model = Model(device, memory, aggregation);
            model.ConvertWeights(WeightFormat.Int8);
            using var whole = model.CreateSession();
            whole.Read(tokens);
            expected ??= whole.Logits.ToArray();
            Assert.Equal(expected, whole.Logits.ToArray());
            using var single = model.CreateSession();
            foreach (var token in tokens)
            {
                single.Read(token);
            }

            Assert.Equal(expected, single.Logits.ToArray());
            var before = GC.GetAllocatedBytesForCurrentThread();
            single.Read(3);
            single.Read(5);
            Assert.Equal(before, GC.GetAllocatedBytesForCurrentThread());
        }
    }

    [Fact]
    public void RoundingChangesLittleAndSavesBytes()
    {
        using var device = new CpuDevice(2);
        using var exact = Model(device, "gated-linear", "grm");
        using var rounded = Model(device, "gated-linear", "grm");
        Assert.Equal(sizeof(float) * exact.ParameterCount, exact.WeightBytes);
        rounded.ConvertWeights(WeightFormat.Int8);
        Assert.Equal(WeightFormat.Int8, rounded.Weights);
        Assert.True(rounded.WeightBytes < 0.5 * exact.WeightBytes);
        foreach (var parameter in rounded.Parameters)
        {
            string[] large = ["embedding.weight", "qkv.weight", "mixer.gate.weight", "input.weight", "output.weight", "router.weight"];
            var isLarge = large.Any(name => parameter.Name.EndsWith(name, StringComparison.Ordinal));
            Assert.True(isLarge == (parameter.Format == WeightFormat.Int8), parameter.Name);
        }

        using Session a = exact.CreateSession(), b = rounded.CreateSession();
        int[] tokens = [.. Enumerable.Range(0, 45).Select(i => (i * 7) % 31)];
        a.Read(tokens);
        b.Read(tokens);
        var largest = 0f;
        for (var i = 0; i < 31; i++)
        {
            Assert.NotEqual(a.Logits[i], b.Logits[i]);
            Assert.True(Math.Abs(a.Logits[i] - b.Logits[i]) < 0.15, $"{a.Logits[i]} and {b.Logits[i]}");
            largest = Math.Max(largest, Math.Abs(a.Logits[i]));
        }

        Assert.True(largest > 0.5);
    }

    [Fact]
    public void RoundedModelsAreRefusedWhereTheirWeightsWouldBeNeeded()
    {
        using var folder = new TemporaryFolder();
        using var device = new CpuDevice(1);
        using (var exact = new LanguageModel(TrainingFixture.Configuration, device, 1))
        {
            exact.Save(folder.Path);
        }

        using var model = LanguageModel.Load(folder.Path, device, WeightFormat.Int8);
        Assert.Equal(WeightFormat.Int8, model.Weights);
        model.ConvertWeights(WeightFormat.Int8);
        Assert.Contains("trained", Assert.Throws<LociException>(() => new Trainer(model, TrainingFixture.Text, TrainingFixture.Options)).Message, StringComparison.Ordinal);
        Assert.Contains("saved", Assert.Throws<LociException>(() => model.Save(folder.Path)).Message, StringComparison.Ordinal);
        Assert.Contains("float32", Assert.Throws<LociException>(() => model.ConvertWeights(WeightFormat.Float32)).Message, StringComparison.Ordinal);
        Assert.Throws<LociException>(() => model.LoadWeights(Path.Combine(folder.Path, "model.safetensors")));
        using var diverged = new LanguageModel(TrainingFixture.Configuration, device, 1);
        var values = new float[diverged.Parameters[0].Shape.Count];
        values[3] = float.NaN;
        diverged.Parameters[0].Load(values);
        Assert.Contains("finite", Assert.Throws<LociException>(() => diverged.ConvertWeights(WeightFormat.Int8)).Message, StringComparison.Ordinal);
    }

    private static LanguageModel Model(Device device, string memory, string aggregation)
    {
        var configuration = IdentityTests.Configuration(memory, aggregation, SegmentKind.Constant, SegmentStart.Independent) with { Dimension = 48, FeedForward = 72 };
        var model = new LanguageModel(configuration, device, 3);
        foreach (var parameter in model.Parameters.Where(parameter => parameter.Decays))
        {
            var values = new float[parameter.Shape.Count];
            parameter.Save(values);
            parameter.Load([.. values.Select(value => 5 * value)]);
        }

        return model;
    }
}
