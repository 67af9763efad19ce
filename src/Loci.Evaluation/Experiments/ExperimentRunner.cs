using System.Collections.Concurrent;
using System.Reflection;
using System.Runtime.ExceptionServices;
using System.Security.Cryptography;
using System.Text;
using System.Text.Json;
using Loci.Formats;
using Loci.Models;
using Loci.Numerics;
using Loci.Training;

namespace Loci.Evaluation.Experiments;

/// <summary>Is told how an experiment goes, by several threads at once.</summary>
public interface IExperimentObserver
{
    /// <summary>A run begins or goes on.</summary>
    /// <param name="run">The run.</param>
    /// <param name="tokens">Tokens that it has read before.</param>
    void OnStarted(ExperimentRun run, long tokens);

    /// <summary>A step was taken.</summary>
    /// <param name="run">The run.</param>
    /// <param name="tokens">Tokens that the step read.</param>
    /// <param name="loss">Its loss.</param>
    void OnStep(ExperimentRun run, long tokens, double loss);

    /// <summary>A run is finished.</summary>
    /// <param name="run">The run.</param>
    /// <param name="result">What it came to.</param>
    void OnFinished(ExperimentRun run, ExperimentRunResult result);
}

/// <summary>
/// Does the runs of an experiment, several at once, each on one processor thread. A folder keeps the results: runs that are finished are not done again, and one that was stopped goes
/// on with the very numbers it would have had. <c>runs/NAME/result.json</c> is the result of a run; until then <c>checkpoint.safetensors</c> is there.
/// </summary>
public sealed class ExperimentRunner
{
    private const string CheckpointName = "checkpoint.safetensors";
    private const string CheckpointFormat = "loci-experiment-checkpoint-1";
    private const string ProgressKey = "progress";
    private const int TrainingCurvePoints = 100;

    private static readonly TimeSpan SaveInterval = TimeSpan.FromMinutes(2);

    private readonly Experiment _experiment;
    private readonly IPreparedTask _task;
    private readonly string _folder;
    private readonly int _parallel;
    private readonly IExperimentObserver? _observer;
    private readonly TimeProvider _clock;

    /// <summary>Makes a runner.</summary>
    /// <param name="experiment">The experiment.</param>
    /// <param name="task">Its task with the data.</param>
    /// <param name="folder">Where the results are kept; made where it is missing.</param>
    /// <param name="parallel">Runs at once.</param>
    /// <param name="observer">Is told how it goes.</param>
    /// <param name="clock">What measures time; the system's where null.</param>
    public ExperimentRunner(Experiment experiment, IPreparedTask task, string folder, int parallel, IExperimentObserver? observer = null, TimeProvider? clock = null)
    {
        ArgumentNullException.ThrowIfNull(experiment);
        ArgumentNullException.ThrowIfNull(task);
        ArgumentException.ThrowIfNullOrEmpty(folder);
        ArgumentOutOfRangeException.ThrowIfNegativeOrZero(parallel);
        _experiment = experiment;
        _task = task;
        _folder = folder;
        _parallel = parallel;
        _observer = observer;
        _clock = clock ?? TimeProvider.System;
    }

