using Loci.Data;
using Loci.Evaluation.Tasks.Recall;
using Loci.Memory;
using Loci.Models;
using Loci.Numerics;
using Loci.Training;
using Xunit;

namespace Loci.Tests.Evaluation.Recall;

public sealed class MultiQueryRecallTests
{
    private static readonly MultiQueryRecallOptions Small = new() { VocabularySize = 64, Length = 32, Pairs = [4] };

    public static TheoryData<int, int, int[], bool> Sizes { get; } = new()
    {
        { 64, 32, [4], true }, { 64, 32, [8], false }, { 33, 32, [1, 3, 8], true }, { 8192, 256, [16, 64], true }, { 5, 4, [1], false },
    };

    [Theory]
    [MemberData(nameof(Sizes))]
    public void RowsArePairsAndThenEveryKeyOnce(int vocabulary, int length, int[] pairs, bool random)
    {
        MultiQueryRecall task = new(new MultiQueryRecallOptions { VocabularySize = vocabulary, Length = length, Pairs = pairs, RandomNonQueries = random }, seed: 3);
        TokenBatch batch = new(4, length);
        HashSet<int> seen = [];
        for (var round = 0; round < 20; round++)
        {
            task.Next(batch);
            Assert.Equal([0, length, 2 * length, 3 * length], batch.SequenceStarts.ToArray());
            var predicted = 0;
            for (var row = 0; row < batch.Rows; row++)
            {
                predicted += AssertRow(batch.Inputs.AsSpan(row * length, length), batch.Targets.AsSpan(row * length, length));
            }

            Assert.Equal(predicted, batch.PredictedCount);
        }

        Assert.Equal(pairs.Order(), seen.Order());

        int AssertRow(ReadOnlySpan<int> inputs, ReadOnlySpan<int> targets)
        {
            var count = 0;
            foreach (var target in targets)
            {
                count += target == TokenBatch.Ignored ? 0 : 1;
            }

            Assert.Contains(count, pairs);
            seen.Add(count);
            Dictionary<int, int> values = [];
            for (var i = 0; i < count; i++)
            {
                var (key, value) = (inputs[2 * i], inputs[(2 * i) + 1]);
                Assert.InRange(key, 1, (vocabulary / 2) - 1);
                Assert.InRange(value, vocabulary / 2, vocabulary - 1);
                values.Add(key, value); // throws where a key comes twice
            }

            Assert.Equal(count, values.Values.Distinct().Count());
            for (var position = 0; position < length; position++)
            {
                Assert.InRange(inputs[position], 0, vocabulary - 1);
                if (targets[position] != TokenBatch.Ignored)
                {
                    Assert.True(position >= 2 * count && position % 2 == 0);
                    Assert.True(values.Remove(inputs[position], out var value));
                    Assert.Equal(value, targets[position]);
                }
                else if (position >= 2 * count && !random)
                {
                    Assert.Equal(0, inputs[position]);
                }
            }

            Assert.Empty(values);
            return count;
        }
    }

    [Fact]
    public void RowIsTheOneThatWasDrawnByHand()
    {
        // Two pairs in eight tokens leave two places, so that both are taken, and blanks after them.
        MultiQueryRecall task = new(new MultiQueryRecallOptions { VocabularySize = 12, Length = 8, Pairs = [2], RandomNonQueries = false }, seed: 1);
        TokenBatch batch = new(1, 8);
        for (var i = 0; i < 50; i++)
        {
            task.Next(batch);
            int[] x = batch.Inputs;
            var swapped = x[4] != x[0];
            Assert.Equal([x[0], x[1], x[2], x[3], swapped ? x[2] : x[0], 0, swapped ? x[0] : x[2], 0], x);
            Assert.Equal([-1, -1, -1, -1, swapped ? x[3] : x[1], -1, swapped ? x[1] : x[3], -1], batch.Targets);
        }
    }

