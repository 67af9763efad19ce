using System.Text.Json;
using Loci.Data;
using Loci.Evaluation;
using Loci.Formats;
using Loci.Models;
using Loci.Numerics;
using Loci.Training;
using Xunit;
using static Loci.Tests.Training.TrainingFixture;

namespace Loci.Tests.Training;

public sealed class TrainingRunTests : IDisposable
{
    private readonly CpuDevice _device = new(1);
    private readonly Folder _folder = new();

    public void Dispose()
    {
        _device.Dispose();
        _folder.Dispose();
    }

    public static TheoryData<int> StopSteps => [.. Enumerable.Range(0, 13)];

    // Stops come after evaluations (3, 6, ...), checkpoints (4, 8), both (12), neither, before the first step and at the end of an epoch.
    [Theory]
    [MemberData(nameof(StopSteps))]
    public void StoppedAndResumedIsTheSameRun(int stopAfter)
    {
        var straight = _folder.In("straight");
        var stopped = _folder.In("stopped");
        Start(straight);
        Start(stopped, stopAfter: stopAfter);
        Assert.True(ResumeRun(stopped).IsComplete);
        AssertSame(straight, stopped);
    }

    [Fact]
    public void StoppedAfterEveryStepIsTheSameRun()
    {
        Start(_folder.In("straight"));
        var stopped = _folder.In("stopped");
        var outcome = Start(stopped, stopAfter: 1);
        for (var step = 2; !outcome.IsComplete; step++)
        {
            outcome = ResumeRun(stopped, step);
        }

        AssertSame(_folder.In("straight"), stopped);
    }

    [Fact]
    public void StoppedDuringAnEvaluationIsTheSameRun()
    {
        Start(_folder.In("straight"));
        var stopped = _folder.In("stopped");
        Assert.False(Start(stopped, stopAtEvaluationOf: 12).IsComplete);
        Assert.True(ResumeRun(stopped).IsComplete);
        AssertSame(_folder.In("straight"), stopped);

        // The last evaluation came after the checkpoint of its step, which must know of it all the same.
        var again = ResumeRun(stopped);
        Assert.Equal(Evaluations(stopped).Min(record => record.Loss), again.BestLoss);
        AssertSame(_folder.In("straight"), stopped);
    }

    // As after a kill: the metrics go further than the checkpoint, the last line is torn, and what was written aside is still there.
    [Fact]
    public void AbandonedRunContinuesFromItsCheckpoint()
    {
        Start(_folder.In("straight"));
        var killed = _folder.In("killed");
        Assert.Throws<InvalidTimeZoneException>(() => Start(killed, dieAfter: 7));
        File.AppendAllText(Path.Combine(killed, "metrics.jsonl"), "{\"kind\":\"step\",\"ti");
        File.WriteAllText(Path.Combine(killed, ".checkpoint.safetensors.tmp-0123456789ab"), "half");
        Assert.True(ResumeRun(killed).IsComplete);
        AssertSame(_folder.In("straight"), killed);
        Assert.DoesNotContain(Directory.EnumerateFiles(killed), file => file.Contains(".tmp-", StringComparison.Ordinal));
    }

    [Fact]
    public void RunAbandonedBeforeItsFirstCheckpointBeginsAgain()
    {
        Start(_folder.In("straight"));
        var killed = _folder.In("killed");
        Assert.Throws<InvalidTimeZoneException>(() => Start(killed, dieAfter: 3));
        Assert.Equal([1L, 2, 3], MetricsLog.Read(Path.Combine(killed, "metrics.jsonl")).Select(record => record.Step));
        ResumeRun(killed);
        AssertSame(_folder.In("straight"), killed);
    }

    [Fact]
    public void CheckpointThatCannotBeWrittenLeavesTheOneBefore()
    {
        Start(_folder.In("straight"));
        var run = _folder.In("run");
        var checkpoint = Path.Combine(run, "checkpoint.safetensors");
        var failure = Assert.Throws<LociException>(() => Start(run, afterStep: step =>
        {
            // In place of a full disk, which a test cannot make.
            if (step == 6)
            {
                File.Move(checkpoint, checkpoint + ".kept");
                Directory.CreateDirectory(checkpoint);
            }
        }));
        Assert.Contains(checkpoint, failure.Message, StringComparison.Ordinal);
        Directory.Delete(checkpoint);
        File.Move(checkpoint + ".kept", checkpoint);
        Assert.True(ResumeRun(run).IsComplete);
        AssertSame(_folder.In("straight"), run);
    }

