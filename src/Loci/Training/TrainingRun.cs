using System.Globalization;
using System.Security.Cryptography;
using System.Text;
using System.Text.Json;
using Loci.Data;
using Loci.Formats;
using Loci.Models;
using Loci.Numerics;

namespace Loci.Training;

/// <summary>
/// A training run in a folder: it trains, evaluates, logs and saves, and goes on where it stopped with the very numbers it would have had, whether it was stopped in good order,
/// killed or cut off from power. The folder holds
/// <c>training.json</c> (what the run is), <c>tokenizer.json</c>, <c>config.json</c> and <c>model.safetensors</c> (the model with the lowest held-out loss so far, or
/// the last one where nothing is held out), <c>checkpoint.safetensors</c> (the whole state, replaced as one file), <c>metrics.jsonl</c> and <c>tensorboard/</c>.
/// </summary>
public sealed class TrainingRun : IDisposable
{
    private const string DescriptionName = "training.json";
    private const string CheckpointName = "checkpoint.safetensors";
    private const string CheckpointFormat = "loci-checkpoint-1";
    private const string TokenizerName = "tokenizer.json";
    private const string ConfigurationName = "config.json";
    private const string MetricsName = "metrics.jsonl";
    private const string ModelName = "model.safetensors";
    private const double NoticedRise = 0.01;

    private readonly FolderLock _lock;
    private readonly TokenizedCorpus? _validation;
    private readonly Tokenizer _tokenizer;
    private readonly ITrainingObserver? _observer;
    private readonly Dictionary<string, string> _identity;
    private readonly MetricsLog _metrics;
    private readonly TensorBoardWriter _tensorBoard;
    private readonly List<string> _notes = [];
    private double _bestLoss = double.NaN;
    private long _bestStep;
    private long _evaluatedStep = -1;
    private long _savedStep = -1;

    private TrainingRun(
        string folder, FolderLock held, Trainer trainer, Tokenizer tokenizer, TokenizedCorpus training, TokenizedCorpus? validation,
        ITrainingObserver? observer, TrainingOptions? resumed)
    {
        Folder = folder;
        Trainer = trainer;
        _lock = held;
        _tokenizer = tokenizer;
        _validation = validation;
        _observer = observer;
        _identity = Identify(trainer, tokenizer, training, validation);
        if (resumed is not null)
        {
            Restore();
            RequireEndAhead(resumed);
        }

        // Only now, since the log is cut back to the step that the checkpoint holds.
        _metrics = resumed is null ? MetricsLog.Create(MetricsPath) : MetricsLog.Resume(MetricsPath, trainer.Step);
        try
        {
            _tensorBoard = TensorBoardWriter.Create(Path.Combine(folder, "tensorboard"), resumed is null ? null : trainer.Step);
        }
        catch
        {
            _metrics.Dispose();
            throw;
        }
    }

    /// <summary>The run's folder.</summary>
    public string Folder { get; }

    /// <summary>What takes the steps.</summary>
    public Trainer Trainer { get; }

    /// <summary>The file that holds the run's whole state.</summary>
    public string CheckpointPath => Path.Combine(Folder, CheckpointName);

    /// <summary>What its folder has lost and what its new end changes, in sentences that stand in the metrics too.</summary>
    public IReadOnlyList<string> Notes => _notes;

    private string MetricsPath => Path.Combine(Folder, MetricsName);

    /// <summary>Whether a folder holds a run.</summary>
    public static bool Exists(string folder) => File.Exists(Path.Combine(folder, DescriptionName));

    /// <summary>Checks that a folder holds no run, nothing left of one and no model, before work is spent on what would go there.</summary>
    /// <exception cref="LociException">It holds one.</exception>
    public static void RequireUnused(string folder)
    {
        ArgumentException.ThrowIfNullOrEmpty(folder);
        if (Exists(folder))
        {
            throw new LociException($"The folder {folder} already holds a training run: continue it with --resume {folder}, or choose another folder.");
        }

        if (Remains(folder) is { } remains)
        {
            throw new LociException($"The folder {folder} already holds {remains}: choose another folder for the new run.");
        }
    }

