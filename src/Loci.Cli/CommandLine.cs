using System.CommandLine;
using System.CommandLine.Invocation;
using Loci.Cli.Commands;
using Loci.Cli.Terminal;

namespace Loci.Cli;

/// <summary>All commands, and how a command line becomes one of them.</summary>
internal static class CommandLine
{
    /// <summary>Runs a command line.</summary>
    /// <param name="arguments">The arguments, without the program's name.</param>
    /// <returns>The exit code.</returns>
    /// <exception cref="UsageException">The command line is wrong.</exception>
    public static int Run(IReadOnlyList<string> arguments)
    {
        ArgumentNullException.ThrowIfNull(arguments);
        var root = CreateRoot();
        var result = root.Parse(arguments.Count == 0 ? ["--help"] : arguments);
        if (result.Action is ParseErrorAction && result.Errors.Count > 0)
        {
            throw new UsageException($"{Explain(result)} See {PathOf(result.CommandResult.Command)} --help.");
        }

        return result.Invoke(new InvocationConfiguration { EnableDefaultExceptionHandler = false, ProcessTerminationTimeout = null });
    }

    private static RootCommand CreateRoot()
    {
        var root = new RootCommand("Recurrent language models whose memory grows: train them on your text, measure them and let them write.");
        root.Add(DemoCommand.Create());
        root.Add(TrainCommand.Create());
        root.Add(GenerateCommand.Create());
        root.Add(ReadCommand.Create());
        root.Add(AskCommand.Create());
        root.Add(ChatCommand.Create());
        root.Add(InspectCommand.Create());
        var evaluate = new Command("eval", "Measures a model.");
        evaluate.Add(PerplexityCommand.Create());
        evaluate.Add(RoutingCommand.Create());
        root.Add(evaluate);
        var tokenizer = new Command("tokenizer", "Makes tokenizers.");
        tokenizer.Add(TokenizerTrainCommand.Create());
        root.Add(tokenizer);
        var import = new Command("import", "Makes a model folder of a model of another program.");
        import.Add(ImportRwkvCommand.Create());
        root.Add(import);
        root.Add(ExperimentCommand.Create());
        root.Add(BenchCommand.Create());
        root.Add(InfoCommand.Create());
        DocumentedCommand.ShowExamples(root);
        return root;
    }

    private static string Explain(ParseResult result)
    {
        var command = result.CommandResult.Command;
        if (result.UnmatchedTokens is [var token, ..])
        {
            var isOption = token.StartsWith('-');
            var names = isOption ? command.Options.Select(option => option.Name) : command.Subcommands.Select(subcommand => subcommand.Name);
            var nearest = names.MinBy(name => Distance(name, token));
            return $"There is no {(isOption ? "option" : command.Subcommands.Count > 0 ? "command" : "argument")} '{token}' here"
                + (nearest is not null && Distance(nearest, token) <= 2 ? $"; did you mean {nearest}?" : ".");
        }

        return command.Subcommands.Count > 0 && command.Action is null
            ? $"{PathOf(command)} needs a command: {string.Join(", ", command.Subcommands.Select(subcommand => subcommand.Name))}."
            : Sentence(result.Errors[0].Message);
    }

    /// <summary>Characters to insert, remove or replace to get from one word to another (Levenshtein, 1966).</summary>
    private static int Distance(string from, string to)
    {
        var row = Enumerable.Range(0, to.Length + 1).ToArray();
        for (var i = 1; i <= from.Length; i++)
        {
            var diagonal = row[0];
            row[0] = i;
            for (var j = 1; j <= to.Length; j++)
            {
                var replaced = diagonal + (from[i - 1] == to[j - 1] ? 0 : 1);
                diagonal = row[j];
                row[j] = Math.Min(replaced, Math.Min(row[j], row[j - 1]) + 1);
            }
        }

        return row[^1];
    }

    private static string PathOf(Command command)
    {
        List<string> names = [];
        for (var current = command; current is not (null or RootCommand); current = current.Parents.OfType<Command>().FirstOrDefault())
        {
            names.Insert(0, current.Name);
        }

        return string.Join(' ', ["loci", .. names]);
    }

    private static string Sentence(string message)
    {
        var line = message.ReplaceLineEndings(" ").Trim();
        return line.Length > 0 && line[^1] is '.' or '!' or '?' ? line : line + ".";
    }
}
