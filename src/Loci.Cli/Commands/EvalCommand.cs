using System.CommandLine;
using System.CommandLine.Parsing;
using System.Globalization;
using System.Reflection;
using Loci.Cli.Terminal;
using Loci.Evaluation;
using Loci.Formats;
using Loci.Memory.Store;
using Loci.Numerics;
using Loci.Sessions;

namespace Loci.Cli.Commands;

/// <summary><c>loci eval</c>.</summary>
internal sealed class EvalCommand
{
    private readonly Argument<string[]> _tasks = new("TASK") { Description = "The tasks, or the names of groups of them; loci eval list shows them.", Arity = ArgumentArity.ZeroOrMore };
    private readonly Option<string[]> _models = new("--model")
    {
        Description = "Folder of a model: a run, or any folder with its files. Several are compared.",
        HelpName = "FOLDER",
        AllowMultipleArgumentsPerToken = true,
    };

    private readonly Option<string[]> _data = new("--data") { Description = "Where the data of a task is. May be given several times.", HelpName = "TASK=PATH" };
    private readonly Option<string?> _haystack = Options.Text("--haystack", "Text in which generated tasks hide what is asked for: a file, folder, .jsonl, .gz, .zip, .tar or .tgz (default what ships).", "PATH");
    private readonly Option<int?> _samples = Options.Whole("--samples", "Only the first N examples of a data set, or N for each length and depth of a generated task (default the task's).", 1);
    private readonly Option<int[]?> _lengths = Options.Lengths("--lengths", "Lengths of the contexts of generated tasks, in tokens, such as 1024,4096 or 1K,4K (default the task's).", 1);
    private readonly Option<double[]?> _depths = Options.Depths("Where needles stand in the context, from 0 (beginning) to 1 (end), such as 0,0.5,1 (default the task's).");
    private readonly Option<ulong?> _seed = Options.Whole("--seed", "Decides what generated tasks hold (default 0).", 0UL);
    private readonly Option<string[]> _settings = new("--set") { Description = "A setting of a task, of which loci eval list shows the names. May be given several times.", HelpName = "TASK.NAME=VALUE" };
    private readonly Option<string?> _out = Options.Text("--out", "Folder for report.html, results.md and results.json (default none: the tables are only printed).", "FOLDER");
    private readonly Option<string?> _examples = Options.Text("--examples", "Writes every example as it went to this file, a line of JSON each: what was asked, what came back, and how it was judged.", "FILE.jsonl");
    private readonly Option<bool> _json = Options.Flag("--json", "Prints the results as JSON instead of the tables.");
    private readonly Option<WeightFormat?> _weights = Options.Weights();
    private readonly Option<int?> _threads = Options.Threads();
    private readonly MemoryOptions _memory = new();

    private EvalCommand()
    {
    }

    public static Command Create()
    {
        EvalCommand options = new();
        var command = new DocumentedCommand(
            "eval",
            "Measures models in tasks: what they recall, find, know and predict.",
            """
            Examples:
              loci eval list
              loci eval mqar --model runs/recall --lengths 128,512 --set mqar.pairs=4,16
              loci eval mqar --model runs/base runs/grm --out results
              loci eval perplexity --model runs/grm --data test.txt.gz --separator wikitext

            Several models stand beside each other in tables and charts. The same tasks with the same seed ask every model
            the same examples. Ctrl+C stops; what was done is still shown and saved, and marked as partial.
            """)
        {
            options._tasks, options._models, options._data, options._haystack, options._samples, options._lengths, options._depths, options._seed, options._settings, options._out, options._examples,
            options._json, options._weights, options._threads,
        };
        command.Add(options._memory.Reading);
        command.Add(EvalListCommand.Create());
        command.Add(PerplexityCommand.Create());
        command.Add(RoutingCommand.Create());
        command.SetAction(options.Run);
        return command;
    }