    /// <summary>Checks that a run can go on, and has not gone past its new end, before work is spent on its data.</summary>
    /// <param name="folder">The run's folder.</param>
    /// <param name="options">How it shall go on.</param>
    /// <exception cref="LociException">There is no run, its checkpoint is missing or damaged, or it is past its new end.</exception>
    public static void RequireResumable(string folder, TrainingOptions options)
    {
        ArgumentNullException.ThrowIfNull(options);
        var before = ReadDescription(folder).Training;
        using var file = OpenCheckpoint(folder);
        RequireSame(folder, file, "format", CheckpointFormat);
        RequireSame(folder, file, "model_configuration", Hash(ModelConfiguration.Load(Path.Combine(folder, ConfigurationName)).ToJson()));
        if (!HasOtherEnd(before, options))
        {
            return;
        }

        var (step, elapsed) = Trainer.ReadProgress(file);
        if (options.Steps < step)
        {
            throw Behind(folder, Invariant($"{step:#,0} steps"), Invariant($"{options.Steps:#,0}"));
        }

        if (options.TimeLimit < elapsed)
        {
            throw Behind(
                folder, Invariant($"{elapsed.TotalSeconds:#,0.#} seconds"), Invariant($"{options.TimeLimit.Value.TotalSeconds:#,0.#}"));
        }
    }

    /// <summary>Starts a run in a folder that is new or holds none.</summary>
    /// <param name="folder">The folder; made where it is missing.</param>
    /// <param name="model">The model with its initial weights; the run does not own it.</param>
    /// <param name="tokenizer">What encoded the data.</param>
    /// <param name="training">The data to train on.</param>
    /// <param name="validation">Held-out data, or null.</param>
    /// <param name="options">How to train.</param>
    /// <param name="data">Where the data comes from, for <see cref="ReadDescription"/>.</param>
    /// <param name="observer">Is told how the run goes.</param>
    /// <exception cref="LociException">The folder holds a run or model already or cannot be written to, or the options are out of range.</exception>
    public static TrainingRun Start(
        string folder, LanguageModel model, Tokenizer tokenizer, TokenizedCorpus training, TokenizedCorpus? validation, TrainingOptions options, TrainingData? data = null,
        ITrainingObserver? observer = null)
    {
        RequireUnused(folder);
        ArgumentNullException.ThrowIfNull(model);
        ArgumentNullException.ThrowIfNull(tokenizer);
        return Build(folder, model, training, validation, options, trainer =>
        {
            TokenizerFile.Save(Path.Combine(folder, TokenizerName), tokenizer);
            model.Configuration.Save(Path.Combine(folder, ConfigurationName));
        }, (held, trainer) =>
        {
            var run = new TrainingRun(folder, held, trainer, tokenizer, training, validation, observer, null);
            try
            {
                // From the beginning, so that a checkpoint that is missing later is one that was lost.
                run.WriteCheckpoint();
                // Last: with this file the folder is a run that can be resumed.
                WriteDescription(folder, new RunDescription { Training = options, Data = data });
                return run;
            }
            catch
            {
                File.Delete(run.CheckpointPath);
                run.CloseLogs();
                throw;
            }
        });
    }

    /// <summary>Goes on with a run.</summary>
    /// <param name="folder">Its folder.</param>
    /// <param name="model">The model that <see cref="CreateModel"/> made; its weights are replaced by the checkpoint's. The run does not own it.</param>
    /// <param name="tokenizer">The tokenizer that <see cref="LoadTokenizer"/> read.</param>
    /// <param name="training">The same data to train on.</param>
    /// <param name="validation">The same held-out data, or null where there was none.</param>
    /// <param name="options">The options of <see cref="ReadDescription"/>; another end may be set.</param>
    /// <param name="data">Where the data comes from.</param>
    /// <param name="observer">Is told how the run goes.</param>
    /// <exception cref="LociException">There is no run, it is being trained by another process, something has changed since it began, or its checkpoint is damaged.</exception>
    public static TrainingRun Resume(
        string folder, LanguageModel model, Tokenizer tokenizer, TokenizedCorpus training, TokenizedCorpus? validation, TrainingOptions options, TrainingData? data = null,
        ITrainingObserver? observer = null)
    {
        ArgumentNullException.ThrowIfNull(model);
        ArgumentNullException.ThrowIfNull(tokenizer);
        RequireResumable(folder, options);
        var before = ReadDescription(folder);
        return Build(folder, model, training, validation, options, null, (held, trainer) =>
        {
            var run = new TrainingRun(folder, held, trainer, tokenizer, training, validation, observer, before.Training);
            var description = new RunDescription { Training = options, Data = data ?? before.Data };
            if (description != before)
            {
                WriteDescription(folder, description);
            }

            run._metrics.Append(new MetricsRecord(MetricsKind.Resumed, trainer.Step) { Tokens = trainer.Tokens });
            run.NoteLostMetrics();
            run.ReplaceLostModel();
            run.NoteRisingRate(before.Training);
            return run;
        });
    }

