using System.CommandLine;
using System.Globalization;
using Loci.Cli.Terminal;
using Loci.Data;
using Loci.Formats;
using Loci.Models;
using Loci.Numerics;
using Loci.Training;

namespace Loci.Cli.Commands;

/// <summary><c>loci train</c>.</summary>
internal sealed class TrainCommand
{
    private const string Learned = "bpe:";
    private const string DefaultTokenizer = Learned + "8192";

    private readonly Option<string?> _data = Options.Text("--data", "Text to train on: a file, folder, .jsonl, .gz, .zip, .tar or .tgz.", "PATH");
    private readonly Option<string?> _validation = Options.Text("--validation", "Held-out text to measure the model on.", "PATH");
    private readonly Option<double?> _validationFraction = Options.Number("--validation-fraction", "Part of the documents to hold out where there is no --validation (default none).", 0, 0.9, true);
    private readonly Option<DocumentSeparator?> _separator = Options.Separator();
    private readonly Option<string?> _tokenizer = Options.Text("--tokenizer", $"bpe:N learns N tokens from the text, byte takes bytes, or a tokenizer.json (default {DefaultTokenizer}).", "WHAT");
    private readonly Option<string?> _out = Options.Text("--out", "New folder for the run and its model.", "RUN");
    private readonly Option<string?> _from = Options.Text(
        "--from", "Folder of a model to start from: its weights, configuration and tokenizer.", "MODEL");
    private readonly Option<string?> _resume = Options.Text("--resume", "Goes on with the run in a folder, exactly where it stopped; the rest comes from there.", "RUN");
    private readonly ModelOptions _model = new();
    private readonly Option<int?> _context = Options.Whole("--context", "Tokens per row (default 1024).", 1, 1 << 24);
    private readonly Option<int?> _batch = Options.Whole("--batch", "Rows computed at once (default 4).", 1, 1 << 16);
    private readonly Option<int?> _accumulate = Options.Whole("--accumulate", "Batches per step (default 1).", 1, 1 << 16);
    private readonly Option<long?> _steps = Options.Whole("--steps", "Steps to train.", 1L);
    private readonly Option<double?> _epochs = Options.Number("--epochs", "Passes over the text to train.", 0, 1e6, true);
    private readonly Option<TimeSpan?> _time = Options.Duration("--time", "Time to train, such as 90s, 30m or 2h.");
    private readonly Option<double?> _rate = Options.Number("--lr", "Highest learning rate (default 2e-3).", 0, 10, true);
    private readonly Option<ScheduleKind?> _schedule = Options.Choice(
        "--schedule", "How the learning rate falls (default cosine)", ("cosine", ScheduleKind.Cosine), ("linear", ScheduleKind.Linear), ("wsd", ScheduleKind.WarmupStableDecay),
        ("constant", ScheduleKind.Constant));
    private readonly Option<int?> _warmup = Options.Whole("--warmup", "Steps in which the learning rate rises (default 100, or a tenth of shorter runs).", 0);
    private readonly Option<double?> _finalFraction = Options.Number("--final-lr-fraction", "Last learning rate as a part of the highest (default 0.1).", 0, 1);
    private readonly Option<double?> _weightDecay = Options.Number("--weight-decay", "Weight decay of matrices (default 0.1).", 0, 100);
    private readonly Option<double?> _clip = Options.Number("--clip", "Largest gradient norm; 0 = no clipping (default 1).", 0);
    private readonly Option<int?> _evaluateEvery = Options.Whole("--eval-every", "Steps between evaluations; 0 = only at the end (default 200).", 0);
    private readonly Option<long?> _evaluationTokens = Options.Whole("--eval-tokens", "Held-out tokens per evaluation (default all).", 1L);
    private readonly Option<int?> _saveEvery = Options.Whole("--save-every", "Steps between checkpoints; 0 = only at the end (default 200).", 0);
    private readonly Option<ulong?> _seed = Options.Whole("--seed", "Decides weights, order of data and dropout (default 0).", 0UL);
    private readonly Option<int?> _threads = Options.Threads();