    [Theory]
    [InlineData(0.01)]
    [InlineData(0.5)]
    [InlineData(1)]
    public void PlacesFollowThePowerLaw(double power)
    {
        const int Rows = 20_000;
        MultiQueryRecall task = new(Small with { Pairs = [1], PowerA = power }, seed: 5);
        TokenBatch batch = new(1, 32);
        var counts = new int[15];
        for (var i = 0; i < Rows; i++)
        {
            task.Next(batch);
            counts[(Array.FindIndex(batch.Targets, target => target >= 0) - 2) / 2]++;
        }

        double[] weights = [.. Enumerable.Range(1, 15).Select(place => Math.Pow(place, power - 1))];
        for (var place = 0; place < 15; place++)
        {
            var probability = weights[place] / weights.Sum();
            Assert.InRange((counts[place] - (Rows * probability)) / Math.Sqrt(Rows * probability * (1 - probability)), -4.5, 4.5);
        }
    }

    [Fact]
    public void PlacesAreDrawnOneAfterAnotherWithoutReplacement()
    {
        // Three places with weights 1, 1/2 and 1/3: where the second of two queries stands at the first, the first one stands at another.
        MultiQueryRecall task = new(new MultiQueryRecallOptions { VocabularySize = 64, Length = 10, Pairs = [2], PowerA = 1e-9 }, seed: 7);
        double[] p = [6 / 11.0, 3 / 11.0, 2 / 11.0];
        var expected = (p[1] * p[0] / (1 - p[1])) + (p[2] * p[0] / (1 - p[2]));
        TokenBatch batch = new(1, 10);
        const int Rows = 20_000;
        var count = 0;
        for (var i = 0; i < Rows; i++)
        {
            task.Next(batch);
            count += batch.Targets[4] == batch.Inputs[3] ? 1 : 0;
        }

        Assert.InRange((count - (Rows * expected)) / Math.Sqrt(Rows * expected * (1 - expected)), -4.5, 4.5);
    }

    [Fact]
    public void KeysAndValuesAreUniform()
    {
        MultiQueryRecall task = new(Small, seed: 9);
        TokenBatch batch = new(1, 32);
        var counts = new int[64];
        const int Rows = 4000;
        for (var i = 0; i < Rows; i++)
        {
            task.Next(batch);
            foreach (var token in batch.Inputs.AsSpan(0, 8))
            {
                counts[token]++;
            }
        }

        Assert.Equal(0, counts[0]);
        Assert.All(counts[1..32], count => Assert.InRange(count / (Rows * 4 / 31.0), 0.8, 1.2));
        Assert.All(counts[32..], count => Assert.InRange(count / (Rows * 4 / 32.0), 0.8, 1.2));
    }

    [Fact]
    public void RowIsDecidedBySeedAndNumberAlone()
    {
        var one = Rows(new MultiQueryRecall(Small, 1), batchRows: 1, 12);
        Assert.Equal(one, Rows(new MultiQueryRecall(Small, 1), batchRows: 4, 12));
        Assert.NotEqual(one, Rows(new MultiQueryRecall(Small, 2), batchRows: 1, 12));
        MultiQueryRecall later = new(Small, 1) { RowsTaken = 5 };
        Assert.Equal(one[(5 * 32)..], Rows(later, batchRows: 1, 7));
        Assert.Equal(12, later.RowsTaken);

        static int[] Rows(MultiQueryRecall task, int batchRows, int count)
        {
            TokenBatch batch = new(batchRows, 32);
            List<int> tokens = [];
            for (var i = 0; i < count; i += batchRows)
            {
                task.Next(batch);
                tokens.AddRange(batch.Inputs);
            }

            return [.. tokens];
        }
    }

    [Fact]
    public void FillingAllocatesNothing()
    {
        MultiQueryRecall task = new(Small with { Pairs = [2, 4] }, 1);
        TokenBatch batch = new(8, 32);
        for (var i = 0; i < 60; i++)
        {
            task.Next(batch);
        }

        var before = GC.GetAllocatedBytesForCurrentThread();
        task.Next(batch);
        Assert.Equal(before, GC.GetAllocatedBytesForCurrentThread());
    }

