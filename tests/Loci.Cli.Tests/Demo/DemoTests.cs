using System.Text.RegularExpressions;
using Loci.Cli.Commands;
using Loci.Cli.Demo;
using Loci.Cli.Terminal;
using Loci.Data;
using Loci.Evaluation;
using Loci.Models;
using Loci.Numerics;
using Loci.Training;
using Xunit;

namespace Loci.Cli.Tests.Demo;

public sealed partial class DemoTests : IDisposable
{
    private readonly string _folder = Directory.CreateTempSubdirectory("loci-demo-").FullName;

    // Small enough for a test, but with several segments (of one chunk of 64, which loci train has too) and several windows.
    private DemoPlan Plan => new()
    {
        Folder = Path.Combine(_folder, "demo"),
        Steps = 3,
        Seed = 5,
        Size = new ModelSize(32, 1, 2),
        Vocabulary = 300,
        Context = 256,
        SampleTokens = 20,
        TrainingText = DemoText.Training[..20_000],
        ValidationText = DemoText.Validation[..4_000],
    };

    public void Dispose() => Directory.Delete(_folder, recursive: true);

    [Fact]
    public void ItTrainsBothModelsComparesThemWritesAndReports()
    {
        var plan = Plan;
        var shown = Run(plan);
        foreach (var name in new[] { "base", "grm" })
        {
            foreach (var file in new[] { "model.safetensors", "config.json", "tokenizer.json", "training.json", "metrics.jsonl", "checkpoint.safetensors" })
            {
                Assert.True(File.Exists(Path.Combine(plan.Folder, name, file)), $"{name}/{file}");
            }
        }

        // The table's last row is what loci eval perplexity says of the saved models.
        var all = TableRow().Match(shown);
        Assert.True(all.Success, shown);
        foreach (var (model, group) in new[] { (DemoModel.Base, 1), (DemoModel.Cached, 2) })
        {
            Assert.Equal(FormattableString.Invariant($"{Measure(plan, model):0.0000}"), all.Groups[group].Value);
        }

        Assert.Contains("\n  0 to 15 ", shown, StringComparison.Ordinal);
        Assert.Contains("\n  128 to 255 ", shown, StringComparison.Ordinal);
        Assert.Contains("\nROMEO:", shown, StringComparison.Ordinal);
        Assert.All(shown.Split('\n').Where(line => !line.Contains(_folder, StringComparison.Ordinal)), line => Assert.True(line.Length <= 100, line));
        Assert.True(shown.Split('\n').Length < 50, shown);

        var report = File.ReadAllText(plan.ReportPath);
        foreach (var text in new[] { "Training loss", "Held-out bits per byte by position", "Held-out bits per byte during training", "128 to 255", "grm/config.json", "ROMEO:", "seed 5" })
        {
            Assert.Contains(text, report, StringComparison.Ordinal);
        }

        Assert.Equal(4, report.Split("<ul class=\"legend\">").Length - 1); // each chart has both curves
        Assert.Contains(all.Groups[1].Value, report, StringComparison.Ordinal);
        Assert.Contains(all.Groups[2].Value, report, StringComparison.Ordinal);
    }

    [Fact]
    public void RunAgainItReusesWhatIsFinishedAndReplacesOnlyOnRequest()
    {
        var plan = Plan;
        var first = Run(plan);
        var trained = Weights(plan);
        File.Delete(plan.ReportPath);
        var second = Run(plan);
        Assert.Equal(2, second.Split("trained before").Length - 1);
        Assert.Equal(TableRow().Match(first).Value, TableRow().Match(second).Value);
        Assert.Equal(trained, Weights(plan));
        Assert.True(File.Exists(plan.ReportPath));

        foreach (var other in new[] { plan with { Seed = 6 }, plan with { Steps = 4 }, plan with { Size = new ModelSize(64, 1, 2) }, plan with { ValidationText = plan.TrainingText } })
        {
            var refused = Assert.Throws<LociException>(() => Run(other));
            Assert.Contains("--overwrite", refused.Message, StringComparison.Ordinal);
            Assert.Equal(trained, Weights(plan));
        }

        var third = Run(plan with { Seed = 6, Overwrite = true });
        Assert.DoesNotContain("trained before", third, StringComparison.Ordinal);
        Assert.NotEqual(trained, Weights(plan));
    }