    private TrainCommand()
    {
    }

    private Option[] Ends => [_steps, _epochs, _time];

    public static Command Create()
    {
        var options = new TrainCommand();
        var command = new DocumentedCommand(
            "train",
            "Trains a language model on text.",
            """
            Examples:
              loci train --data train.txt.gz --validation valid.txt.gz --separator wikitext --out runs/base --size 8M --epochs 5
              loci train --data books.zip --validation-fraction 0.05 --out runs/grm --aggregation grm --segment-length 256 --time 30m
              loci train --resume runs/grm
              loci train --from runs/grm --data letters.txt --out runs/letters --lr 5e-4 --epochs 2

            Ctrl+C saves and stops; --resume goes on from there as if nothing had happened, also after a crash.
            """);
        Option[] all =
        [
            options._data, options._validation, options._validationFraction, options._separator, options._tokenizer, options._from,
            options._out, options._resume, options._steps, options._epochs, options._time,
            .. options._model.All, options._context, options._batch, options._accumulate, options._rate, options._schedule, options._warmup, options._finalFraction, options._weightDecay,
            options._clip, options._evaluateEvery, options._evaluationTokens, options._saveEvery, options._seed, options._threads,
        ];
        foreach (var option in all)
        {
            command.Add(option);
        }

        command.SetAction(result => result.GetValue(options._resume) is { } folder ? options.Resume(result, folder) : options.Start(result));
        return command;
    }

    private int Start(ParseResult result)
    {
        foreach (var needed in new[] { _data, _out })
        {
            if (!result.IsGiven(needed))
            {
                throw new UsageException($"{needed.Name} is missing: loci train needs --data, --out and an end (--steps, --epochs or --time), or --resume.");
            }
        }

        if (!Ends.Any(result.IsGiven))
        {
            throw new UsageException("The training has no end: give --steps, --epochs or --time.");
        }

        if (result.IsGiven(_validation) && result.IsGiven(_validationFraction))
        {
            throw new UsageException("--validation and --validation-fraction both say what to hold out; give one of them.");
        }

        var from = result.GetValue(_from);
        if (from is not null && _model.All.Append(_tokenizer).FirstOrDefault(result.IsGiven) is { } other)
        {
            throw new UsageException($"--from gives the model and its tokenizer, so {other.Name} cannot be given with it; leave it out.");
        }

        var folder = result.GetValue(_out)!;
        TrainingRun.RequireUnused(folder);
        var options = Options.Checked(ReadOptions(result).Validate);
        var data = new TrainingData
        {
            Path = Corpus.GetFullPath(result.GetValue(_data)!),
            Validation = result.GetValue(_validation) is { } path ? Corpus.GetFullPath(path) : null,
            ValidationFraction = result.GetValue(_validationFraction) ?? 0,
            Separator = result.GetValue(_separator) ?? DocumentSeparator.File,
        };
        using var device = Options.Device(result.GetValue(_threads));
        var (training, validation) = data.Open(options.Seed);
        using var given = from is null ? null : LanguageModel.Load(from, device);
        var tokenizer = from is null ? MakeTokenizer(result, training) : TrainingRun.LoadTokenizer(from);
        var configuration = given?.Configuration ?? _model.Read(result, tokenizer.VocabularySize);
        var trainingTokens = Options.Encode(training, tokenizer, "reading text");
        var validationTokens = validation is null ? null : Options.Encode(validation, tokenizer, "reading validation text");
        using var made = given is null ? new LanguageModel(configuration, device, options.Seed) : null;
        var model = given ?? made!;
        var observer = new Observer();
        using var run = TrainingRun.Start(folder, model, tokenizer, trainingTokens, validationTokens, options, data, observer);
        return Train(run, observer, trainingTokens, validationTokens);
    }