    /// <summary>Does what is left to do, or stops when asked to: then the runs at hand are saved after their step.</summary>
    /// <param name="cancellationToken">Stops the runs.</param>
    /// <returns>All finished runs of the experiment, in its order, earlier ones included.</returns>
    /// <exception cref="LociException">The folder holds results of other settings or data, a model cannot be made, or a file cannot be read or written.</exception>
    public IReadOnlyList<ExperimentRunResult> Run(CancellationToken cancellationToken = default)
    {
        using var held = FolderLock.Take(_folder, $"The experiment in {_folder} is being run by another process: wait for it, stop it or choose another folder.");
        ConcurrentDictionary<ExperimentRun, ExperimentRunResult> results = new(FindFinished());
        var swept = _experiment.Seeds.Take(_experiment.SweptSeeds).ToHashSet();
        using var stop = CancellationTokenSource.CreateLinkedTokenSource(cancellationToken);
        ConcurrentQueue<Exception> failures = [];
        DoAll(_experiment.Runs.Where(run => swept.Contains(run.Seed)));
        if (!stop.IsCancellationRequested && swept.Count < _experiment.Seeds.Count)
        {
            var chosen = _experiment.Arms.ToDictionary(
                arm => arm, arm => ExperimentResults.ChooseRate(_experiment, _task.Metrics[0], [.. results.Where(result => result.Key.Arm == arm).Select(result => result.Value)]));
            DoAll(_experiment.Runs.Where(run => !swept.Contains(run.Seed) && run.LearningRate == chosen[run.Arm]));
        }

        return [.. _experiment.Runs.Where(results.ContainsKey).Select(run => results[run])];

        void DoAll(IEnumerable<ExperimentRun> runs)
        {
            ConcurrentQueue<ExperimentRun> queue = new(runs.Where(run => !results.ContainsKey(run)));
            List<Thread> threads = [];
            for (var i = 0; i < Math.Min(_parallel, queue.Count); i++)
            {
                threads.Add(new Thread(() => Work(queue)) { IsBackground = true, Name = $"experiment {i}" });
            }

            threads.ForEach(thread => thread.Start());
            threads.ForEach(thread => thread.Join());
            if (failures.TryDequeue(out var first))
            {
                ExceptionDispatchInfo.Throw(first);
            }
        }

        void Work(ConcurrentQueue<ExperimentRun> queue)
        {
            try
            {
                while (!stop.IsCancellationRequested && queue.TryDequeue(out var run))
                {
                    if (Do(run, stop.Token) is { } result)
                    {
                        results[run] = result;
                        _observer?.OnFinished(run, result);
                    }
                }
            }
#pragma warning disable CA1031 // Thrown again on the caller's thread, once the other runs are saved.
            catch (Exception exception)
#pragma warning restore CA1031
            {
                failures.Enqueue(exception);
                stop.Cancel();
            }
        }
    }

    /// <summary>The finished runs of the experiment that the folder holds.</summary>
    /// <exception cref="LociException">The folder holds results of other settings or data.</exception>
    public IReadOnlyList<ExperimentRunResult> Finished()
    {
        var finished = FindFinished();
        return [.. _experiment.Runs.Where(finished.ContainsKey).Select(run => finished[run])];
    }

    /// <summary>Tokens that a run reads in all.</summary>
    public long TokensOf(ExperimentRun run)
    {
        var options = _experiment.OptionsOf(run);
        return options.Steps!.Value * options.Context * options.BatchRows * options.Accumulation;
    }

    /// <summary>The model of an arm in the task's vocabulary.</summary>
    public ModelConfiguration ModelOf(ExperimentArm arm)
    {
        ArgumentNullException.ThrowIfNull(arm);
        return arm.Model with { VocabularySize = _task.VocabularySize };
    }

    private Dictionary<ExperimentRun, ExperimentRunResult> FindFinished()
    {
        var runs = Path.Combine(_folder, "runs");
        if (File.Exists(Path.Combine(_folder, ExperimentReport.JsonName))
            && !(Directory.Exists(runs) && Directory.EnumerateDirectories(runs).Any()))
        {
            throw new LociException(
                $"{_folder} has a {ExperimentReport.JsonName} but has lost its runs: "
                + "put the folder runs back, choose another --out, or remove that file to do all runs again.");
        }

        Dictionary<ExperimentRun, ExperimentRunResult> finished = [];
        foreach (var run in _experiment.Runs)
        {
            if (ExperimentRunResult.TryLoad(FolderOf(run)) is { } result)
            {
                RequireSame(run, result.Identity);
                finished.Add(run, result);
            }
            else if (File.Exists(CheckpointOf(run)))
            {
                using var file = SafetensorsFile.Open(CheckpointOf(run));
                RequireSame(run, file.Metadata);
            }
        }

        return finished;
    }

    private string FolderOf(ExperimentRun run) => Path.Combine(_folder, "runs", run.Name);

    private string CheckpointOf(ExperimentRun run) => Path.Combine(FolderOf(run), CheckpointName);

