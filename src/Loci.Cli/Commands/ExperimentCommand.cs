using System.CommandLine;
using System.CommandLine.Parsing;
using Loci.Cli.Terminal;
using Loci.Data;
using Loci.Evaluation.Experiments;
using Loci.Evaluation.Tasks.Ruler;
using Loci.Formats;
using Loci.Models;
using Loci.Numerics;

namespace Loci.Cli.Commands;

/// <summary><c>loci experiment</c>.</summary>
internal sealed class ExperimentCommand
{
    private static readonly string[] DataKeys = ["training", "validation", "test", "tokenizer", "haystack"];

    private readonly Argument<string> _file = new("FILE") { Description = "The experiment: JSON, in which comments are allowed; docs/experiments.md describes it." };
    private readonly Option<string?> _out = Options.Text("--out", "Folder for results and report; what is finished there is not done again (default runs/NAME, by the experiment's name).", "FOLDER");
    private readonly Option<string[]> _data = new("--data") { Description = $"Text of a language or needle task, instead of the file's: KEY is {string.Join(", ", DataKeys)}. May be given several times.", HelpName = "KEY=PATH" };
    private readonly Option<int?> _parallel = Options.Whole("--parallel", "Runs at once, each on one processor thread (default all cores); does not change the results.", 1, 1024);

    private ExperimentCommand()
    {
    }

    public static Command Create()
    {
        ExperimentCommand options = new();
        var command = new DocumentedCommand(
            "experiment",
            "Compares models: trains each of them with several seeds and learning rates on one task, and writes a report.",
            """
            Examples:
              loci experiment samples/experiments/recall-small.json
              loci experiment samples/experiments/wikitext-2-small.json --out runs/wikitext-2
                  --data training=train.txt.gz --data validation=valid.txt.gz --data test=test.txt.gz

            FOLDER gets report.html, results.md (the table, also printed), results.json and one folder per run.
            Ctrl+C saves and stops; the same command goes on from there as if nothing had happened, also after a crash.
            Arms, seeds and learning rates may be added to the file later: only what is new is run. Other changes, which
            would mix results that cannot be compared, are refused.
            """)
        {
            options._file, options._out, options._data, options._parallel,
        };
        command.SetAction(options.Run);
        return command;
    }

    private int Run(ParseResult result)
    {
        var path = result.GetValue(_file)!;
        var data = ReadData(result);
        var experiment = Experiment.Load(path);
        var folder = result.GetValue(_out) ?? Path.Combine("runs", FolderName(experiment.Name));
        var parallel = result.GetValue(_parallel) ?? Environment.ProcessorCount;
        var (task, tokenizer) = Prepare(experiment.Task, data, path);
        Observer observer = new();
        ExperimentRunner runner = new(experiment, task, folder, parallel, observer);
        var count = experiment.RunCount;
        var finished = runner.Finished();
        if (tokenizer is not null)
        {
            SaveTokenizer(folder, tokenizer); // not before it is known to be that of the runs there
        }

        WriteHeader(experiment, runner, task, folder, Math.Min(parallel, count), finished.Count);

        int? interrupted = null;
        if (finished.Count < count)
        {
            using var display = ProgressDisplay.Start(experiment.Name, count * runner.TokensOf(experiment.Runs.First()), ProgressUnit.Tokens, finished.Sum(run => run.Tokens));
            observer.Begin(display, task.Metrics[0], runner, finished, count);
            using var interruption = Interruption.OfTraining(display.WriteLine);
            finished = runner.Run(interruption.Token);
            interrupted = interruption.Requested && finished.Count < count ? interruption.ExitCode : null;
        }

        var results = ExperimentResults.Create(experiment, task, finished);
        if (finished.Count > 0)
        {
            ExperimentReport.Save(folder, experiment, task, results);
            Console.Out.Write(ExperimentReport.ToMarkdown(experiment, results));
            Console.Error.WriteLine($"report      {Path.Combine(folder, ExperimentReport.PageName)}");
        }

        if (interrupted is { } code)
        {
            Console.Error.WriteLine(FormattableString.Invariant($"Stopped and saved: {finished.Count} of {count} runs are finished. The same command goes on from here."));
            return code;
        }

        return 0;
    }