    [Fact]
    public void LoggedStepAllocatesNothing()
    {
        using var model = Model(_device);
        long before = 0, after = 0;
        using var stop = new Stop
        {
            AfterStep = step =>
            {
                before = step == 80 ? GC.GetAllocatedBytesForCurrentThread() : before;
                after = step == 100 ? GC.GetAllocatedBytesForCurrentThread() : after;
            },
        };
        using var run = TrainingRun.Start(_folder.In("run"), model, Bytes, Text, null, Options with { Steps = 100, SaveEvery = 0 }, null, stop);
        stop.Run(run);
        Assert.Equal(0, after - before);
    }

    [Fact]
    public void WithoutHeldOutDataTheLastModelIsKept()
    {
        var run = _folder.In("run");
        var outcome = Start(run, validation: false, stopAfter: 5);
        Assert.True(double.IsNaN(outcome.BestLoss));
        using (var model = Model(_device))
        {
            using var resumed = TrainingRun.Resume(run, model, Bytes, Text, null, Options);
            resumed.Run(TestContext.Current.CancellationToken);
            using var saved = LanguageModel.Load(run, _device);
            Assert.Equal(TrainerTests.Weights(model), TrainerTests.Weights(saved));
        }
    }

    [Fact]
    public void BestModelIsKept()
    {
        // A rate this high makes the loss on other text rise again.
        var run = _folder.In("run");
        var options = Options with { Steps = 120, EvaluateEvery = 20, SaveEvery = 0, LearningRate = new LearningRateSchedule { Peak = 2e-2, WarmupSteps = 0, Kind = ScheduleKind.Constant } };
        using var model = Model(_device, Configuration with { Dropout = 0 });
        using var training = TrainingRun.Start(run, model, Bytes, Encode(Texts[0]), Validation, options);
        var outcome = training.Run(TestContext.Current.CancellationToken);
        Assert.InRange(outcome.BestStep, 20, 100);
        using var saved = LanguageModel.Load(run, _device);
        var result = Perplexity.Measure(saved, Validation, new PerplexityOptions { Context = Options.Context, BatchRows = 2 }, cancellationToken: TestContext.Current.CancellationToken);
        Assert.Equal(outcome.BestLoss, result.Loss);
    }

    [Fact]
    public void LongerEndMayBeSet()
    {
        var run = _folder.In("run");
        Start(run);
        using var model = Model(_device);
        using var resumed = TrainingRun.Resume(run, model, Bytes, Text, Validation, Options with { Steps = 14 });
        Assert.Equal(14, resumed.Run(TestContext.Current.CancellationToken).Step);
        Assert.Equal(14, TrainingRun.ReadDescription(run).Training.Steps);
    }

    [Fact]
    public void ChangesAreRefused()
    {
        var run = _folder.In("run");
        Start(run, stopAfter: 2);
        Refused("training data", () => Resume(training: Encode([.. Texts[1..], Texts[0]])));
        Refused("validation data", () => Resume(validation: Encode("something else")));
        Refused("training.json", () => Resume(options: Options with { Seed = 6 }));
        Refused("training.json", () => Resume(options: Options with { LearningRate = Options.LearningRate with { Peak = 1 } }));
        Refused("config.json", () => Resume(configuration: Configuration with { Dropout = 0.2f }));
        var other = BpeTrainer.Train(Corpus.FromTexts("text", ["abab"]), new BpeTrainerOptions { VocabularySize = 257 }, cancellationToken: TestContext.Current.CancellationToken);
        Refused("tokenizer.json", () => Resume(tokenizer: other));
        Resume().Dispose();

        TrainingRun Resume(
            TokenizedCorpus? training = null, TokenizedCorpus? validation = null, TrainingOptions? options = null, ModelConfiguration? configuration = null, Tokenizer? tokenizer = null) =>
            TrainingRun.Resume(run, Model(_device, configuration), tokenizer ?? Bytes, training ?? Text, validation ?? Validation, options ?? Options);

        static void Refused(string what, Func<TrainingRun> resume) =>
            Assert.Contains(what, Assert.Throws<LociException>(() => resume().Dispose()).Message, StringComparison.Ordinal);
    }