    /// <summary>What a run's folder says it is.</summary>
    /// <exception cref="LociException">The folder holds no run, or its description is damaged.</exception>
    internal static RunDescription ReadDescription(string folder)
    {
        ArgumentException.ThrowIfNullOrEmpty(folder);
        var path = Path.Combine(folder, DescriptionName);
        if (!File.Exists(path))
        {
            throw new LociException(Remains(folder) is { } remains
                ? $"The folder {folder} holds {remains} but no {DescriptionName}, without which the run cannot go on: "
                    + "put that file back, or start a new run in another folder."
                : $"There is no training run in {folder}: check the folder, or start a run with it as the output.");
        }

        var text = TextInput.ReadFile(path);
        return FileFailure.Naming(path, () => ParseDescription(text));
    }

    private static RunDescription ParseDescription(string text)
    {
        try
        {
            var description = JsonSerializer.Deserialize(text, TrainingJson.Default.RunDescription)
                ?? throw new LociException("The description of the run is empty: start the run again in another folder.");
            _ = description.Training.Validate();
            return description;
        }
        catch (JsonException exception)
        {
            throw new LociException($"This is not a valid description of a run: {JsonProblem.Of(exception)}.", exception);
        }
    }

    /// <summary>The tokenizer of a run or saved model.</summary>
    /// <exception cref="LociException">The file is missing or damaged.</exception>
    public static Tokenizer LoadTokenizer(string folder) => TokenizerFile.Load(Path.Combine(folder, TokenizerName));

    /// <summary>A run's model with its initial weights, for <see cref="Resume"/>.</summary>
    /// <exception cref="LociException">The configuration is missing or damaged.</exception>
    public static LanguageModel CreateModel(string folder, Device device) =>
        new(ModelConfiguration.Load(Path.Combine(folder, ConfigurationName)), device, ReadDescription(folder).Training.Seed);

    /// <summary>Trains until the end of the run, or until it is stopped: then the step at hand is finished and the run saved.</summary>
    /// <param name="cancellationToken">Stops the run.</param>
    /// <returns>How the run ended.</returns>
    /// <exception cref="LociException">Too many steps in a row had a loss or gradient that was not finite, or a file cannot be written.</exception>
    public TrainingOutcome Run(CancellationToken cancellationToken = default)
    {
        var options = Trainer.Options;
        var complete = Trainer.IsComplete;
        while (true)
        {
            var step = Trainer.Step;
            complete = complete || Trainer.IsComplete;
            if (step > 0 && (complete || IsDue(step, options.EvaluateEvery)) && !TryEvaluate(cancellationToken))
            {
                complete = false;
                break;
            }

            if (complete || cancellationToken.IsCancellationRequested)
            {
                break;
            }

            if (IsDue(step, options.SaveEvery))
            {
                Save();
            }

            Take(options);
        }

        Save();
        return new TrainingOutcome(complete, Trainer.Step, Trainer.Tokens, _bestLoss, _bestStep, Trainer.Elapsed);
    }

    /// <summary>Adds a line to the log of the run.</summary>
    /// <param name="text">Words for a person.</param>
    /// <exception cref="LociException">The log cannot be written.</exception>
    public void AddMessage(string text) => _metrics.Append(new MetricsRecord(MetricsKind.Message, Trainer.Step) { Text = text });