    [Fact]
    public void ADemoThatLostItsCheckpointIsNotDoneAgainUnasked()
    {
        var plan = Plan;
        Run(plan);
        var trained = Weights(plan);
        File.Delete(Path.Combine(plan.FolderOf(DemoModel.Cached), "checkpoint.safetensors"));
        var refused = Assert.Throws<LociException>(() => Run(plan)).Message;
        Assert.Contains("checkpoint.safetensors", refused, StringComparison.Ordinal);
        Assert.Contains("--overwrite", refused, StringComparison.Ordinal);
        Assert.Equal(trained, Weights(plan));
        Run(plan with { Overwrite = true });
        Assert.Equal(trained, Weights(plan));
    }

    [Fact]
    public void AnInterruptedDemoGoesOnAndEndsAsIfItHadNotBeen()
    {
        var whole = Plan with { Folder = Path.Combine(_folder, "whole") };
        Run(whole);
        var plan = Plan;
        DemoFolder.Prepare(plan);
        var cancellation = TestContext.Current.CancellationToken;
        using (var device = new CpuDevice(1))
        {
            var tokenizer = BpeTrainer.Train(Corpus.Open(plan.TrainingPath), new BpeTrainerOptions { VocabularySize = plan.Vocabulary }, null, cancellation);
            var training = TokenizedCorpus.Encode(Corpus.Open(plan.TrainingPath), tokenizer, null, cancellation);
            var held = TokenizedCorpus.Encode(Corpus.Open(plan.ValidationPath), tokenizer, null, cancellation);
            using var model = new LanguageModel(plan.Configure(DemoModel.Base, tokenizer.VocabularySize), device, plan.Seed);
            using var source = new CancellationTokenSource();
            using var run = TrainingRun.Start(plan.FolderOf(DemoModel.Base), model, tokenizer, training, held, plan.Training, plan.Data, new StopAfterFirstStep(source));
            Assert.False(run.Run(source.Token).IsComplete);
        }

        Assert.Contains("resumed after step 1", Run(plan), StringComparison.Ordinal);
        Assert.Equal(Weights(whole), Weights(plan));
    }

    [Fact]
    public void TheCommandsOfTheReportMakeTheSameModels()
    {
        var plan = Plan;
        Run(plan);
        foreach (var model in DemoModel.Both)
        {
            var folder = Path.Combine(_folder, "again-" + model.Name);
            Assert.Equal(0, CommandLine.Run(plan.TrainArguments(model, folder)));
            Assert.Equal(File.ReadAllBytes(Path.Combine(plan.FolderOf(model), "model.safetensors")), File.ReadAllBytes(Path.Combine(folder, "model.safetensors")));
        }
    }

    [Fact]
    public void AnotherRunIsNeverReplaced()
    {
        var plan = Plan;
        Run(plan);
        var foreign = plan with { Folder = Path.Combine(_folder, "mine"), Overwrite = true };
        Assert.Equal(0, CommandLine.Run(plan.TrainArguments(DemoModel.Base, foreign.FolderOf(DemoModel.Base))));
        var description = Path.Combine(foreign.FolderOf(DemoModel.Base), "training.json");
        File.WriteAllText(description, File.ReadAllText(description).Replace("train.txt", "novel.txt", StringComparison.Ordinal));
        var refused = Assert.Throws<LociException>(() => Run(foreign));
        Assert.Contains("not the demo's", refused.Message, StringComparison.Ordinal);
        Assert.True(File.Exists(description));
    }

    [Fact]
    public void AFolderThatCannotBeIsOneSentence()
    {
        var file = Path.Combine(_folder, "file");
        File.WriteAllText(file, "");
        var error = new StringWriter { NewLine = "\n" };
        var failure = Assert.Throws<LociException>(() => CommandLine.Run(["demo", "--steps", "3", "--out", file]));
        Assert.Equal(1, Door.Report(failure, error, debug: false));
        Assert.Matches(@"^error: The folder \S+ cannot be made or written to: choose another one with --out\. [^\n]*\n$", error.ToString());
    }

    [Theory]
    [InlineData("--minutes and --steps both say how long to train; give one of them.", "--minutes", "2", "--steps", "3")]
    [InlineData("--steps takes a whole number from 1 to 100000000, not '0'. See loci demo --help.", "--steps", "0")]
    [InlineData("--minutes takes a number of at least 0.1 and at most 10000, not 'soon'. See loci demo --help.", "--minutes", "soon")]
    public void AWrongCommandLineIsOneSentence(string sentence, params string[] arguments) =>
        Assert.Equal(sentence, Assert.Throws<UsageException>(() => CommandLine.Run(["demo", .. arguments])).Message);