    private Dictionary<string, string> IdentityOf(ExperimentRun run) => new()
    {
        ["format"] = CheckpointFormat,
        ["task"] = Hash(_experiment.Task.ToJson().ToJsonString()),
        ["data"] = _task.Fingerprint,
        ["model"] = Hash(ModelOf(run.Arm).ToJson()),
        ["training"] = Hash(JsonSerializer.Serialize(_experiment.OptionsOf(run), TrainingJson.Default.TrainingOptions)),
    };

    private static string Hash(string text) => Convert.ToHexStringLower(SHA256.HashData(Encoding.UTF8.GetBytes(text)));

    private void RequireSame(ExperimentRun run, IReadOnlyDictionary<string, string> found)
    {
        foreach (var (key, value) in IdentityOf(run))
        {
            if (found.GetValueOrDefault(key) != value)
            {
                var what = key switch
                {
                    "format" => "by a version whose results are not comparable",
                    "task" => "with another task",
                    "data" => "on other text or with another tokenizer",
                    "model" => $"with another model under the label '{run.Arm.Label}'",
                    _ => "with other training settings",
                };
                throw new LociException(
                    $"{FolderOf(run)} was made {what}, and its results cannot be mixed with new ones: take the experiment file back to what it was, choose another --out, or remove that folder.");
            }
        }
    }

    private ExperimentRunResult? Do(ExperimentRun run, CancellationToken cancellationToken)
    {
        var folder = FolderOf(run);
        FileFailure.MakeFolder(folder);

        using CpuDevice device = new(1);
        using LanguageModel model = new(ModelOf(run.Arm), device, run.Seed);
        using Trainer trainer = new(model, _task.CreateBatches(run.Seed), _experiment.OptionsOf(run));
        ExperimentProgress progress = new();
        if (File.Exists(CheckpointOf(run)))
        {
            progress = Restore(run, trainer);
        }

        _observer?.OnStarted(run, trainer.Step * StepTokens(trainer));
        var saved = _clock.GetTimestamp();
        var diverged = HasDiverged(trainer);
        try
        {
            while (!trainer.IsComplete && !diverged)
            {
                EvaluateIfDue(trainer, progress, cancellationToken);
                cancellationToken.ThrowIfCancellationRequested();
                var step = TakeStep(trainer, progress);
                diverged = HasDiverged(trainer);
                _observer?.OnStep(run, StepTokens(trainer), step.Loss);
                if (_clock.GetElapsedTime(saved) > SaveInterval)
                {
                    Save(run, trainer, progress);
                    saved = _clock.GetTimestamp();
                }
            }

            EvaluateIfDue(trainer, progress, cancellationToken);
            var result = Measure(run, trainer, progress, diverged, cancellationToken);
            if (_experiment.KeepsModels && !diverged)
            {
                KeepModel(model, Path.Combine(folder, "model"));
            }

            result.Save(folder);
            File.Delete(CheckpointOf(run));
            return result;
        }
        catch (OperationCanceledException) when (cancellationToken.IsCancellationRequested)
        {
            Save(run, trainer, progress);
            return null;
        }
    }

    private void KeepModel(LanguageModel model, string folder)
    {
        model.Save(folder);
        if (_task.Tokenizer is { } tokenizer)
        {
            TokenizerFile.Save(Path.Combine(folder, "tokenizer.json"), tokenizer);
        }
    }

    private static bool HasDiverged(Trainer trainer) => trainer.SkippedInRow > trainer.Options.MaximumSkippedSteps;

    private static long StepTokens(Trainer trainer) => (long)trainer.Options.Context * trainer.Options.BatchRows * trainer.Options.Accumulation;

    private static TrainingStep TakeStep(Trainer trainer, ExperimentProgress progress)
    {
        var step = trainer.TakeStep();
        progress.TrainingSeconds += step.Seconds;
        if (!step.IsSkipped)
        {
            progress.LossSum += step.Loss;
            progress.LossCount++;
        }

        var every = Math.Max(1, trainer.TotalSteps / TrainingCurvePoints);
        if ((step.Step % every == 0 || step.Step == trainer.TotalSteps) && progress.LossCount > 0)
        {
            progress.TrainingCurve.Add(new ExperimentCurvePoint(step.Step, step.Step * StepTokens(trainer), new Dictionary<string, double> { ["loss"] = progress.LossSum / progress.LossCount }));
            (progress.LossSum, progress.LossCount) = (0, 0);
        }

        return step;
    }