    [Fact]
    public void MixedRowsHoldAsManySequencesOfOneSizeAsFit()
    {
        RecallSize[] sizes = [new(16, 2), new(24, 6), new(40, 10)];
        MultiQueryRecall task = new(new MultiQueryRecallOptions { VocabularySize = 48, Length = 56, Sizes = sizes, RandomNonQueries = false }, seed: 5);
        TokenBatch batch = new(1, 56);
        HashSet<RecallSize> seen = [];
        for (var row = 0; row < 40; row++)
        {
            task.Next(batch);
            var starts = batch.SequenceStarts.ToArray();
            var size = Assert.Single(sizes, one => one.Length == starts[1]);
            seen.Add(size);
            var count = 56 / size.Length;
            Assert.Equal(Enumerable.Range(0, count + (56 % size.Length > 0 ? 1 : 0)).Select(i => i * size.Length), starts); // the last one is padding
            Assert.Equal(count * size.Pairs, batch.PredictedCount);
            for (var sequence = 0; sequence < count; sequence++)
            {
                var inputs = batch.Inputs.AsSpan(sequence * size.Length, size.Length);
                var targets = batch.Targets.AsSpan(sequence * size.Length, size.Length);
                Dictionary<int, int> values = [];
                for (var i = 0; i < size.Pairs; i++)
                {
                    values.Add(inputs[2 * i], inputs[(2 * i) + 1]);
                }

                for (var position = 0; position < size.Length; position++)
                {
                    if (targets[position] != TokenBatch.Ignored)
                    {
                        Assert.True(values.Remove(inputs[position], out var value));
                        Assert.Equal(value, targets[position]);
                    }
                }

                Assert.Empty(values);
            }

            Assert.All(batch.Targets[(count * size.Length)..], target => Assert.Equal(TokenBatch.Ignored, target));
        }

        Assert.Equal(3, seen.Count);
    }

    [Fact]
    public void CurriculumBringsSizesInOneAfterTheOther()
    {
        RecallSize[] sizes = [new(8, 2), new(16, 4), new(32, 8)];
        MultiQueryRecallOptions options = new() { VocabularySize = 48, Length = 32, Sizes = sizes, CurriculumRows = 200 };
        MultiQueryRecall task = new(options, seed: 6);
        TokenBatch batch = new(1, 32);
        List<int> predicted = []; // 8 pairs a row with the first size and the second, so the sequences tell
        List<int> sequences = [];
        for (var row = 0; row < 400; row++)
        {
            task.Next(batch);
            predicted.Add(batch.PredictedCount);
            sequences.Add(batch.SequenceStarts.Length);
        }

        Assert.All(predicted, count => Assert.Equal(8, count));
        Assert.All(sequences[..100], count => Assert.Equal(4, count));
        Assert.Equal([2, 4], sequences[100..200].Distinct().Order());
        Assert.Equal([1, 2, 4], sequences[200..].Distinct().Order());

        // A row depends on its number alone.
        MultiQueryRecall later = new(options, seed: 6) { RowsTaken = 399 };
        var last = batch.Inputs.ToArray();
        later.Next(batch);
        Assert.Equal(last, batch.Inputs);
    }

    [Fact]
    public void SizesAreMeasuredByThemselves()
    {
        using var device = new CpuDevice(1);
        using LanguageModel model = new(new ModelConfiguration { VocabularySize = 48, Dimension = 8, Layers = 1, Heads = 2 }, device, 3);
        MultiQueryRecallOptions options = new() { VocabularySize = 48, Length = 64, Sizes = [new(32, 8), new(16, 4), new(64, 8), new(16, 4)] };
        var both = RecallMeasurement.Measure(model, options, 6, 9, TestContext.Current.CancellationToken);
        Assert.Equal([new RecallSize(16, 4), new RecallSize(32, 8), new RecallSize(64, 8)], both.BySize.Keys.OrderBy(size => size.Length));
        Assert.Equal(6 * (4 + 8 + 8), both.Queries);
        Assert.Equal([(4, 24L), (8, 96L)], both.ByPairs.Select(count => (count.From, count.Queries)));
        foreach (var (size, count) in both.BySize)
        {
            var alone = RecallMeasurement.Measure(model, options with { Sizes = [size] }, 6, 9, TestContext.Current.CancellationToken);
            Assert.Equal((alone.Queries, alone.Correct), (count.Queries, count.Correct));
        }
    }