    private Tokenizer MakeTokenizer(ParseResult result, Corpus training)
    {
        var what = result.GetValue(_tokenizer) ?? DefaultTokenizer;
        var ready = FindTokenizer(what);
        var size = ready?.VocabularySize ?? VocabularyToLearn(what);
        // Before a tokenizer is learned, which takes long.
        _model.Check(result, ready is null ? TokenizerTrainCommand.LeastVocabulary : size, size);
        return ready ?? TokenizerTrainCommand.Learn(training, size);
    }

    private int Resume(ParseResult result, string folder)
    {
        Option[] allowed = [_resume, _steps, _epochs, _time, _evaluateEvery, _evaluationTokens, _saveEvery, _data, _validation, _threads];
        if (result.CommandResult.Command.Options.FirstOrDefault(option => !allowed.Contains(option) && result.IsGiven(option)) is { } other)
        {
            throw new UsageException($"{other.Name} cannot be given with --resume, which goes on with the run as it is; leave it out, or start a new run.");
        }

        var description = TrainingRun.ReadDescription(folder);
        var before = description.Training;
        var options = (Ends.Any(result.IsGiven)
            ? before with { Steps = result.GetValue(_steps), Epochs = result.GetValue(_epochs), TimeLimit = result.GetValue(_time) }
            : before) with
        {
            EvaluateEvery = result.GetValue(_evaluateEvery) ?? before.EvaluateEvery,
            EvaluationTokens = result.GetValue(_evaluationTokens) ?? before.EvaluationTokens,
            SaveEvery = result.GetValue(_saveEvery) ?? before.SaveEvery,
        };
        TrainingRun.RequireResumable(folder, options);
        var data = description.Data ?? throw new LociException($"The run in {folder} was not started by loci train, and only the program that started it can resume it.");
        data = data with
        {
            Path = result.GetValue(_data) is { } path ? Corpus.GetFullPath(path) : data.Path,
            Validation = result.GetValue(_validation) is { } held ? Corpus.GetFullPath(held) : data.Validation,
        };
        using var device = Options.Device(result.GetValue(_threads));
        var (training, validation) = data.Open(options.Seed);
        var tokenizer = TrainingRun.LoadTokenizer(folder);
        var trainingTokens = Options.Encode(training, tokenizer, "reading text");
        var validationTokens = validation is null ? null : Options.Encode(validation, tokenizer, "reading validation text");
        using var model = TrainingRun.CreateModel(folder, device);
        var observer = new Observer();
        using var run = TrainingRun.Resume(folder, model, tokenizer, trainingTokens, validationTokens, options, data, observer);
        foreach (var note in run.Notes)
        {
            Console.Error.WriteLine(note);
        }

        if (run.Trainer.IsComplete)
        {
            Console.Error.WriteLine($"The run in {folder} is complete; --steps, --epochs or --time with a later end makes it longer.");
        }

        return Train(run, observer, trainingTokens, validationTokens);
    }

    private TrainingOptions ReadOptions(ParseResult result)
    {
        var defaults = new TrainingOptions();
        var steps = result.GetValue(_steps);
        return new TrainingOptions
        {
            Steps = steps,
            Epochs = result.GetValue(_epochs),
            TimeLimit = result.GetValue(_time),
            Context = result.GetValue(_context) ?? defaults.Context,
            BatchRows = result.GetValue(_batch) ?? defaults.BatchRows,
            Accumulation = result.GetValue(_accumulate) ?? defaults.Accumulation,
            LearningRate = new LearningRateSchedule
            {
                Kind = result.GetValue(_schedule) ?? defaults.LearningRate.Kind,
                Peak = result.GetValue(_rate) ?? defaults.LearningRate.Peak,
                WarmupSteps = result.GetValue(_warmup) ?? (int)Math.Min(defaults.LearningRate.WarmupSteps, (steps ?? long.MaxValue) / 10),
                FinalFraction = result.GetValue(_finalFraction) ?? defaults.LearningRate.FinalFraction,
            },
            WeightDecay = (float)(result.GetValue(_weightDecay) ?? defaults.WeightDecay),
            MaximumGradientNorm = (float)(result.GetValue(_clip) ?? defaults.MaximumGradientNorm),
            EvaluateEvery = result.GetValue(_evaluateEvery) ?? defaults.EvaluateEvery,
            EvaluationTokens = result.GetValue(_evaluationTokens),
            SaveEvery = result.GetValue(_saveEvery) ?? defaults.SaveEvery,
            Seed = result.GetValue(_seed) ?? defaults.Seed,
        };
    }

