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
            var command = result.CommandResult.Command;
            var path = command is RootCommand ? "loci" : PathOf(command);
            throw new UsageException($"{Sentence(result.Errors[0].Message)} See {path} --help.");
        }

        return result.Invoke(new InvocationConfiguration { EnableDefaultExceptionHandler = false, ProcessTerminationTimeout = null });
    }

    private static RootCommand CreateRoot()
    {
        var root = new RootCommand("Recurrent language models whose memory grows: train them on your text, measure them and let them write.");
        root.Add(DemoCommand.Create());
        root.Add(TrainCommand.Create());
        root.Add(GenerateCommand.Create());
        var evaluate = new Command("eval", "Measures a model.");
        evaluate.Add(PerplexityCommand.Create());
        root.Add(evaluate);
        var tokenizer = new Command("tokenizer", "Makes tokenizers.");
        tokenizer.Add(TokenizerTrainCommand.Create());
        root.Add(tokenizer);
        root.Add(InfoCommand.Create());
        return root;
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
