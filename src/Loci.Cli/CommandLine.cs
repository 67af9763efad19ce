using System.CommandLine;
using System.CommandLine.Help;
using System.CommandLine.Invocation;
using System.CommandLine.Parsing;
using Loci.Cli.Commands;
using Loci.Cli.Terminal;

namespace Loci.Cli;

/// <summary>All commands, and how a command line becomes one of them.</summary>
internal static class CommandLine
{
    // An argument is the text that was typed: no @file is read in its place, and no -abc taken apart.
    private static readonly ParserConfiguration AsTyped = new() { ResponseFileTokenReplacer = null, EnablePosixBundling = false };

    /// <summary>Runs a command line.</summary>
    /// <param name="arguments">The arguments, without the program's name.</param>
    /// <returns>The exit code.</returns>
    /// <exception cref="UsageException">The command line is wrong.</exception>
    public static int Run(IReadOnlyList<string> arguments)
    {
        ArgumentNullException.ThrowIfNull(arguments);
        var result = Parse(CreateRoot(), arguments);
        if (result.Action is ParseErrorAction && result.Errors.Count > 0)
        {
            throw new UsageException($"{Explain(result)} See {PathOf(result.CommandResult.Command)} --help.");
        }

        return result.Invoke(new InvocationConfiguration { EnableDefaultExceptionHandler = false, ProcessTerminationTimeout = null });
    }

    /// <summary>Takes a command line apart.</summary>
    internal static ParseResult Parse(Command root, IReadOnlyList<string> arguments) =>
        root.Parse(arguments.Count == 0 ? ["--help"] : Literal(root, arguments), AsTyped);

    /// <summary>All commands.</summary>
    internal static RootCommand CreateRoot()
    {
        var root = new RootCommand("Recurrent language models whose memory grows: train them on your text, measure them and let them write.");
        root.Add(DemoCommand.Create());
        root.Add(TrainCommand.Create());
        root.Add(GenerateCommand.Create());
        root.Add(ReadCommand.Create());
        root.Add(AskCommand.Create());
        root.Add(ChatCommand.Create());
        root.Add(InspectCommand.Create());
        root.Add(EvalCommand.Create());
        var tokenizer = new Command("tokenizer", "Makes tokenizers.");
        tokenizer.Add(TokenizerTrainCommand.Create());
        root.Add(tokenizer);
        var import = new Command("import", "Makes a model folder of a model of another program.");
        import.Add(ImportRwkvCommand.Create());
        root.Add(import);
        root.Add(ExperimentCommand.Create());
        root.Add(BenchCommand.Create());
        root.Add(InfoCommand.Create());
        foreach (var help in root.Options.OfType<HelpOption>())
        {
            help.Aliases.Remove("/h"); // a path
            help.Aliases.Remove("/?");
        }

        DocumentedCommand.ShowExamples(root);
        return root;
    }

    /// <summary>
    /// The arguments so that the parser takes each for what it is: the one behind an option that takes a value is its value, whatever it
    /// looks like,
    /// and an option that nobody knows is no text.
    /// </summary>
    private static List<string> Literal(Command root, IReadOnlyList<string> arguments)
    {
        var command = root;
        List<string> literal = [];
        for (var i = 0; i < arguments.Count; i++)
        {
            var argument = arguments[i];
            var (name, value) = Divide(argument);
            var isUnknownCommand = command.Subcommands.Count > 0 && command.Arguments.Count == 0 && FindCommand(command, argument) is null;
            if (argument == "--" || (isUnknownCommand && !argument.StartsWith('-')))
            {
                return [.. literal, .. arguments.Skip(i)];
            }

            if (FindOption(command, name) is { } option)
            {
                if (value is not null && option.Arity.MaximumNumberOfValues == 0)
                {
                    throw new UsageException($"{name} takes no value: give it alone, or leave it out. See {PathOf(command)} --help.");
                }

                value ??= option.Arity.MinimumNumberOfValues > 0 && i + 1 < arguments.Count ? arguments[++i] : null;
                literal.AddRange(value switch { null => [name], "" => [name, ""], _ => [$"{name}={value}"] });
            }
            else if (LooksLikeOption(name))
            {
                throw new UsageException($"{ExplainOption(command, name)} See {PathOf(command)} --help.");
            }
            else
            {
                command = FindCommand(command, argument) ?? command;
                literal.Add(argument);
            }
        }

        return literal;
    }