    [Theory]
    [InlineData(0)]
    [InlineData(7)]
    [InlineData(200)]
    [InlineData(-1)]
    [InlineData(-3000)]
    public void CutCheckpointIsRefused(int length)
    {
        var run = _folder.In("run");
        Start(run, stopAfter: 2);
        var path = Path.Combine(run, "checkpoint.safetensors");
        var whole = File.ReadAllBytes(path);
        File.WriteAllBytes(path, whole[..(length < 0 ? whole.Length + length : length)]);
        Assert.Contains("checkpoint.safetensors", Assert.Throws<LociException>(() => ResumeRun(run)).Message, StringComparison.Ordinal);
    }

    [Fact]
    public void CheckpointWithNaNIsRefused()
    {
        var run = _folder.In("run");
        Start(run, stopAfter: 2);
        var path = Path.Combine(run, "checkpoint.safetensors");
        long position;
        using (var file = SafetensorsFile.Open(path))
        {
            position = file.Find("weights.norm.weight").Position;
        }

        using (var stream = File.OpenWrite(path))
        {
            stream.Position = position;
            stream.Write(BitConverter.GetBytes(float.NaN));
        }

        Assert.Contains("NaN", Assert.Throws<LociException>(() => ResumeRun(run)).Message, StringComparison.Ordinal);
    }

    [Fact]
    public void FolderInUseIsRefused()
    {
        var run = _folder.In("run");
        using var model = Model(_device);
        using (var first = TrainingRun.Start(run, model, Bytes, Text, Validation, Options))
        {
            Assert.Contains("--resume", Assert.Throws<LociException>(() => Start(run)).Message, StringComparison.Ordinal);
            Assert.Contains("another process", Assert.Throws<LociException>(() => ResumeRun(run)).Message, StringComparison.Ordinal);
        }

        ResumeRun(run);
    }

    [Fact]
    public void FolderWithAModelIsRefused()
    {
        using var model = Model(_device);
        model.Save(_folder.In("model"));
        Assert.Contains("already holds a model", Assert.Throws<LociException>(() => Start(_folder.In("model"))).Message, StringComparison.Ordinal);
    }

    [Fact]
    public void FolderThatCannotBeMadeIsRefused()
    {
        File.WriteAllText(_folder.In("file"), "");
        Assert.Throws<LociException>(() => Start(_folder.In("file")));
        Assert.Throws<LociException>(() => Start(Path.Combine(_folder.In("file"), "run")));
    }

    [Fact]
    public void FolderWithoutARunIsRefused() => Assert.Contains("no training run", Assert.Throws<LociException>(() => ResumeRun(_folder.Path)).Message, StringComparison.Ordinal);

    [Theory]
    [InlineData("")]
    [InlineData("null")]
    [InlineData("{\"training\":{\"steps\":5,\"colour\":\"red\"}}")]
    [InlineData("{\"training\":{\"steps\":-5}}")]
    [InlineData("{\"training\":null}")]
    [InlineData("{}")]
    public void DamagedDescriptionIsRefused(string json)
    {
        File.WriteAllText(_folder.In("training.json"), json);
        Assert.Throws<LociException>(() => TrainingRun.ReadDescription(_folder.Path));
    }

    [Fact]
    public void DivergedRunStopsWithItsReason()
    {
        var run = _folder.In("run");
        using var model = Model(_device);
        using var training = TrainingRun.Start(run, model, Bytes, Text, Validation, Options with { MaximumSkippedSteps = 3, Steps = 100 });
        model.Parameters[0].Load(Enumerable.Repeat(float.NaN, 257 * 16).ToArray());
        var message = Assert.Throws<LociException>(() => training.Run(TestContext.Current.CancellationToken)).Message;
        Assert.Contains("4 steps in a row", message, StringComparison.Ordinal);
        Assert.Contains("lower learning rate", message, StringComparison.Ordinal);
        var records = MetricsLog.Read(Path.Combine(run, "metrics.jsonl"));
        Assert.Equal([1L, 2, 3, 4], records.Where(record => record.Kind == MetricsKind.SkippedStep).Select(record => record.Step));
        Assert.All(records.Where(record => record.Kind == MetricsKind.SkippedStep), record => Assert.True(double.IsNaN(record.Loss!.Value)));
    }