    /// <inheritdoc/>
    public void Dispose()
    {
        CloseLogs();
        Trainer.Dispose();
        _lock.Dispose();
    }

    private void CloseLogs()
    {
        _metrics.Dispose();
        _tensorBoard.Dispose();
    }

    private static bool IsDue(long step, int every) => every > 0 && step > 0 && step % every == 0;

    private static TrainingRun Build(
        string folder, LanguageModel model, TokenizedCorpus training, TokenizedCorpus? validation, TrainingOptions options, Action<Trainer>? prepare,
        Func<FolderLock, Trainer, TrainingRun> make)
    {
        if (validation is not null)
        {
            Trainer.RequireVocabulary(model, validation);
        }

        var held = FolderLock.Take(folder, $"The run in {folder} is being trained by another process: wait for it or stop it first.");
        Trainer? trainer = null;
        try
        {
            trainer = new Trainer(model, training, options);
            prepare?.Invoke(trainer);
            return make(held, trainer);
        }
        catch
        {
            trainer?.Dispose();
            held.Dispose();
            throw;
        }
    }

    private static void WriteDescription(string folder, RunDescription description) =>
        AtomicFile.WriteAllText(Path.Combine(folder, DescriptionName), JsonSerializer.Serialize(description, TrainingJson.Default.RunDescription) + "\n");

    /// <summary>What must be the same when a run is resumed: a value, and what to say where it is not.</summary>
    private static Dictionary<string, string> Identify(Trainer trainer, Tokenizer tokenizer, TokenizedCorpus training, TokenizedCorpus? validation) => new()
    {
        ["format"] = CheckpointFormat,
        ["model_configuration"] = Hash(trainer.Model.Configuration.ToJson()),
        ["tokenizer"] = Convert.ToHexStringLower(SHA256.HashData(TokenizerFile.Write(tokenizer))),
        ["training_data"] = training.ComputeFingerprint().ToString("x16", CultureInfo.InvariantCulture),
        ["validation_data"] = validation is null ? "none" : validation.ComputeFingerprint().ToString("x16", CultureInfo.InvariantCulture),
        ["training_options"] = Hash(JsonSerializer.Serialize(trainer.Options.Essence, TrainingJson.Default.TrainingOptions)),
    };

    private static string Hash(string text) => Convert.ToHexStringLower(SHA256.HashData(Encoding.UTF8.GetBytes(text)));

    private void Take(TrainingOptions options)
    {
        var step = Trainer.TakeStep();
        if (step.IsSkipped)
        {
            _metrics.Append(new MetricsRecord(MetricsKind.SkippedStep, step.Step)
            {
                Tokens = step.Tokens,
                Loss = step.Loss,
                LearningRate = step.LearningRate,
                GradientNorm = step.GradientNorm,
            });
        }
        else if (step.Step % options.LogEvery == 0)
        {
            _metrics.Append(new MetricsRecord(MetricsKind.Step, step.Step)
            {
                Tokens = step.Tokens,
                Loss = step.Loss,
                LearningRate = step.LearningRate,
                GradientNorm = step.GradientNorm,
                TokensPerSecond = step.TokensPerSecond,
            });
            _tensorBoard.AddScalar("train/loss", step.Step, (float)step.Loss);
            _tensorBoard.AddScalar("train/learning_rate", step.Step, (float)step.LearningRate);
            _tensorBoard.AddScalar("train/gradient_norm", step.Step, (float)step.GradientNorm);
            _tensorBoard.AddScalar("train/tokens_per_second", step.Step, (float)step.TokensPerSecond);
        }

        _observer?.OnStep(step);
        if (Trainer.SkippedInRow > options.MaximumSkippedSteps)
        {
            throw new LociException(
                $"The loss or gradient was not a finite number in {Trainer.SkippedInRow} steps in a row, the last being step {step.Step}: the training has diverged, so start again with a lower learning rate or a longer warm-up.");
        }
    }

