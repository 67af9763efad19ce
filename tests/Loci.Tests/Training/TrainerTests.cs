using Loci.Data;
using Loci.Models;
using Loci.Numerics;
using Loci.Training;
using Xunit;
using static Loci.Tests.Training.TrainingFixture;

namespace Loci.Tests.Training;

public sealed class TrainerTests : IDisposable
{
    private readonly CpuDevice _device = new(1);

    public void Dispose() => _device.Dispose();

    [Fact]
    public void LearnsATextByHeart()
    {
        // The entropy of single letters is what a model can reach without context.
        var letters = Text.Tokens.ToArray().GroupBy(token => token).Select(group => group.Count() / (double)Text.TokenCount);
        var entropy = -letters.Sum(probability => probability * Math.Log(probability));
        using var model = Model(_device, Configuration with { Dropout = 0, Dimension = 32 });
        using var trainer = new Trainer(model, Text, Options with { Steps = 250, Context = 32, BatchRows = 4, Accumulation = 1, LearningRate = new LearningRateSchedule { Peak = 1e-2, WarmupSteps = 10 } });
        var first = trainer.TakeStep();
        TrainingStep last = default;
        while (!trainer.IsComplete)
        {
            last = trainer.TakeStep();
        }

        Assert.InRange(first.Loss, 5.3, 5.8); // ln 257 = 5.55
        Assert.True(last.Loss < entropy / 3, $"loss {last.Loss} after learning by heart, letters alone {entropy}");
        Assert.Equal(250, last.Step);
    }

    [Fact]
    public void AccumulatedBatchesAreOneLargeBatch()
    {
        // Rows hold different numbers of targets (the last is padded), so weighting batches alike would show.
        var corpus = Encode(Texts[0], Texts[1], Texts[2][..13]);
        var configuration = Configuration with { Dropout = 0 };
        using var whole = Model(_device, configuration);
        using var parts = Model(_device, configuration);
        using var wholeTrainer = new Trainer(whole, corpus, Options with { BatchRows = 4, Accumulation = 1, Context = 40 });
        using var partsTrainer = new Trainer(parts, corpus, Options with { BatchRows = 1, Accumulation = 4, Context = 40 });
        for (var i = 0; i < 3; i++)
        {
            var expected = wholeTrainer.TakeStep();
            var actual = partsTrainer.TakeStep();
            Assert.Equal(expected.StepTokens, actual.StepTokens);
            Assert.Equal(expected.Loss, actual.Loss, 1e-4);
            Assert.Equal(1, actual.GradientNorm / expected.GradientNorm, 1e-3);
        }
    }

    [Fact]
    public void LossIsTheMeanOverTheTokens()
    {
        using var model = Model(_device, Configuration with { Dropout = 0 });
        using var trainer = new Trainer(model, Text, Options);
        var sampler = new PackedSampler(Text, Options.Context, RandomGenerator.Hash(Options.Seed, 1));
        using var tape = new Tape(_device) { IsRecording = false };
        double sum = 0;
        long count = 0;
        var batch = new TokenBatch(Options.BatchRows, Options.Context);
        var inputs = _device.Allocate<int>(batch.Inputs.Length);
        var targets = _device.Allocate<int>(batch.Inputs.Length);
        for (var i = 0; i < Options.Accumulation; i++)
        {
            sampler.Next(batch);
            _device.CopyFromHost<int>(batch.Inputs, inputs);
            _device.CopyFromHost<int>(batch.Targets, targets);
            var layout = new SequenceLayout();
            layout.Set(batch.SequenceStarts, batch.Inputs.Length);
            tape.Reset();
            sum += tape.ToHost(model.Loss(tape, inputs, targets, layout).RowLosses).Sum(loss => (double)loss);
            count += batch.PredictedCount;
        }

        _device.Free(inputs);
        _device.Free(targets);
        var step = trainer.TakeStep();
        Assert.Equal(count, step.StepTokens);
        Assert.Equal(sum / count, step.Loss, 1e-5);
    }

