using Loci.Data;

namespace Loci.Cli.Terminal;

/// <summary>
/// What is behind <see cref="Console.In"/>: text that comes through a pipe or from a file is read as any other text from outside.
/// </summary>
internal static class StandardInput
{
    /// <summary>Puts it behind the console. A terminal keeps its own reader, which knows its keys.</summary>
    public static void Install()
    {
        if (Console.IsInputRedirected)
        {
            Console.SetIn(TextInput.OpenReader(Console.OpenStandardInput(), "standard input"));
        }
    }
}