    /// <summary>The tokenizer that is there; null for one that is to be learned.</summary>
    private static Tokenizer? FindTokenizer(string what) =>
        what == "byte" ? new ByteTokenizer() : what.StartsWith(Learned, StringComparison.Ordinal) ? null : TokenizerFile.Load(what);

    private static int VocabularyToLearn(string what) =>
        int.TryParse(what.AsSpan(Learned.Length), NumberStyles.None, CultureInfo.InvariantCulture, out var size) && size is >= TokenizerTrainCommand.LeastVocabulary and <= TokenizerTrainCommand.MostVocabulary
            ? size
            : throw new UsageException(
                $"--tokenizer takes bpe:N with N from {TokenizerTrainCommand.LeastVocabulary} to {TokenizerTrainCommand.MostVocabulary}, byte or a file, not '{what}'.");

    private static int Train(TrainingRun run, Observer observer, TokenizedCorpus training, TokenizedCorpus? validation)
    {
        var trainer = run.Trainer;
        var options = trainer.Options;
        var positions = (long)options.Context * options.BatchRows * options.Accumulation;
        Header(run, training, validation, positions);
        TrainingOutcome outcome;
        int code;
        using (var display = ProgressDisplay.Start(
            "training", trainer.TotalSteps == long.MaxValue ? 0 : trainer.TotalSteps * positions, ProgressUnit.Tokens, trainer.Step * positions))
        {
            observer.Display = display;
            observer.Run = run;
            observer.PositionsPerStep = positions;
            using var interruption = Interruption.OfTraining(display.WriteLine);
            outcome = run.Run(interruption.Token);
            code = interruption.ExitCode;
        }

        Summarize(run, outcome);
        observer.NoteLostDisplay();
        return outcome.IsComplete ? 0 : code;
    }

    private static void Summarize(TrainingRun run, in TrainingOutcome outcome)
    {
        if (!double.IsNaN(outcome.BestLoss))
        {
            Console.Error.WriteLine(FormattableString.Invariant($"best validation loss {outcome.BestLoss:0.0000} at step {outcome.BestStep:#,0}"));
        }

        if (run.Trainer.SkippedSteps > 0)
        {
            Console.Error.WriteLine($"{run.Trainer.SkippedSteps} steps were skipped because their loss or gradient was not finite");
        }

        if (!outcome.IsComplete)
        {
            Console.Error.WriteLine($"Stopped after step {outcome.Step} and saved. Go on with: {Shell.Command("loci", "train", "--resume", run.Folder)}");
            return;
        }

        Console.Error.WriteLine(FormattableString.Invariant(
            $"Done: {outcome.Step:#,0} steps, {outcome.Tokens:#,0} tokens in {ProgressMeter.Duration(outcome.Elapsed)}. Let the model write with: {Shell.Command("loci", "generate", "--model", run.Folder)} --prompt \"Once\""));
    }