    /// <summary>The name and value of <c>--name=value</c>; the value of anything else is null.</summary>
    private static (string Name, string? Value) Divide(string argument) =>
        argument.StartsWith('-') && argument.IndexOfAny(['=', ':']) is > 0 and var end ? (argument[..end], argument[(end + 1)..]) : (argument, null);

    private static Command? FindCommand(Command command, string name) => command.Subcommands.FirstOrDefault(one => one.Name == name);

    private static Option? FindOption(Command command, string name) =>
        PathFrom(command)
            .SelectMany(one => one.Options.Where(option => one == command || option.Recursive))
            .FirstOrDefault(option => option.Name == name || option.Aliases.Contains(name));

    private static bool LooksLikeOption(string name) =>
        name.StartsWith('-') && name.TrimStart('-') is [var first, ..] rest && char.IsAsciiLetter(first) && !rest.Any(char.IsWhiteSpace);

    private static string ExplainOption(Command command, string name) => $"There is no option '{name}' here"
        + (Nearest(command.Options.Select(option => option.Name), name) is { } nearest ? $"; did you mean {nearest}?"
            : command.Arguments.Count > 0 ? "; put -- before text that begins so." : ".");

    private static string Explain(ParseResult result)
    {
        var command = result.CommandResult.Command;
        if (result.UnmatchedTokens is [var token, ..])
        {
            var taken = result.CommandResult.Children.OfType<OptionResult>()
                .FirstOrDefault(option => option.Tokens is [var value] && FindOption(command, value.Value) is not null);
            return taken is not null
                ? $"{taken.Option.Name} takes what is behind it, '{taken.Tokens[0].Value}', for its value, so that '{token}' is left over: give it a value."
                : $"There is no {(command.Subcommands.Count > 0 ? "command" : "argument")} '{token}' here"
                    + (Nearest(command.Subcommands.Select(subcommand => subcommand.Name), token) is { } nearest ? $"; did you mean {nearest}?" : ".");
        }

        return command.Subcommands.Count > 0 && command.Action is null ? NeedsCommand(command) : Sentence(result.Errors[0].Message);
    }

    private static string NeedsCommand(Command command) => $"{PathOf(command)} needs a command: {NamesOf(command)}.";

    /// <summary>The commands of a group, for sentences.</summary>
    public static string NamesOf(Command group) => string.Join(", ", group.Subcommands.Select(command => command.Name));

    /// <summary>The name that a word was probably meant to be; null where none is near.</summary>
    public static string? Nearest(IEnumerable<string> names, string word) =>
        names.MinBy(name => Distance(name, word)) is { } nearest && Distance(nearest, word) is <= 2 and var distance && 2 * distance < nearest.Length
            ? nearest
            : null;

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

    private static string PathOf(Command command) =>
        string.Join(' ', ["loci", .. PathFrom(command).Reverse().Where(one => one is not RootCommand).Select(one => one.Name)]);

    /// <summary>A command and those that it belongs to, up to the root.</summary>
    private static IEnumerable<Command> PathFrom(Command command)
    {
        for (var current = command; current is not null; current = current.Parents.OfType<Command>().FirstOrDefault())
        {
            yield return current;
        }
    }

    private static string Sentence(string message)
    {
        var line = message.ReplaceLineEndings(" ").Trim();
        return line.Length > 0 && line[^1] is '.' or '!' or '?' ? line : line + ".";
    }
}