    [Fact]
    public void MinutesDecideTheSteps()
    {
        Assert.Equal(DemoPlan.DefaultSteps, DemoCommand.StepsFor(DemoPlan.DefaultMinutes));
        Assert.Equal(DemoPlan.DefaultSteps / 2, DemoCommand.StepsFor(DemoPlan.DefaultMinutes / 2));
        Assert.True(DemoCommand.StepsFor(0.001) >= 1);
    }

    [Fact]
    public void OnlyADifferenceOfMoreThanTwoStandardErrorsIsClaimed()
    {
        // Windows of 100 bytes that the base reads at 2 bits per byte.
        var alike = Compare(-10, 10, -12, 12);
        Assert.Equal(0, alike.Difference, 12);
        Assert.Equal(Math.Sqrt(488 * 4.0 / 3) / 400, alike.StandardError, 12);
        Assert.True(alike.IsNoise);
        Assert.Contains("within the noise", string.Join(' ', alike.Verdict()), StringComparison.Ordinal);

        var better = Compare(-10, -11, -9, -10);
        Assert.False(better.IsNoise);
        Assert.Contains("saves 0.1000 bits per byte (5.0 %)", string.Join(' ', better.Verdict()), StringComparison.Ordinal);
        Assert.Contains("costs 0.1000 bits per byte (5.0 %)", string.Join(' ', Compare(10, 11, 9, 10).Verdict()), StringComparison.Ordinal);
        Assert.Contains("too little held-out text", string.Join(' ', Compare(-10).Verdict()), StringComparison.Ordinal);

        static DemoComparison Compare(params double[] differences) => DemoComparison.Of(Result(new double[differences.Length]), Result(differences));

        static DemoMeasurement Result(double[] extraBits)
        {
            List<(double, long)> windows = [.. extraBits.Select(bits => (200 + bits, 100L))];
            return new DemoMeasurement(new PerplexityResult(1, windows.Sum(window => window.Item1) * Math.Log(2), windows.Sum(window => window.Item2), 0, []), windows, 0, 0);
        }
    }

    [Fact]
    public void TheTextIsWhole()
    {
        Assert.Equal(1_003_854, DemoText.Training.Length);
        Assert.StartsWith("First Citizen:\n", DemoText.Training, StringComparison.Ordinal);
        Assert.Equal(111_540, DemoText.Validation.Length);
    }

    private static string Run(DemoPlan plan)
    {
        var output = new StringWriter { NewLine = "\n" };
        using var device = new CpuDevice(1);
        Assert.Equal(0, new DemoRun(plan, device, output).Run("loci demo"));
        return output.ToString();
    }

    private static double Measure(DemoPlan plan, DemoModel which)
    {
        using var device = new CpuDevice(1);
        using var model = LanguageModel.Load(plan.FolderOf(which), device);
        var tokenizer = TrainingRun.LoadTokenizer(plan.FolderOf(which));
        var cancellation = TestContext.Current.CancellationToken;
        var text = TokenizedCorpus.Encode(Corpus.Open(plan.ValidationPath), tokenizer, null, cancellation);
        return Perplexity.Measure(model, text, new PerplexityOptions { Context = plan.Context }, tokenizer, null, cancellation).BitsPerByte!.Value;
    }

    private static byte[] Weights(DemoPlan plan) =>
        [.. DemoModel.Both.SelectMany(model => File.ReadAllBytes(Path.Combine(plan.FolderOf(model), "model.safetensors")))];

    [GeneratedRegex(@"^  all +(\d\.\d{4}) +(\d\.\d{4}) +[+-]?\d+\.\d %\r?$", RegexOptions.Multiline)]
    private static partial Regex TableRow();

    private sealed class StopAfterFirstStep(CancellationTokenSource source) : ITrainingObserver
    {
        public void OnStep(in TrainingStep step) => source.Cancel();

        public void OnEvaluating(long step)
        {
        }

        public void OnEvaluation(in TrainingEvaluation evaluation)
        {
        }

        public void OnSaved(long step, string path)
        {
        }
    }
}