    [Fact]
    public void StepWithoutAFiniteLossLeavesEverythingAlone()
    {
        using var model = Model(_device);
        using var trainer = new Trainer(model, Text, Options);
        trainer.TakeStep();
        var before = Weights(model);
        var embedding = model.Parameters[0];
        var poisoned = before[0].ToArray();
        poisoned[Text.Tokens[0] * 16] = float.NaN;
        poisoned[' ' * 16] = float.NaN;
        embedding.Load(poisoned);

        var step = trainer.TakeStep();

        Assert.True(step.IsSkipped);
        Assert.True(double.IsNaN(step.Loss));
        Assert.Equal((2L, 1L, 1L), (trainer.Step, trainer.SkippedSteps, trainer.SkippedInRow));
        embedding.Load(before[0]);
        Assert.Equal(before, Weights(model));
        Assert.False(trainer.TakeStep().IsSkipped);
        Assert.Equal((3L, 1L, 0L), (trainer.Step, trainer.SkippedSteps, trainer.SkippedInRow));
        Assert.All(Weights(model), values => Assert.All(values, value => Assert.True(float.IsFinite(value))));
    }

    [Fact]
    public void StepAllocatesNothing()
    {
        using var model = Model(_device);
        using var trainer = new Trainer(model, Text, Options with { Steps = 1000 });
        for (var i = 0; i < 60; i++)
        {
            trainer.TakeStep();
        }

        var before = GC.GetAllocatedBytesForCurrentThread();
        for (var i = 0; i < 20; i++)
        {
            trainer.TakeStep();
        }

        Assert.Equal(0, GC.GetAllocatedBytesForCurrentThread() - before);
    }

    [Fact]
    public void ThreadsDoNotChangeTheWeights()
    {
        using var three = new CpuDevice(3);
        using var one = Model(_device);
        using var many = Model(three);
        foreach (var model in new[] { one, many })
        {
            using var trainer = new Trainer(model, Text, Options);
            for (var i = 0; i < 4; i++)
            {
                trainer.TakeStep();
            }
        }

        Assert.Equal(Weights(one), Weights(many));
    }

    [Theory]
    [InlineData(1.0)]
    [InlineData(2.5)]
    public void EpochsBecomeSteps(double epochs)
    {
        using var model = Model(_device);
        using var trainer = new Trainer(model, Text, Options with { Steps = null, Epochs = epochs });
        var rows = new PackedSampler(Text, Options.Context, 0).RowsPerEpoch;
        Assert.Equal((long)Math.Ceiling(epochs * rows / 4), trainer.TotalSteps);
        while (!trainer.IsComplete)
        {
            trainer.TakeStep();
        }

        Assert.True(trainer.Epoch >= epochs && trainer.Epoch - (4.0 / rows) < epochs);
    }

    [Fact]
    public void TimeEndsTheRunAndLowersTheRate()
    {
        var clock = new Clock();
        using var model = Model(_device);
        using var trainer = new Trainer(
            model, Text, Options with { Steps = null, TimeLimit = TimeSpan.FromMinutes(1), LearningRate = new LearningRateSchedule { Kind = ScheduleKind.Linear, Peak = 1e-3, WarmupSteps = 0 } }, clock);
        clock.Now = TimeSpan.FromHours(5); // time before the first step does not count
        Assert.Equal(1e-3, trainer.TakeStep().LearningRate, 9);
        clock.Now += TimeSpan.FromSeconds(30);
        Assert.False(trainer.IsComplete);
        Assert.Equal(0.55e-3, trainer.TakeStep().LearningRate, 9);
        clock.Now += TimeSpan.FromSeconds(30);
        Assert.True(trainer.IsComplete);
    }

    [Fact]
    public void TextOfALargerVocabularyIsRefused()
    {
        using var model = Model(_device, Configuration with { VocabularySize = 100 });
        Assert.Contains("tokenizer", Assert.Throws<LociException>(() => new Trainer(model, Text, Options)).Message, StringComparison.Ordinal);
    }

    public static TheoryData<TrainingOptions> BadOptions =>
    [
        Options with { Steps = null },
        Options with { Steps = 0 },
        Options with { Epochs = double.NaN },
        Options with { TimeLimit = TimeSpan.Zero },
        Options with { Context = 0 },
        Options with { BatchRows = 1 << 20, Context = 1 << 20 },
        Options with { LearningRate = new LearningRateSchedule { Peak = double.PositiveInfinity } },
        Options with { LearningRate = new LearningRateSchedule { FinalFraction = 2 } },
        Options with { Beta2 = 1 },
        Options with { WeightDecay = -1 },
        Options with { MaximumGradientNorm = float.NaN },
        Options with { LogEvery = 0 },
    ];

    [Theory]
    [MemberData(nameof(BadOptions))]
    public void OptionsOutOfRangeAreRefused(TrainingOptions options) => Assert.Throws<LociException>(options.Validate);

    internal static float[][] Weights(LanguageModel model) => [.. model.Parameters.Select(parameter =>
    {
        var values = new float[parameter.Shape.Count];
        parameter.Save(values);
        return values;
    })];
}