    [Fact]
    public void LogsEveryStepAndEvaluation()
    {
        var run = _folder.In("run");
        Start(run);
        var records = MetricsLog.Read(Path.Combine(run, "metrics.jsonl"));
        Assert.Equal(Enumerable.Range(1, 12).Select(step => (long)step), records.Where(record => record.Kind == MetricsKind.Step).Select(record => record.Step));
        Assert.Equal([3L, 6, 9, 12], Evaluations(run).Select(record => record.Step));
        Assert.Equal([4L, 8, 12], records.Where(record => record.Kind == MetricsKind.Saved).Select(record => record.Step));
        Assert.All(Evaluations(run), record => Assert.Equal(record.Loss!.Value / Math.Log(2) * (Validation.TokenCount + 2) / Validation.ByteCount, record.Values!["bits_per_byte"], 9));
        Assert.Single(Directory.GetFiles(Path.Combine(run, "tensorboard")));
    }

    [Theory]
    [InlineData(2, "start the run again in another folder")] // no model yet: the first evaluation comes after step 3
    [InlineData(7, "loci train --from")]
    public void LostCheckpointIsNotABeginning(int stopAfter, string way)
    {
        var run = _folder.In("run");
        Start(run, stopAfter: stopAfter);
        File.Delete(Path.Combine(run, "checkpoint.safetensors"));
        var before = Contents(run);
        var message = Assert.Throws<LociException>(() => ResumeRun(run)).Message;
        Assert.Contains("has lost its checkpoint.safetensors", message, StringComparison.Ordinal);
        Assert.Contains(way, message, StringComparison.Ordinal);
        Assert.Equal(before, Contents(run));
    }

    [Theory]
    [InlineData("training.json", "no training.json")]
    [InlineData("config.json", "config.json")]
    [InlineData("tokenizer.json", "tokenizer.json")]
    public void LostDescriptionIsRefused(string name, string says)
    {
        var run = _folder.In("run");
        Start(run, stopAfter: 7);
        File.Delete(Path.Combine(run, name));
        var before = Contents(run);
        Assert.Contains(says, Assert.Throws<LociException>(() => ResumeRun(run)).Message, StringComparison.Ordinal);
        Assert.Equal(before, Contents(run));
    }

    // Whatever of a run is left, a new run does not go over it.
    [Theory]
    [InlineData("model.safetensors", "a model")]
    [InlineData("checkpoint.safetensors", "the checkpoint")]
    [InlineData("metrics.jsonl", "the metrics")]
    public void RemainsOfARunAreNotOverwritten(string name, string what)
    {
        var run = _folder.In("run");
        Start(run, stopAfter: 7);
        foreach (var file in Directory.GetFiles(run).Where(file => Path.GetFileName(file) != name))
        {
            File.Delete(file);
        }

        var before = Contents(run);
        Assert.Contains($"already holds {what}", Assert.Throws<LociException>(() => Start(run)).Message, StringComparison.Ordinal);
        Assert.Equal(before, Contents(run));
    }

    [Fact]
    public void KilledWhileItsFolderWasMadeCanStartAgain()
    {
        var run = _folder.In("run");
        using (var model = Model(_device))
        {
            TrainingRun.Start(run, model, Bytes, Text, Validation, Options).Dispose();
        }

        File.Delete(Path.Combine(run, "training.json"));
        Start(_folder.In("straight"));
        Start(run);
        AssertSame(_folder.In("straight"), run);
    }

    [Fact]
    public void LostMetricsAreSaidAndTheRunGoesOn()
    {
        Start(_folder.In("straight"));
        var run = _folder.In("run");
        Start(run, stopAfter: 7);
        File.Delete(Path.Combine(run, "metrics.jsonl"));
        using (var model = TrainingRun.CreateModel(run, _device))
        using (var resumed = TrainingRun.Resume(run, model, Bytes, Text, Validation, Options))
        {
            Assert.Contains("the steps 1 to 7", Assert.Single(resumed.Notes), StringComparison.Ordinal);
            resumed.Run(TestContext.Current.CancellationToken);
        }

        var records = MetricsLog.Read(Path.Combine(run, "metrics.jsonl"));
        Assert.Equal([8L, 9, 10, 11, 12], records.Where(record => record.Kind == MetricsKind.Step).Select(record => record.Step));
        var note = Assert.Single(records, record => record.Kind == MetricsKind.Message);
        Assert.Contains("the steps 1 to 7", note.Text, StringComparison.Ordinal);
        File.Copy(Path.Combine(_folder.In("straight"), "metrics.jsonl"), Path.Combine(run, "metrics.jsonl"), overwrite: true);
        AssertSame(_folder.In("straight"), run);
    }