    private Dictionary<string, string> ReadData(ParseResult result)
    {
        Dictionary<string, string> data = [];
        foreach (var text in result.GetValue(_data) ?? [])
        {
            var parts = text.Split('=', 2);
            if (parts is not [var key, { Length: > 0 } path] || !DataKeys.Contains(key))
            {
                throw new UsageException($"--data takes KEY=PATH with one of {string.Join(", ", DataKeys)}, not '{text}'.");
            }

            if (!data.TryAdd(key, path))
            {
                throw new UsageException($"--data gives {key} twice; give it once.");
            }
        }

        return data;
    }

    private static (IPreparedTask Task, Tokenizer? Tokenizer) Prepare(ExperimentTask task, Dictionary<string, string> data, string file)
    {
        switch (task)
        {
            case RecallTask recall:
                return data.Count == 0 ? (recall.Prepare(), null) : throw new UsageException("A recall task makes its own examples, so --data does not apply to it; leave it out.");
            case LanguageTask language:
                var training = Open("training", language.Training) ?? throw Missing("training");
                var validation = Open("validation", language.Validation) ?? throw Missing("validation");
                var test = Open("test", language.Test);
                var tokenizer = MakeTokenizer(language.Tokenizer, language.VocabularyToLearn, data.GetValueOrDefault("tokenizer"), () => training, file);
                var prepared = language.Prepare(
                    tokenizer,
                    Options.Encode(training, tokenizer, "reading training text"),
                    Options.Encode(validation, tokenizer, "reading validation text"),
                    test is null ? null : Options.Encode(test, tokenizer, "reading test text"));
                return (prepared, tokenizer);

                Corpus? Open(string key, string? path) =>
                    data.TryGetValue(key, out var given) ? Corpus.Open(given, language.Separator) : path is null ? null : Corpus.Open(Beside(file, path), language.Separator);
            case NeedleTask needle:
                if (data.Keys.FirstOrDefault(key => key is not ("haystack" or "tokenizer")) is { } other)
                {
                    throw new UsageException($"A needle task takes --data haystack=PATH and tokenizer=PATH, not {other}; leave it out.");
                }

                var haystack = HaystackText.Open(data.GetValueOrDefault("haystack") ?? (needle.Haystack is null ? null : Beside(file, needle.Haystack)));
                var words = MakeTokenizer(needle.Tokenizer, needle.VocabularyToLearn, data.GetValueOrDefault("tokenizer"), () => needle.TokenizerText(haystack), file);
                return (needle.Prepare(words, haystack), words);
            default:
                throw new LociException($"This version cannot do tasks of the kind '{task.Kind}'.");
        }
    }

    private static UsageException Missing(string key) => new($"The experiment does not say where its {key} text is: give --data {key}=PATH.");

    /// <summary>A path of an experiment file starts from the file's folder.</summary>
    private static string Beside(string file, string path) =>
        Corpus.GetFullPath(path, Path.GetDirectoryName(Path.GetFullPath(file)));

    private static Tokenizer MakeTokenizer(string named, int? toLearn, string? given, Func<Corpus> training, string file) =>
        given is not null ? TokenizerFile.Load(given)
        : named == "byte" ? new ByteTokenizer()
        : toLearn is { } size ? TokenizerTrainCommand.Learn(training(), size)
        : TokenizerFile.Load(Beside(file, named));

    private static void SaveTokenizer(string folder, Tokenizer tokenizer)
    {
        FileFailure.MakeFolder(folder);

        TokenizerFile.Save(Path.Combine(folder, "tokenizer.json"), tokenizer);
    }

    private static string FolderName(string name)
    {
        var plain = string.Concat(name.Trim().Select(character => char.IsLetterOrDigit(character) || character is '-' or '_' or '.' ? character : '-')).Trim('.');
        return plain.Length > 0 ? plain : "experiment";
    }

    private static string Describe(ExperimentTask task) => task switch
    {
        RecallTask { Sizes: { } sizes } => $"recall of {string.Join(", ", sizes.Select(size => FormattableString.Invariant($"{size.Pairs} pairs in {size.Length}")))} tokens",
        RecallTask recall => FormattableString.Invariant($"recall of {string.Join(", ", recall.Pairs)} pairs in {recall.Length} tokens"),
        NeedleTask needle => FormattableString.Invariant($"{string.Join(", ", needle.Needles)}, trained at up to {needle.Length:#,0} tokens, tested at up to {needle.TestLengths.Max():#,0}"),
        _ => "language modelling",
    };