    /// <summary>Adds a point to the learning curve where one is due and has not been added.</summary>
    private void EvaluateIfDue(Trainer trainer, ExperimentProgress progress, CancellationToken cancellationToken)
    {
        var isDue = trainer.Step > 0 && (trainer.Step % trainer.Options.EvaluateEvery == 0 || trainer.IsComplete);
        if (isDue && progress.EvaluatedStep != trainer.Step)
        {
            var measured = _task.Measure(trainer.Model, ExperimentSet.Curve, cancellationToken);
            progress.ValidationCurve.Add(new ExperimentCurvePoint(trainer.Step, trainer.Step * StepTokens(trainer), Finite(measured.Values)));
            progress.EvaluatedStep = trainer.Step;
        }
    }

    private ExperimentRunResult Measure(ExperimentRun run, Trainer trainer, ExperimentProgress progress, bool diverged, CancellationToken cancellationToken)
    {
        var validation = _task.Measure(trainer.Model, ExperimentSet.Validation, cancellationToken);
        var test = _task.HasTest ? _task.Measure(trainer.Model, ExperimentSet.Test, cancellationToken) : null;
        diverged |= validation.Values.Concat(test?.Values ?? new Dictionary<string, double>()).Any(value => !double.IsFinite(value.Value));
        return new ExperimentRunResult
        {
            Format = ExperimentRunResult.FormatName,
            Arm = run.Arm.Label,
            LearningRate = run.LearningRate,
            Seed = run.Seed,
            Status = diverged ? ExperimentRunStatus.Diverged : ExperimentRunStatus.Complete,
            Parameters = trainer.Model.ParameterCount,
            Steps = trainer.Step,
            SkippedSteps = trainer.SkippedSteps,
            Tokens = trainer.Step * StepTokens(trainer),
            TrainingSeconds = progress.TrainingSeconds,
            Validation = Finite(validation.Values),
            Test = Finite(test?.Values ?? new Dictionary<string, double>()),
            Breakdowns = [.. (test ?? validation).Breakdowns.Select(breakdown => breakdown with { Points = [.. breakdown.Points.Where(point => double.IsFinite(point.Value))] })],
            TrainingCurve = progress.TrainingCurve,
            ValidationCurve = progress.ValidationCurve,
            Identity = IdentityOf(run),
            Version = Version,
            Device = trainer.Model.Device.Description,
        };
    }

    private static string Version { get; } = typeof(ExperimentRunner).Assembly.GetCustomAttribute<AssemblyInformationalVersionAttribute>()?.InformationalVersion ?? "unknown";

    // JSON has no name for other numbers.
    private static Dictionary<string, double> Finite(IReadOnlyDictionary<string, double> values) => values.Where(value => double.IsFinite(value.Value)).ToDictionary();

    private void Save(ExperimentRun run, Trainer trainer, ExperimentProgress progress)
    {
        if (trainer.Step == 0)
        {
            return;
        }

        var metadata = IdentityOf(run);
        metadata[ProgressKey] = JsonSerializer.Serialize(progress, ExperimentJson.Default.ExperimentProgress);
        SafetensorsFile.Write(CheckpointOf(run), trainer.Save(), metadata);
    }

    private ExperimentProgress Restore(ExperimentRun run, Trainer trainer)
    {
        using var file = SafetensorsFile.Open(CheckpointOf(run));
        RequireSame(run, file.Metadata);
        try
        {
            trainer.Restore(file);
            return JsonSerializer.Deserialize(file.Metadata.GetValueOrDefault(ProgressKey, ""), ExperimentJson.Default.ExperimentProgress)!;
        }
        catch (JsonException exception)
        {
            throw new LociException(ErrorKind.Damaged, $"{file.Path} is damaged: remove it and the run starts again.", exception);
        }
    }
}
