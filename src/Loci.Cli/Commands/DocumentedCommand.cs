using System.CommandLine;
using System.CommandLine.Help;
using System.CommandLine.Invocation;

namespace Loci.Cli.Commands;

/// <summary>A command whose help ends with examples.</summary>
/// <param name="name">Its name.</param>
/// <param name="description">What it does, in a sentence.</param>
/// <param name="examples">What follows the help.</param>
internal sealed class DocumentedCommand(string name, string description, string examples) : Command(name, description)
{
    /// <summary>Makes the help of all commands under a root show their examples.</summary>
    public static void ShowExamples(RootCommand root)
    {
        foreach (var option in root.Options.OfType<HelpOption>())
        {
            if (option.Action is HelpAction help)
            {
                option.Action = new ExamplesAction(help);
            }
        }
    }

    private sealed class ExamplesAction(HelpAction help) : SynchronousCommandLineAction
    {
        public override bool Terminating => help.Terminating;

        public override bool ClearsParseErrors => help.ClearsParseErrors;

        public override int Invoke(ParseResult parseResult)
        {
            var code = help.Invoke(parseResult);
            if (parseResult.CommandResult.Command is DocumentedCommand command)
            {
                parseResult.InvocationConfiguration.Output.WriteLine(command.Examples);
            }

            return code;
        }
    }

    private string Examples { get; } = examples;
}