    [Theory]
    [InlineData(true)]
    [InlineData(false)]
    public void LostEventsAreWrittenFromThereOn(bool folderToo)
    {
        Start(_folder.In("straight"));
        var run = _folder.In("run");
        Start(run, stopAfter: 7);
        Directory.Delete(Path.Combine(run, "tensorboard"), recursive: true);
        if (!folderToo)
        {
            Directory.CreateDirectory(Path.Combine(run, "tensorboard"));
        }

        ResumeRun(run);
        Assert.Single(Directory.GetFiles(Path.Combine(run, "tensorboard")));
        AssertSame(_folder.In("straight"), run);
    }

    // Without held-out data the checkpoint has the weights of the model that was lost.
    [Theory]
    [InlineData(5)]
    [InlineData(12)]
    public void LostModelIsWrittenAgainFromTheCheckpoint(int stopAfter)
    {
        var run = _folder.In("run");
        Start(run, validation: false, stopAfter: stopAfter);
        var path = Path.Combine(run, "model.safetensors");
        var weights = File.ReadAllBytes(path);
        File.Delete(path);
        using var model = TrainingRun.CreateModel(run, _device);
        using var resumed = TrainingRun.Resume(run, model, Bytes, Text, null, Options);
        Assert.Contains("written again", Assert.Single(resumed.Notes), StringComparison.Ordinal);
        Assert.Equal(weights, File.ReadAllBytes(path));
    }

    // With a checkpoint at every evaluation, the one of step 3 has the best weights so far.
    [Fact]
    public void LostBestModelIsWrittenAgainWhereTheCheckpointHasIt()
    {
        var run = _folder.In("run");
        var options = Options with { SaveEvery = 3 };
        using var model = Model(_device);
        using (var killed = TrainingRun.Start(run, model, Bytes, Text, Validation, options, null, new Stop { DieAfter = 4 }))
        {
            Assert.Throws<InvalidTimeZoneException>(() => killed.Run(TestContext.Current.CancellationToken));
        }

        var path = Path.Combine(run, "model.safetensors");
        var weights = File.ReadAllBytes(path);
        File.Delete(path);
        using var resumed = TrainingRun.Resume(run, model, Bytes, Text, Validation, options);
        Assert.Contains("written again", Assert.Single(resumed.Notes), StringComparison.Ordinal);
        Assert.Equal(weights, File.ReadAllBytes(path));
    }

    // Other checkpoints do not have the best weights, so that the rest of the run, or its end, is what is left to choose from.
    [Theory]
    [InlineData(7, 9)]
    [InlineData(12, 12)]
    public void LostBestModelIsLookedForAnew(int stopAfter, int earliest)
    {
        var run = _folder.In("run");
        Start(run, stopAfter: stopAfter);
        File.Delete(Path.Combine(run, "model.safetensors"));
        var outcome = ResumeRun(run);
        Assert.InRange(outcome.BestStep, earliest, 12);
        using var saved = LanguageModel.Load(run, _device);
        var result = Perplexity.Measure(
            saved, Validation, new PerplexityOptions { Context = Options.Context, BatchRows = 2 },
            cancellationToken: TestContext.Current.CancellationToken);
        Assert.Equal(outcome.BestLoss, result.Loss);
        var note = Assert.Single(MetricsLog.Read(Path.Combine(run, "metrics.jsonl")), record => record.Kind == MetricsKind.Message);
        Assert.Contains("looked for anew", note.Text, StringComparison.Ordinal);
    }