    private int Run(ParseResult result)
    {
        string[] names = result.GetValue(_tasks) ?? [], folders = result.GetValue(_models) ?? [];
        var tasks = FindTasks(names, folders, result.CommandResult.Command);
        var models = FindModels(folders);
        var options = ReadOptions(result, tasks);
        var session = _memory.Read(result);
        RequireFiles(options.Values, models);
        var folder = result.GetValue(_out);
        if (folder is not null)
        {
            FileFailure.MakeFolder(folder);
        }

        using var writer = OpenExamples(result.GetValue(_examples));
        List<EvaluatedModel> evaluated = [];
        List<EvaluationTaskResult> finished = [];
        Interruption? interruption = null;
        try
        {
            foreach (var (name, path) in models)
            {
                using var loaded = LoadedModel.Load(path, result.GetValue(_threads), result.GetValue(_weights), needsTokenizer: false);
                interruption ??= new Interruption("Stopping… (again to quit at once)"); // before, there is nothing to show and save
                if (interruption.Requested)
                {
                    break;
                }

                LanguageEvaluationModel model = new(loaded.Model, loaded.OptionalTokenizer, name, session);
                RequireAll(model, tasks, options, evaluated.Count == 0, interruption.Token);
                evaluated.Add(new EvaluatedModel(name, path, loaded.Model.ParameterCount, Describe(loaded, session)));
                foreach (var task in tasks.TakeWhile(_ => !interruption.Requested))
                {
                    finished.Add(Run(model, task, options[task], models.Count > 1, writer, interruption.Token));
                    Save(folder, Results());
                }
            }
        }
        catch (LociException) when (finished.Count > 0)
        {
            Show(result, folder, Results()); // what was done is not lost
            throw;
        }
        finally
        {
            interruption?.Dispose();
        }

        var results = Results();
        Show(result, folder, results);
        if (!results.IsComplete)
        {
            Console.Error.WriteLine("Stopped: the results are of what was done until then.");
            return interruption!.ExitCode;
        }

        return 0;

        EvaluationResults Results() => new()
        {
            Version = Version,
            Models = evaluated,
            IsComplete = finished.Count == tasks.Count * models.Count && finished.All(one => one.IsComplete),
            Tasks = [.. tasks.SelectMany(task => finished.Where(one => one.Task == task.Name))],
        };
    }

    private static string Version { get; } = typeof(Evaluator).Assembly.GetCustomAttribute<AssemblyInformationalVersionAttribute>()?.InformationalVersion ?? "unknown";

    private static EvaluationTaskResult Run(LanguageEvaluationModel model, EvaluationTask task, TaskOptions options, bool isOneOfSeveral, TextWriter? examples, CancellationToken cancellationToken)
    {
        ProgressDisplay? display = null;
        EvaluationTaskResult result;
        try
        {
            Reporter<EvaluationProgress> progress = new(done =>
            {
                // Only now is it known how many examples there are; where nobody knows, tokens tell more.
                display ??= ProgressDisplay.Start(isOneOfSeveral ? $"{task.Name}: {model.Name}" : task.Name, done.Total ?? 0, done.Total is null ? ProgressUnit.Tokens : new ProgressUnit("examples"));
                display.Report(done.Total is null ? done.Tokens ?? done.Examples : done.Examples);
            });
            result = Evaluator.Run(model, task, options, progress, examples is null ? null : example => examples.WriteLine(example.ToJson()), cancellationToken);
        }
        finally
        {
            display?.Dispose();
        }

        examples?.Flush();
        return result;
    }

    /// <summary>Finds out what is missing before the first long task rather than after it.</summary>
    private static void RequireAll(LanguageEvaluationModel model, List<EvaluationTask> tasks, Dictionary<EvaluationTask, TaskOptions> options, bool isFirst, CancellationToken cancellationToken)
    {
        foreach (var task in tasks)
        {
            if (task.NeedsTokenizer && model.Tokenizer is null)
            {
                throw new LociException($"The task {task.Name} asks in text, but the model {model.Name} has no tokenizer: put the tokenizer.json that it was trained with in its folder, or use a task of token ids, such as mqar.");
            }

            if (isFirst && tasks.Count > 1 && (task.DataSource is not null || options[task].DataPath is not null) && !cancellationToken.IsCancellationRequested)
            {
                _ = task.Load(model, options[task]).FirstOrDefault();
            }
        }
    }