    /// <summary>Evaluates unless this step has been; false where that was stopped.</summary>
    private bool TryEvaluate(CancellationToken cancellationToken)
    {
        if (_validation is null || _evaluatedStep == Trainer.Step)
        {
            return true;
        }

        _observer?.OnEvaluating(Trainer.Step);
        PerplexityResult result;
        try
        {
            result = Trainer.Evaluate(_validation, _tokenizer, cancellationToken);
        }
        catch (OperationCanceledException) when (cancellationToken.IsCancellationRequested)
        {
            return false;
        }

        var best = double.IsFinite(result.Loss) && !(result.Loss >= _bestLoss);
        if (best)
        {
            // Before the checkpoint that knows of it: a run killed in between comes by here again with the same weights.
            Trainer.Model.Save(Folder);
            (_bestLoss, _bestStep) = (result.Loss, Trainer.Step);
        }

        _evaluatedStep = Trainer.Step;
        _savedStep = -1; // a checkpoint of this step does not know of the evaluation yet
        Dictionary<string, double> values = [];
        if (result.BitsPerByte is { } bits)
        {
            values["bits_per_byte"] = bits;
            _tensorBoard.AddScalar("validation/bits_per_byte", Trainer.Step, (float)bits);
        }

        if (result.WordPerplexity is { } words)
        {
            values["word_perplexity"] = words;
            _tensorBoard.AddScalar("validation/word_perplexity", Trainer.Step, (float)words);
        }

        _metrics.Append(new MetricsRecord(MetricsKind.Evaluation, Trainer.Step) { Tokens = Trainer.Tokens, Loss = result.Loss, Name = "validation", Values = values });
        _tensorBoard.AddScalar("validation/loss", Trainer.Step, (float)result.Loss);
        _tensorBoard.Flush();
        _observer?.OnEvaluation(new TrainingEvaluation(Trainer.Step, result, best));
        return true;
    }

    private void Save()
    {
        if (_savedStep == Trainer.Step)
        {
            return;
        }

        _metrics.Flush();
        _tensorBoard.Flush();
        if (_validation is null)
        {
            Trainer.Model.Save(Folder);
        }

        WriteCheckpoint();
        _savedStep = Trainer.Step;
        _metrics.Append(new MetricsRecord(MetricsKind.Saved, Trainer.Step) { Tokens = Trainer.Tokens, Name = CheckpointName });
        _observer?.OnSaved(Trainer.Step, CheckpointPath);
    }

    private void WriteCheckpoint() => SafetensorsFile.Write(
        CheckpointPath,
        Trainer.Save().Append(
            TensorEntry.Int64("run.state", [3], (long[])[BitConverter.DoubleToInt64Bits(_bestLoss), _bestStep, _evaluatedStep])),
        _identity);

    private void Restore()
    {
        using var file = OpenCheckpoint(Folder);
        foreach (var (key, value) in _identity)
        {
            RequireSame(Folder, file, key, value);
        }

        Trainer.Restore(file);
        Span<long> state = stackalloc long[3];
        file.ReadInt64("run.state", state);
        (_bestLoss, _bestStep, _evaluatedStep) = (BitConverter.Int64BitsToDouble(state[0]), state[1], state[2]);
        _savedStep = Trainer.Step;
    }

    private static SafetensorsFile OpenCheckpoint(string folder)
    {
        var path = Path.Combine(folder, CheckpointName);
        if (File.Exists(path))
        {
            return SafetensorsFile.Open(path);
        }

        throw new LociException(
            $"The run in {folder} has lost its {CheckpointName} and cannot go on where it stopped: put that file back, or "
            + (File.Exists(Path.Combine(folder, ModelName))
                ? "start a new run from the weights of its model: loci train --from takes this folder, --out another one."
                : "start the run again in another folder."));
    }

    private static void RequireSame(string folder, SafetensorsFile file, string key, string value)
    {
        if (file.Metadata.GetValueOrDefault(key) != value)
        {
            throw new LociException(key switch
            {
                "format" => $"{file.Path} is not a checkpoint that this version can resume: start the run again in another folder.",
                "model_configuration" => Changed(ConfigurationName),
                "tokenizer" => Changed(TokenizerName),
                "training_data" => Other("training"),
                "validation_data" => Other("validation"),
                _ => $"{Path.Combine(folder, DescriptionName)} has changed since the run began: "
                    + "only the end of a run and how often it reports may change, so put the original back or start a new run.",
            });
        }

        string Other(string data) => $"The {data} data is not what the run in {folder} began with: "
            + "put the original text back, or start a new run in another folder.";

        string Changed(string name) =>
            $"{Path.Combine(folder, name)} has changed since the run began: put the original back, or start a new run in another folder.";
    }