    [Fact]
    public void RunFromOtherWeightsBeginsWithThemAlsoWhenResumed()
    {
        Start(_folder.In("first"), validation: false);
        var first = _folder.In("first");
        foreach (var name in new[] { "straight", "killed" })
        {
            using var model = LanguageModel.Load(first, _device);
            using var stop = new Stop { DieAfter = name == "killed" ? 2 : null };
            using var run = TrainingRun.Start(_folder.In(name), model, Bytes, Text, Validation, Options, null, stop);
            if (name == "killed")
            {
                Assert.Throws<InvalidTimeZoneException>(() => stop.Run(run));
            }
            else
            {
                stop.Run(run);
            }
        }

        ResumeRun(_folder.In("killed"));
        AssertSame(_folder.In("straight"), _folder.In("killed"));
        using var file = SafetensorsFile.Open(Path.Combine(_folder.In("straight"), "checkpoint.safetensors"));
        var records = MetricsLog.Read(Path.Combine(_folder.In("straight"), "metrics.jsonl"));
        var loss = MetricsLog.Read(Path.Combine(first, "metrics.jsonl")).First(record => record.Kind == MetricsKind.Step).Loss;
        Assert.True(records.First(record => record.Kind == MetricsKind.Step).Loss < loss);
    }

    // The last step of the first run had 0.1 of the peak; of the longer one the cosine is at (13 - 3) / (24 - 3) of its way, so the rate is
    // peak (1 - 0.9 (1 - cos(pi 10 / 21)) / 2) = 0.5836 peak: computed by hand.
    [Theory]
    [InlineData(ScheduleKind.Cosine, 24, "rises from 5.00e-4 to 2.92e-3 at step 13")]
    [InlineData(ScheduleKind.Linear, 24, "rises from 5.00e-4 to 2.86e-3 at step 13")]
    [InlineData(ScheduleKind.WarmupStableDecay, 100, "rises from 5.00e-4 to 5.00e-3 at step 13")]
    [InlineData(ScheduleKind.Constant, 24, null)]
    [InlineData(ScheduleKind.Cosine, 12, null)]
    public void LongerEndSaysThatTheLearningRateRises(ScheduleKind kind, int steps, string? says)
    {
        var run = _folder.In("run");
        var options = Options with { LearningRate = Options.LearningRate with { Kind = kind } };
        using var model = Model(_device);
        using (var first = TrainingRun.Start(run, model, Bytes, Text, Validation, options))
        {
            first.Run(TestContext.Current.CancellationToken);
        }

        using (var resumed = TrainingRun.Resume(run, model, Bytes, Text, Validation, options with { Steps = steps }))
        {
            Assert.Equal(says is null ? 0 : 1, resumed.Notes.Count);
            Assert.All(resumed.Notes, note => Assert.Contains(says!, note, StringComparison.Ordinal));
            Assert.All(resumed.Notes, note => Assert.Contains("--schedule constant", note, StringComparison.Ordinal));
        }

        // The end stands in the run's folder now, and nothing is said twice.
        using var again = TrainingRun.Resume(run, model, Bytes, Text, Validation, options with { Steps = steps });
        Assert.Empty(again.Notes);
    }

    [Fact]
    public void EarlierEndThanWhatIsDoneIsRefused()
    {
        var run = _folder.In("run");
        Start(run, stopAfter: 7);
        var before = Contents(run);
        Refused("7 steps already and cannot end after 6", Options with { Steps = 6 });
        Refused("seconds already and cannot end after 0", Options with { TimeLimit = TimeSpan.FromTicks(1) });
        Refused("epochs already and cannot end after 0.1", Options with { Steps = null, Epochs = 0.1 });
        Assert.Equal(before, Contents(run));
        using var model = Model(_device);
        using var resumed = TrainingRun.Resume(run, model, Bytes, Text, Validation, Options with { Steps = 7 });
        Assert.Equal(7, resumed.Run(TestContext.Current.CancellationToken).Step);

        void Refused(string numbers, TrainingOptions options)
        {
            using var model = Model(_device);
            var message = Assert.Throws<LociException>(() => TrainingRun.Resume(run, model, Bytes, Text, Validation, options)).Message;
            Assert.Contains(numbers, message, StringComparison.Ordinal);
        }
    }

    /// <summary>All files of a folder and what they hold.</summary>
    private static SortedDictionary<string, string> Contents(string folder) => new(Directory
        .GetFiles(folder, "*", SearchOption.AllDirectories)
        .Where(file => Path.GetFileName(file) != ".lock")
        .ToDictionary(file => Path.GetRelativePath(folder, file), file => Convert.ToHexString(File.ReadAllBytes(file))));

