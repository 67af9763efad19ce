using System.CommandLine;
using System.Diagnostics;
using Loci.Cli.Terminal;
using Loci.Data;
using Loci.Sessions;

namespace Loci.Cli.Commands;

/// <summary><c>loci generate</c>.</summary>
internal static class GenerateCommand
{
    public static Command Create()
    {
        var folder = Options.Text("--model", "Folder of the model: a run, or any folder with its files.", "FOLDER", required: true);
        var prompt = new Option<string?>("--prompt") { Description = "Text to go on from; - reads it from standard input (default none).", HelpName = "TEXT" };
        var writing = new WritingOptions();
        var weights = Options.Weights();
        var threads = Options.Threads();
        var command = new DocumentedCommand(
            "generate",
            "Lets a model write; the text appears as it comes. Ctrl+C ends it.",
            """
            Examples:
              loci generate --model runs/grm --prompt "The river"
              loci generate --model runs/grm --prompt - --tokens 500 --temperature 0.7 --seed 1 < beginning.txt
            """)
        {
            folder, prompt, weights, threads,
        };
        command.Add(writing.All);
        command.SetAction(result =>
        {
            writing.Apply(result);
            var sampler = writing.Sampler(result);
            using var loaded = LoadedModel.Load(result.GetValue(folder)!, result.GetValue(threads), result.GetValue(weights));
            var text = Options.ReadText(result.GetValue(prompt) ?? "");
            using var session = loaded.Model.CreateSession();
            return Write(session, loaded.Tokenizer, new SessionWriter(new TextGenerator(session, loaded.Tokenizer, sampler), writing.Ends(result)), text);
        });
        return command;
    }

    private static int Write(Session session, Tokenizer tokenizer, SessionWriter writer, string prompt)
    {
        var begun = Stopwatch.GetTimestamp();
        SessionReader.Read(session, [tokenizer.EndOfTextId, .. tokenizer.Encode(prompt)], CancellationToken.None);
        var reading = Stopwatch.GetElapsedTime(begun);
        using var interruption = Interruption.OfText();
        Console.Out.Write(prompt);
        var written = writer.Write(false, interruption.Token);
        Console.Out.Write("\n");
        Console.Error.WriteLine(SessionText.Describe(written, reading, session));
        return interruption.Requested ? interruption.ExitCode : 0;
    }
}