    private static void Header(TrainingRun run, TokenizedCorpus training, TokenizedCorpus? validation, long positions)
    {
        var trainer = run.Trainer;
        var options = trainer.Options;
        var steps = trainer.TotalSteps == long.MaxValue ? "" : FormattableString.Invariant($"{trainer.TotalSteps:#,0} steps of {positions:#,0} tokens");
        var time = options.TimeLimit is { } limit ? ProgressMeter.Duration(limit) : "";
        var schedule = options.LearningRate.Kind switch
        {
            ScheduleKind.Cosine => "cosine",
            ScheduleKind.Linear => "linear",
            ScheduleKind.WarmupStableDecay => "wsd",
            _ => "constant",
        };
        Console.Error.WriteLine(FormattableString.Invariant($"model       {trainer.Model.ParameterCount:#,0} parameters: {ModelOptions.Describe(trainer.Model.Configuration)}"));
        Console.Error.WriteLine("data        " + Describe(training));
        if (validation is not null)
        {
            Console.Error.WriteLine("validation  " + Describe(validation));
        }

        Console.Error.WriteLine($"training    {string.Join(", at most ", new[] { steps, time }.Where(text => text.Length > 0))}"
            + FormattableString.Invariant($" ({options.BatchRows} rows of {options.Context}{(options.Accumulation > 1 ? $", {options.Accumulation} batches" : "")})")
            + FormattableString.Invariant($", learning rate {options.LearningRate.Peak:0.######}, {schedule}, warm-up {options.LearningRate.WarmupSteps}"));
        Console.Error.WriteLine("device      " + trainer.Model.Device.Description);
        Console.Error.WriteLine("run         " + run.Folder + (trainer.Step > 0 ? FormattableString.Invariant($", resumed after step {trainer.Step:#,0}") : ""));
    }

    private static string Describe(TokenizedCorpus corpus) => FormattableString.Invariant(
        $"{corpus.Name}: {corpus.TokenCount:#,0} tokens, {corpus.DocumentCount:#,0} {(corpus.DocumentCount == 1 ? "document" : "documents")}, {corpus.ByteCount:#,0} bytes");

    private sealed class Observer : ITrainingObserver
    {
        private const double Smoothing = 0.95;

        private double _loss = double.NaN;
        private bool _hasNoted;

        public ProgressDisplay? Display { get; set; }

        public TrainingRun? Run { get; set; }

        public long PositionsPerStep { get; set; }

        /// <summary>Says once in the log of the run that nobody sees how it goes.</summary>
        public void NoteLostDisplay()
        {
            if (StandardStreams.IsDisplayLost && !_hasNoted)
            {
                _hasNoted = true;
                Run!.AddMessage("Standard error could not be written, so that progress is not shown any more; the run goes on.");
            }
        }

        public void OnStep(in TrainingStep step)
        {
            if (step.IsSkipped)
            {
                Display?.WriteLine(FormattableString.Invariant($"step {step.Step:#,0}: skipped, because its loss ({step.Loss:0.####}) or gradient ({step.GradientNorm:0.####}) is not finite"));
            }
            else
            {
                _loss = double.IsNaN(_loss) ? step.Loss : (Smoothing * _loss) + ((1 - Smoothing) * step.Loss);
            }

            NoteLostDisplay();
            var done = step.Step * PositionsPerStep;
            Display?.Report(done, _loss);
            if (Run?.Trainer is { TotalSteps: long.MaxValue, Options.TimeLimit: { } limit })
            {
                // Only the time ends the run: as many tokens as it will have read by then at the speed so far.
                Display?.SetTotal((long)(done * Math.Max(1, limit / Run.Trainer.Elapsed)));
            }
        }

        public void OnEvaluating(long step)
        {
        }

        public void OnEvaluation(in TrainingEvaluation evaluation)
        {
            var result = evaluation.Result;
            var line = FormattableString.Invariant($"step {evaluation.Step:#,0}: validation loss {result.Loss:0.0000}")
                + (result.BitsPerByte is { } bits ? FormattableString.Invariant($", {bits:0.0000} bits per byte") : "")
                + (result.WordPerplexity is { } words ? FormattableString.Invariant($", word perplexity {words:0.00}") : "") + (evaluation.IsBest ? " (best)" : "");
            Display?.WriteLine(line);
        }

        public void OnSaved(long step, string path)
        {
        }
    }
}