    private static void WriteHeader(Experiment experiment, ExperimentRunner runner, IPreparedTask task, string folder, int parallel, int finished)
    {
        Console.Error.WriteLine(FormattableString.Invariant($"experiment  {experiment.Name}: {Describe(experiment.Task)}, vocabulary {task.VocabularySize:#,0}"));
        foreach (var arm in experiment.Arms)
        {
            // Made here too, so that a model that cannot be shows before any training.
            using CpuDevice device = new(1);
            using LanguageModel model = new(runner.ModelOf(arm), device);
            Console.Error.WriteLine(FormattableString.Invariant($"model       {arm.Label}: {model.ParameterCount:#,0} parameters: {ModelOptions.Describe(model.Configuration)}"));
        }

        var count = experiment.RunCount;
        var rates = experiment.SweptSeeds < experiment.Seeds.Count
            ? FormattableString.Invariant($"{experiment.Arms.Count} models x ({experiment.LearningRates.Count} learning rates x {experiment.SweptSeeds} seeds, then the best one x {experiment.Seeds.Count - experiment.SweptSeeds} seeds)")
            : FormattableString.Invariant($"{experiment.Arms.Count} models x {experiment.LearningRates.Count} learning rates x {experiment.Seeds.Count} seeds");
        Console.Error.WriteLine(FormattableString.Invariant(
            $"runs        {count}: {rates}, {runner.TokensOf(experiment.Runs.First()):#,0} tokens each, {parallel} at once"));
        Console.Error.WriteLine("results     " + folder + (finished > 0 ? FormattableString.Invariant($", {finished} of {count} runs are finished there") : ""));
    }

    /// <summary>Adds up what the runs tell from their threads.</summary>
    private sealed class Observer : IExperimentObserver
    {
        private const double Smoothing = 0.99;

        private readonly Lock _lock = new();
        private readonly Dictionary<ExperimentRun, long> _tokens = [];
        private ProgressDisplay? _display;
        private ExperimentMetric? _metric;
        private ExperimentRunner? _runner;
        private long _done;
        private int _finished;
        private int _count;
        private double _loss = double.NaN;

        public void Begin(ProgressDisplay display, ExperimentMetric metric, ExperimentRunner runner, IReadOnlyList<ExperimentRunResult> finished, int count)
        {
            (_display, _metric, _runner, _finished, _count) = (display, metric, runner, finished.Count, count);
            _done = finished.Sum(run => run.Tokens);
        }

        public void OnStarted(ExperimentRun run, long tokens)
        {
            lock (_lock)
            {
                Add(run, tokens);
            }
        }

        public void OnStep(ExperimentRun run, long tokens, double loss)
        {
            lock (_lock)
            {
                _loss = double.IsNaN(_loss) || !double.IsFinite(loss) ? loss : (Smoothing * _loss) + ((1 - Smoothing) * loss);
                Add(run, tokens);
            }
        }

        public void OnFinished(ExperimentRun run, ExperimentRunResult result)
        {
            lock (_lock)
            {
                _finished++;
                Add(run, _runner!.TokensOf(run) - _tokens.GetValueOrDefault(run)); // what a diverged one has left out
                var value = result.Validation.TryGetValue(_metric!.Name, out var number)
                    ? $"{_metric.Title} {_metric.Format(number)} {_metric.Unit}".TrimEnd() + " (validation)"
                    : "";
                var outcome = string.Join(", ", new[] { result.Status == ExperimentRunStatus.Diverged ? FormattableString.Invariant($"diverged after step {result.Steps:#,0}") : "", value }.Where(text => text.Length > 0));
                _display?.WriteLine(FormattableString.Invariant($"{_finished} of {_count}: {run.Title}: {outcome}, {ProgressMeter.Duration(TimeSpan.FromSeconds(result.TrainingSeconds))}"));
            }
        }

        private void Add(ExperimentRun run, long tokens)
        {
            _tokens[run] = _tokens.GetValueOrDefault(run) + tokens;
            _done += tokens;
            _display?.Report(_done, _loss);
        }
    }
}