    [Fact]
    public void OptionsThatCannotBeAreExplained()
    {
        Fails("length", Small with { Length = 31 });
        Fails("length", Small with { Length = 0 });
        Fails("vocabulary", Small with { VocabularySize = 8 });
        Fails("list of sizes is empty", Small with { Sizes = [] });
        Fails("do not fit into rows of 32", Small with { Sizes = [new RecallSize(64, 4)] });
        Fails("cannot hold 5 pairs", Small with { Sizes = [new RecallSize(16, 5)] });
        Fails("come in over -1 rows", Small with { Sizes = [new RecallSize(16, 4)], CurriculumRows = -1 });
        Fails("pairs", Small with { Pairs = [] });
        Fails("pairs", Small with { Pairs = [4, 0] });
        Fails("cannot hold 9 pairs", Small with { Pairs = [9] });
        Fails("power", Small with { PowerA = 0 });
        Fails("power", Small with { PowerA = double.NaN });
        Assert.Throws<ArgumentException>(() => new MultiQueryRecall(Small, 0).Next(new TokenBatch(1, 16)));

        static void Fails(string part, MultiQueryRecallOptions options) =>
            Assert.Contains(part, Assert.Throws<LociException>(() => new MultiQueryRecall(options, 0)).Message, StringComparison.Ordinal);
    }

    [Fact]
    public void MeasuredLossIsTheModelsOwn()
    {
        using CpuDevice device = new(1);
        using LanguageModel model = new(new ModelConfiguration { VocabularySize = 64, Dimension = 16, Layers = 1, Heads = 2, Mixers = [new MixerConfiguration { ChunkLength = 8 }] }, device, 4);
        var result = RecallMeasurement.Measure(model, Small with { Pairs = [4, 2] }, rows: 5, seed: 11, TestContext.Current.CancellationToken);
        Assert.Equal([(2, 10L), (4, 20L)], result.ByPairs.Select(count => (count.From, count.Queries)));
        Assert.Equal(result.Queries, result.ByDistance.Sum(count => count.Queries));
        Assert.Equal(result.Correct, result.ByDistance.Sum(count => count.Correct));

        using Tape tape = new(device) { IsRecording = false };
        double nats = 0;
        foreach (var pairs in new[] { 2, 4 })
        {
            TokenBatch batch = new(5, 32);
            new MultiQueryRecall(Small with { Pairs = [pairs] }, RandomGenerator.Hash(11, (ulong)pairs)).Next(batch);
            var inputs = device.Allocate<int>(batch.Inputs.Length);
            var targets = device.Allocate<int>(batch.Inputs.Length);
            device.CopyFromHost<int>(batch.Inputs, inputs);
            device.CopyFromHost<int>(batch.Targets, targets);
            SequenceLayout layout = new();
            layout.Set(batch.SequenceStarts, batch.Inputs.Length);
            nats += tape.ToHost(model.Loss(tape, inputs, targets, layout).RowLosses).Sum(loss => (double)loss);
            device.Free(inputs);
            device.Free(targets);
        }

        Assert.Equal(nats, result.Nats, 1e-3);
        Assert.Equal(Math.Log(64), result.Loss, 0.3);
        using LanguageModel narrow = new(new ModelConfiguration { VocabularySize = 63, Dimension = 16, Layers = 1, Heads = 2 }, device);
        Assert.Contains("vocabulary", Assert.Throws<LociException>(() => RecallMeasurement.Measure(narrow, Small, 1, 0, TestContext.Current.CancellationToken)).Message, StringComparison.Ordinal);
    }

    [Fact]
    public void TrainerRefusesWhatDoesNotFit()
    {
        using CpuDevice device = new(1);
        using LanguageModel model = new(new ModelConfiguration { VocabularySize = 64, Dimension = 16, Layers = 1, Heads = 2 }, device);
        MultiQueryRecall task = new(Small, 0);
        Fails("no end", new TrainingOptions { Epochs = 1, Context = 32 });
        Fails("context of 16", new TrainingOptions { Steps = 1, Context = 16 });
        using Trainer trainer = new(model, task, new TrainingOptions { Steps = 2, Context = 32, BatchRows = 3 });
        Assert.Equal(12, trainer.TakeStep().StepTokens);
        Assert.Equal((3L, 0.0), (task.RowsTaken, trainer.Epoch));

        void Fails(string part, TrainingOptions options) =>
            Assert.Contains(part, Assert.Throws<LociException>(() => new Trainer(model, task, options)).Message, StringComparison.Ordinal);
    }
}
