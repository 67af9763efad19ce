using System.CommandLine;
using System.Diagnostics;
using Loci.Cli.Terminal;
using Loci.Sessions;

namespace Loci.Cli.Commands;

/// <summary><c>loci ask</c>.</summary>
internal static class AskCommand
{
    public static Command Create()
    {
        var question = new Argument<string>("QUESTION") { Description = "What the memory is to read next; - reads it from standard input. The answer goes on behind it, letter by letter." };
        var folder = Options.Text("--model", "Folder of the model that read the text.", "FOLDER", required: true);
        var memory = Options.Text("--memory", "The memory, from loci read or loci chat.", "FILE.memory", required: true);
        var keep = Options.Flag("--keep", "Writes question and answer into the memory; otherwise the file stays as it is.");
        var writing = new WritingOptions();
        var budget = new MemoryOptions().Budget;
        var weights = Options.Weights();
        var threads = Options.Threads();
        var command = new DocumentedCommand(
            "ask",
            "Lets a model answer from a memory: it goes on with the text behind your question. Ctrl+C ends the answer.",
            """
            Examples:
              loci ask --memory book.memory --model runs/grm "The name of the king is"
              loci ask --memory book.memory --model runs/grm --temperature 0 --tokens 20 - < question.txt
            """)
        {
            question, folder, memory, keep, budget, weights, threads,
        };
        command.Add(writing.All);
        command.SetAction(result =>
        {
            var path = result.GetValue(memory)!;
            writing.Apply(result);
            var sampler = writing.Sampler(result);
            using var loaded = LoadedModel.Load(result.GetValue(folder)!, result.GetValue(threads), result.GetValue(weights));
            using var session = MemoryFile.Open(loaded.Model, path, !result.GetValue(keep), result.GetValue(budget));
            var text = Options.ReadText(result.GetValue(question)!);
            var begun = Stopwatch.GetTimestamp();
            var (start, keeps) = (session.Position, result.GetValue(keep));
            using var interruption = Interruption.OfText();
            int[] tokens = [.. start == 0 ? [loaded.Tokenizer.EndOfTextId] : Array.Empty<int>(), .. loaded.Tokenizer.Encode(text)];
            if (!SessionReader.Read(session, tokens, interruption.Token))
            {
                if (keeps)
                {
                    session.Rewind(start); // half a question is of no use
                    session.Save();
                }

                return interruption.ExitCode;
            }

            var reading = Stopwatch.GetElapsedTime(begun);
            WrittenText written;
            try
            {
                written = new SessionWriter(new TextGenerator(session, loaded.Tokenizer, sampler), writing.Ends(result)).Write(keeps, interruption.Token);
            }
            catch (OutputException) when (keeps)
            {
                session.Save(); // what was read and written is not lost with who heard it
                throw;
            }

            if (keeps)
            {
                session.Save();
            }

            Console.Out.Write("\n");
            Console.Error.WriteLine(SessionText.Describe(written, reading, session));
            return interruption.Requested ? interruption.ExitCode : 0;
        });
        return command;
    }
}