    private static void Show(ParseResult result, string? folder, EvaluationResults results, Option<bool> json)
    {
        Save(folder, results);
        Console.Out.Write(result.GetValue(json) ? results.ToJson() : EvaluationReport.ToMarkdown(results));
        if (folder is not null)
        {
            Console.Error.WriteLine($"report  {Path.Combine(folder, EvaluationReport.PageName)}");
        }
    }

    private void Show(ParseResult result, string? folder, EvaluationResults results) => Show(result, folder, results, _json);

    private static void Save(string? folder, EvaluationResults results)
    {
        if (folder is not null)
        {
            EvaluationReport.Save(folder, results);
        }
    }

    /// <summary>The tasks of names, of which some may be groups, each once.</summary>
    private static List<EvaluationTask> FindTasks(string[] names, string[] models, Command command)
    {
        if (names.Length == 0)
        {
            if (models.FirstOrDefault(model => Named(model).Count > 0 && !Directory.Exists(model)) is { } task)
            {
                throw new UsageException($"loci eval takes everything after --model for folders: name the task first, as in loci eval {task} --model FOLDER.");
            }

            throw new UsageException($"loci eval needs a task, such as {EvaluationTasks.All[0].Name}, or a command: {CommandLine.NamesOf(command)}. See loci eval --help.");
        }

        if (names.GroupBy(name => name).FirstOrDefault(group => group.Count() > 1) is { } twice)
        {
            throw new UsageException($"The task {twice.Key} is named twice; name it once.");
        }

        // Groups may share tasks, each of which is run once.
        return
        [
            .. names.SelectMany(name => Named(name) is { Count: > 0 } found ? found : throw Unknown(name, Names.Concat(command.Subcommands.Select(one => one.Name)))).Distinct(),
        ];
    }

    private static IEnumerable<string> Names => EvaluationTasks.All.SelectMany(task => (string[])[task.Name, task.Group]).Append("all").Distinct();

    private static List<EvaluationTask> Named(string name) =>
        EvaluationTasks.All.FirstOrDefault(task => task.Name == name) is { } task ? [task] : [.. EvaluationTasks.All.Where(task => name == "all" || task.Group == name)];

    private static UsageException Unknown(string name, IEnumerable<string> names) =>
        new($"There is no task '{name}'{(CommandLine.Nearest(names, name) is { } nearest ? $"; did you mean {nearest}?" : ".")} See loci eval list.");

    private static List<(string Name, string Path)> FindModels(string[] paths)
    {
        if (paths.Length == 0)
        {
            throw new UsageException("loci eval needs a model: give its folder with --model FOLDER.");
        }

        List<(string Name, string Path)> models = [.. paths.Select(path => (Path.GetFileName(Path.TrimEndingDirectorySeparator(Path.GetFullPath(path))), path))];
        if (paths.FirstOrDefault(string.IsNullOrEmpty) is not null)
        {
            throw new UsageException("--model must not be empty.");
        }

        if (models.GroupBy(model => Path.GetFullPath(Path.TrimEndingDirectorySeparator(model.Path))).FirstOrDefault(group => group.Count() > 1) is { } twice)
        {
            throw new UsageException($"--model gives {twice.First().Path} twice; give it once.");
        }

        // Folders of one name are told apart by their paths.
        return [.. models.Select(model => models.Count(other => other.Name == model.Name) > 1 || model.Name.Length == 0 ? (model.Path, model.Path) : model)];
    }