    private static IEnumerable<MetricsRecord> Evaluations(string run) =>
        MetricsLog.Read(Path.Combine(run, "metrics.jsonl")).Where(record => record.Kind == MetricsKind.Evaluation);

    private TrainingOutcome Start(string folder, int? stopAfter = null, int? stopAtEvaluationOf = null, int? dieAfter = null, bool validation = true, Action<long>? afterStep = null)
    {
        using var model = Model(_device);
        using var stop = new Stop { After = stopAfter, AtEvaluationOf = stopAtEvaluationOf, DieAfter = dieAfter, AfterStep = afterStep };
        using var run = TrainingRun.Start(folder, model, Bytes, Text, validation ? Validation : null, Options, null, stop);
        return stop.Run(run);
    }

    private TrainingOutcome ResumeRun(string folder, int? stopAfter = null)
    {
        var options = TrainingRun.ReadDescription(folder).Training;
        using var model = TrainingRun.CreateModel(folder, _device);
        using var stop = new Stop { After = stopAfter };
        using var run = TrainingRun.Resume(folder, model, TrainingRun.LoadTokenizer(folder), Text, Validation, options, null, stop);
        return stop.Run(run);
    }

    /// <summary>The same weights, moments and counters, the same model file byte for byte, and the same metrics.</summary>
    private static void AssertSame(string expected, string actual)
    {
        Assert.Equal(File.ReadAllBytes(Path.Combine(expected, "model.safetensors")), File.ReadAllBytes(Path.Combine(actual, "model.safetensors")));
        using var left = SafetensorsFile.Open(Path.Combine(expected, "checkpoint.safetensors"));
        using var right = SafetensorsFile.Open(Path.Combine(actual, "checkpoint.safetensors"));
        Assert.Equal(left.Metadata.OrderBy(pair => pair.Key), right.Metadata.OrderBy(pair => pair.Key));
        Assert.Equal(left.Tensors, right.Tensors, (a, b) => a.Name == b.Name && a.ByteLength == b.ByteLength);
        foreach (var tensor in left.Tensors)
        {
            Assert.Equal(Read(left, tensor), Read(right, tensor));
        }

        Assert.Equal(Metrics(expected), Metrics(actual));

        static object Read(SafetensorsFile file, TensorInfo tensor)
        {
            if (tensor.Type == TensorElementType.Int64)
            {
                var numbers = new long[tensor.ElementCount];
                file.ReadInt64(tensor.Name, numbers);
                if (tensor.Name == "trainer.state")
                {
                    numbers[7] = 0; // the time spent
                }

                return numbers;
            }

            var values = new float[tensor.ElementCount];
            file.ReadFloat(tensor.Name, values);
            return values.Select(BitConverter.SingleToInt32Bits).ToArray();
        }

        static List<string> Metrics(string run) => [.. MetricsLog.Read(Path.Combine(run, "metrics.jsonl"))
            .Where(record => record.Kind is MetricsKind.Step or MetricsKind.Evaluation or MetricsKind.SkippedStep)
            .Select(record => $"{record.Kind} {record.Step} {record.Tokens} {record.Loss:R} {record.LearningRate:R} {record.GradientNorm:R} "
                + JsonSerializer.Serialize(record.Values))];
    }

    private sealed class Stop : ITrainingObserver, IDisposable
    {
        private readonly CancellationTokenSource _source = new();

        public int? After { get; init; }

        public int? AtEvaluationOf { get; init; }

        public int? DieAfter { get; init; }

        public Action<long>? AfterStep { get; init; }

        public TrainingOutcome Run(TrainingRun run)
        {
            if (After == 0)
            {
                _source.Cancel();
            }

            return run.Run(_source.Token);
        }

        public void Dispose() => _source.Dispose();

        public void OnStep(in TrainingStep step)
        {
            AfterStep?.Invoke(step.Step);
            if (step.Step == After)
            {
                _source.Cancel();
            }

            if (step.Step == DieAfter)
            {
                throw new InvalidTimeZoneException("an exception that nothing else throws");
            }
        }

        public void OnEvaluating(long step)
        {
            if (step == AtEvaluationOf)
            {
                _source.Cancel();
            }
        }

        public void OnEvaluation(in TrainingEvaluation evaluation)
        {
        }

        public void OnSaved(long step, string path)
        {
        }
    }
}
