using System.Diagnostics;
using System.Globalization;
using Loci.Cli.Commands;
using Loci.Cli.Terminal;
using Loci.Data;
using Loci.Models;
using Loci.Numerics;
using Loci.Training;

namespace Loci.Cli.Demo;

/// <summary>The demo from the text to the report. Run again in the same folder, it goes on where it stopped, and what is finished is not done again.</summary>
internal sealed class DemoRun(DemoPlan plan, Device device, TextWriter output)
{
    private readonly List<TimeSpan> _times = [];

    /// <summary>Runs the demo.</summary>
    /// <param name="again">What to type to go on after an interruption.</param>
    /// <returns>The exit code.</returns>
    /// <exception cref="LociException">The folder cannot be used.</exception>
    public int Run(string again)
    {
        var begun = Stopwatch.GetTimestamp();
        DemoFolder.Prepare(plan);
        var (training, held) = plan.Data.Open(plan.Seed);
        var tokenizer = BpeTrainer.Train(training, new BpeTrainerOptions { VocabularySize = plan.Vocabulary });
        var trainingTokens = TokenizedCorpus.Encode(training, tokenizer);
        var heldTokens = TokenizedCorpus.Encode(held!, tokenizer);

        Line($"Two recurrent language models learn Shakespeare: base has a memory of fixed size; grm also keeps");
        Line($"the memory of every past segment of {plan.SegmentLength} tokens, so that its memory grows with the text.");
        Line($"");
        Line($"text      tiny Shakespeare, {trainingTokens.ByteCount:#,0} bytes to learn from, {heldTokens.ByteCount:#,0} held out");
        Line($"tokens    byte-level BPE of {tokenizer.VocabularySize:#,0}: {trainingTokens.TokenCount:#,0} to learn from, {heldTokens.TokenCount:#,0} held out");
        Line($"models    gated-linear memory, dimension {plan.Size.Dimension}, {plan.Size.Layers} layers, {plan.Size.Heads} heads");
        Line($"training  {plan.Steps:#,0} steps of {plan.BatchRows} x {plan.Context:#,0} tokens for each, seed {plan.Seed}");
        Line($"device    {device.Description}");
        foreach (var model in DemoModel.Both)
        {
            if (Train(model, tokenizer, trainingTokens, heldTokens) is { } code)
            {
                Line($"Stopped and saved. The same command goes on from there: {again}");
                return code;
            }
        }

        using var plain = LanguageModel.Load(plan.FolderOf(DemoModel.Base), device);
        using var cached = LanguageModel.Load(plan.FolderOf(DemoModel.Cached), device);
        var comparison = Compare(plain, cached, tokenizer, heldTokens);
        ShowComparison(comparison);

        Line($"");
        Line($"What grm writes after \"{plan.Prompt}\":");
        Line($"");
        var sample = DemoSample.Write(cached, tokenizer, plan.Prompt, plan.SampleTokens, plan.Seed, output);

        DemoReport.Save(plan, comparison, sample, _times, device.Description);
        Line($"");
        Line($"Done in {ProgressMeter.Duration(Stopwatch.GetElapsedTime(begun))}.");
        Line($"report    {plan.ReportPath} (curves, table and sample; open it in a browser)");
        Line($"models    {plan.FolderOf(DemoModel.Base)} and {plan.FolderOf(DemoModel.Cached)}");
        Line($"");
        Line($"Go on with:");
        Line($"  loci generate --model {Shell.Quote(plan.FolderOf(DemoModel.Cached))} --prompt \"JULIET:\"");
        Line($"  loci train --data your-text.txt --out runs/mine --size mini --aggregation grm --time 10m");
        if (Path.GetFileNameWithoutExtension(Environment.ProcessPath) != "loci")
        {
            Line($"(loci stands for: dotnet run -c Release --project src/Loci.Cli --)");
        }

        return 0;
    }

    /// <summary>Trains a model to its end; the exit code where that was stopped before.</summary>
    private int? Train(DemoModel which, Tokenizer tokenizer, TokenizedCorpus training, TokenizedCorpus held)
    {
        var folder = plan.FolderOf(which);
        var observer = new TrainingObserver(plan.StepTokens);
        using var model = new LanguageModel(plan.Configure(which, tokenizer.VocabularySize), device, plan.Seed);
        using var run = TrainingRun.Exists(folder)
            ? TrainingRun.Resume(folder, model, tokenizer, training, held, plan.Training, plan.Data, observer)
            : TrainingRun.Start(folder, model, tokenizer, training, held, plan.Training, plan.Data, observer);
        var state = run.Trainer.IsComplete ? ", trained before" : run.Trainer.Step > 0 ? string.Create(CultureInfo.InvariantCulture, $", resumed after step {run.Trainer.Step:#,0}") : "";
        Line($"");
        Line($"{which.Name}, {model.ParameterCount:#,0} parameters{state}");
        if (run.Trainer.IsComplete)
        {
            _times.Add(run.Run().Elapsed);
            return null;
        }

        using var display = ProgressDisplay.Start("training " + which.Name, plan.Steps * plan.StepTokens, ProgressUnit.Tokens, run.Trainer.Step * plan.StepTokens);
        observer.Display = display;
        using var interruption = Interruption.OfTraining(display.WriteLine);
        var outcome = run.Run(interruption.Token);
        _times.Add(outcome.Elapsed);
        return outcome.IsComplete ? null : interruption.ExitCode;
    }

    private DemoComparison Compare(LanguageModel plain, LanguageModel cached, Tokenizer tokenizer, TokenizedCorpus held)
    {
        Line($"");
        var work = DemoMeasurement.Work(held);
        using var display = ProgressDisplay.Start("measuring", 2 * work, ProgressUnit.Tokens);
        return DemoComparison.Of(Measure(plain, 0), Measure(cached, work));

        DemoMeasurement Measure(LanguageModel model, long before) =>
            DemoMeasurement.Measure(model, held, tokenizer, plan.Context, new Reporter<long>(done => display.Report(before + done)));
    }

    private void ShowComparison(DemoComparison comparison)
    {
        Line($"");
        Line($"Held-out bits per byte by position in windows of {plan.Context:#,0} tokens (lower is better)");
        Line($"");
        Line($"  {"position",-14}{"base",10}{"grm",10}{"difference",13}");
        foreach (var (positions, plain, cached) in comparison.Rows())
        {
            Line($"  {positions,-14}{plain,10:0.0000}{cached,10:0.0000}{DemoComparison.Percent(plain, cached),13}");
        }

        Line($"");
        foreach (var sentence in comparison.Verdict())
        {
            Line($"{sentence}");
        }

        Line($"One sequence of {plan.Context:#,0} tokens needs {ByteSize.Format(comparison.Base.MemoryBytes)} of memory with base, {ByteSize.Format(comparison.Cached.MemoryBytes)} with grm.");
    }

    private void Line(FormattableString text) => output.WriteLine(text.ToString(CultureInfo.InvariantCulture));
}