    /// <summary>What a folder holds of a run or model, in words; null where there is nothing that could be lost.</summary>
    private static string? Remains(string folder) =>
        File.Exists(Path.Combine(folder, ModelName)) ? "a model"
        : HoldsTraining(Path.Combine(folder, CheckpointName)) ? "the checkpoint of a training run"
        : new FileInfo(Path.Combine(folder, MetricsName)) is { Exists: true, Length: > 0 } ? "the metrics of a training run"
        : null;

    /// <summary>Whether a checkpoint could be missed: not where a run was killed while its folder was made.</summary>
    private static bool HoldsTraining(string checkpoint)
    {
        try
        {
            using var file = File.Exists(checkpoint) ? SafetensorsFile.Open(checkpoint) : null;
            return file is not null && Trainer.ReadProgress(file).Step > 0;
        }
        catch (LociException)
        {
            return true;
        }
    }

    private static bool HasOtherEnd(TrainingOptions before, TrainingOptions options) =>
        (before.Steps, before.Epochs, before.TimeLimit) != (options.Steps, options.Epochs, options.TimeLimit);

    private static LociException Behind(string folder, string done, string end) =>
        new($"The run in {folder} has trained for {done} already and cannot end after {end}: choose a later end, or leave the end out.");

    // Steps and times are compared before; how many steps an epoch has shows only with the data.
    private void RequireEndAhead(TrainingOptions before)
    {
        if (HasOtherEnd(before, Trainer.Options) && Trainer.TotalSteps < Trainer.Step)
        {
            throw Behind(Folder, Invariant($"{Trainer.Epoch:#,0.###} epochs"), Invariant($"{Trainer.Options.Epochs:#,0.###}"));
        }
    }

    private void NoteLostMetrics()
    {
        var expected = Trainer.Step - (Trainer.Step % Trainer.Options.LogEvery);
        if (_metrics.LastStep < expected)
        {
            Note(Invariant($"{MetricsPath} has lost what it said of the steps {_metrics.LastStep + 1:#,0} to {expected:#,0}; ")
                + "the run goes on without it.");
        }
    }

    /// <summary>Writes the model again where the checkpoint has its very weights; otherwise looks for the best one anew.</summary>
    private void ReplaceLostModel()
    {
        var path = Path.Combine(Folder, ModelName);
        if (File.Exists(path))
        {
            return;
        }

        if (_validation is null ? Trainer.Step > 0 : _bestStep == Trainer.Step && !double.IsNaN(_bestLoss))
        {
            Trainer.Model.Save(Folder);
            Note($"{path} was missing and has been written again from the checkpoint.");
        }
        else if (!double.IsNaN(_bestLoss))
        {
            Note(Invariant($"{path}, the best model so far (held-out loss {_bestLoss:0.0000} at step {_bestStep:#,0}), is missing: ")
                + "from here on the best is looked for anew.");
            (_bestLoss, _bestStep, _evaluatedStep, _savedStep) = (double.NaN, 0, -1, -1);
        }
    }

    private void NoteRisingRate(TrainingOptions before)
    {
        var (planned, rate) = (Trainer.RateUnder(before), Trainer.LearningRate);
        if (!Trainer.IsComplete && rate > planned * (1 + NoticedRise))
        {
            Note(Invariant($"With its later end the run's learning rate rises from {planned:0.00e-0} to {rate:0.00e-0} ")
                + Invariant($"at step {Trainer.Step + 1:#,0}, which can undo some of what was learned; ")
                + "to avoid it, give a run its whole length from the start, or start it with "
                + "--schedule constant (or wsd, which can be made longer until its fall begins).");
        }
    }

    private void Note(string sentence)
    {
        _notes.Add(sentence);
        _metrics.Append(new MetricsRecord(MetricsKind.Message, Trainer.Step) { Text = sentence });
    }

    private static string Invariant(FormattableString text) => FormattableString.Invariant(text);
}