    private Dictionary<EvaluationTask, TaskOptions> ReadOptions(ParseResult result, List<EvaluationTask> tasks)
    {
        var general = new TaskOptions
        {
            HaystackPath = result.GetValue(_haystack),
            Samples = result.GetValue(_samples),
            Lengths = result.GetValue(_lengths) ?? [],
            Depths = result.GetValue(_depths) ?? [],
            Seed = result.GetValue(_seed) ?? 0,
        };
        var options = tasks.ToDictionary(task => task, _ => general);
        foreach (var text in result.GetValue(_data) ?? [])
        {
            if (text.Split('=', 2) is not [{ Length: > 0 } name, { Length: > 0 } path])
            {
                throw new UsageException($"--data takes TASK=PATH, not '{text}'.");
            }

            foreach (var task in Asked(name, "--data", tasks))
            {
                options[task] = options[task].DataPath is null ? options[task] with { DataPath = path } : throw new UsageException($"--data gives {task.Name} twice; give it once.");
            }
        }

        foreach (var text in result.GetValue(_settings) ?? [])
        {
            if (text.Split('=', 2) is not [var key, var value] || key.Split('.', 2) is not [{ Length: > 0 } name, { Length: > 0 } setting])
            {
                throw new UsageException($"--set takes TASK.NAME=VALUE, not '{text}'.");
            }

            var asked = Asked(name, "--set", tasks);
            List<EvaluationTask> knowing = [.. asked.Where(task => task.SettingNames.Contains(setting))];
            if (knowing.Count == 0)
            {
                List<string> known = [.. asked.SelectMany(task => task.SettingNames).Distinct()];
                throw new UsageException($"The task {name} has no setting '{setting}'"
                    + (CommandLine.Nearest(known, setting) is { } nearest ? $"; did you mean {nearest}?" : known.Count > 0 ? $": use {string.Join(", ", known)}." : ", and no others."));
            }

            foreach (var task in knowing)
            {
                if (options[task].Settings.ContainsKey(setting))
                {
                    throw new UsageException($"--set gives {task.Name}.{setting} twice; give it once.");
                }

                options[task] = options[task] with { Settings = new Dictionary<string, string>(options[task].Settings) { [setting] = value } };
            }
        }

        return options;
    }

    /// <summary>The tasks that an option is for, of those that are run.</summary>
    private static List<EvaluationTask> Asked(string name, string option, List<EvaluationTask> tasks)
    {
        var named = Named(name);
        if (named.Count == 0)
        {
            throw Unknown(name, Names);
        }

        List<EvaluationTask> asked = [.. named.Where(tasks.Contains)];
        return asked.Count > 0 ? asked : throw new UsageException($"{option} is for the task {name}, which is not run; leave it out, or name the task.");
    }

    private static void RequireFiles(IEnumerable<TaskOptions> options, List<(string Name, string Path)> models)
    {
        foreach (var (_, path) in models)
        {
            LoadedModel.Require(path, needsTokenizer: false);
        }

        foreach (var path in options.SelectMany(option => (string?[])[option.DataPath, option.HaystackPath]).OfType<string>().Distinct())
        {
            if (!File.Exists(path) && !Directory.Exists(path))
            {
                throw new LociException(ErrorKind.NotFound, $"There is no file or folder {path}: check the path.");
            }
        }
    }

    private static StreamWriter? OpenExamples(string? path)
    {
        try
        {
            return path is null ? null : new StreamWriter(path);
        }
        catch (Exception exception) when (exception is IOException or UnauthorizedAccessException)
        {
            throw new LociException($"The examples cannot be written to {path}: {exception.Message}", exception);
        }
    }

    private static string Describe(LoadedModel loaded, SessionOptions session)
    {
        List<string> parts = [ModelOptions.Describe(loaded.Model.Configuration)];
        if (loaded.Model.Weights != WeightFormat.Float32)
        {
            parts.Add("weights in int8");
        }

        if (session.Checkpoints != StateFormat.Float32)
        {
            parts.Add($"cached states in {MemoryOptions.Name(session.Checkpoints)}");
        }

        if (session.AfterTraining is { } cache)
        {
            parts.Add(FormattableString.Invariant($"{cache.Read} after training, segments of {cache.SegmentLength}"));
        }

        if (session.ReadTopK is { } topK)
        {
            parts.Add(FormattableString.Invariant($"reads at most {topK} past segments"));
        }

        return string.Join("; ", parts);
    }
}
