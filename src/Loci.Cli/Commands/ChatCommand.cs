using System.CommandLine;
using System.CommandLine.Parsing;
using System.Diagnostics;
using System.Globalization;
using Loci.Cli.Terminal;
using Loci.Data;
using Loci.Numerics;
using Loci.Sessions;

namespace Loci.Cli.Commands;

/// <summary><c>loci chat</c>.</summary>
internal sealed class ChatCommand
{
    private const string Help = """
        /rewind          forgets the last exchange
        /rewind N        forgets the last N exchanges
        /rewind @N       goes back to where N tokens had been read, also before this chat
        /memory          shows the cached segments of every layer
        /save            saves the memory now; loci chat --memory does so after every exchange by itself
        /save FILE       writes a copy of the memory, to be used by loci ask, chat --memory and inspect
        /quit            ends the chat; so does the end of the input, or Ctrl+C at the prompt
        Ctrl+C           ends an answer; a second time ends the chat at once
        Everything else is read, with a line end behind it, and answered.
        """;

    private readonly Option<string?> _folder = Options.Text("--model", "Folder of the model: a run, or any folder with its files.", "FOLDER", required: true);
    private readonly Option<string?> _file = Options.Text("--memory", "The file that the memory lives in; made where there is none (default in memory only).", "FILE.memory");
    private readonly Option<WeightFormat?> _weights = Options.Weights();
    private readonly Option<int?> _threads = Options.Threads();
    private readonly WritingOptions _writing = new();
    private readonly MemoryOptions _memory = new();

    private ChatCommand()
    {
    }

    public static Command Create()
    {
        ChatCommand options = new();
        var command = new DocumentedCommand(
            "chat",
            "Reads what you write and answers, line by line; the memory of all of it grows, and can be taken back.",
            $"""
            Examples:
              loci chat --model runs/grm
              loci chat --model runs/grm --memory book.memory --temperature 0.7

            In the chat:
              {Help.ReplaceLineEndings(Environment.NewLine + "  ")}
            """)
        {
            options._folder, options._file, options._weights, options._threads,
        };
        command.Add(options._writing.All);
        command.Add(options._memory.Storage);
        command.SetAction(options.Run);
        return command;
    }

    private int Run(ParseResult result)
    {
        _writing.Apply(result);
        var sampler = _writing.Sampler(result);
        var created = _memory.Read(result);
        using var loaded = LoadedModel.Load(result.GetValue(_folder)!, result.GetValue(_threads), result.GetValue(_weights));
        var path = result.GetValue(_file);
        var isNew = path is null || !Path.Exists(path);
        using var session = isNew ? loaded.Model.CreateSession(created) : MemoryFile.Open(loaded.Model, path!, false, created.MemoryBudget);
        if (!isNew)
        {
            _memory.RequireSame(result, session, path!);
        }
        else if (path is not null)
        {
            session.SaveAs(path);
        }

        var writer = new SessionWriter(new TextGenerator(session, loaded.Tokenizer, sampler), _writing.Ends(result));
        return new Chat(session, loaded.Tokenizer, writer).Run();
    }

    /// <summary>One chat. Answers go to standard output, everything else to standard error.</summary>
    private sealed class Chat(Session session, Tokenizer tokenizer, SessionWriter writer)
    {
        private readonly List<int> _exchanges = []; // where each begins
        private int? _stopped;                      // the exit code of a signal that ended more than an answer

        public int Run()
        {
            Say("/help lists the commands.");
            while (_stopped is null)
            {
                Say("[" + SessionText.Describe(session) + "]");
                Console.Error.Write("> ");
                if (Console.In.ReadLine() is not { } line)
                {
                    Say("");
                    break;
                }

                var words = line.Trim().Split((char[]?)null, 2, StringSplitOptions.RemoveEmptyEntries);
                if (words is ["/quit" or "/exit"])
                {
                    break;
                }

                try
                {
                    Do(line, words);
                }
                catch (LociException exception)
                {
                    Say("error: " + exception.Message);
                }
                catch (OutputException)
                {
                    Save(); // what was read and written is not lost with who heard it
                    throw;
                }
            }

            Save();
            return _stopped ?? 0;
        }

        private void Do(string line, string[] words)
        {
            switch (words)
            {
                case []:
                    break;
                case ["/help"]:
                    Say(Help);
                    break;
                case ["/memory"]:
                    ShowMemory();
                    break;
                case ["/rewind"]:
                    Rewind("1");
                    break;
                case ["/rewind", var target]:
                    Rewind(target);
                    break;
                case ["/save"]:
                    Save();
                    Say(session.Path is { } path ? $"{path} holds all {SessionText.Count(session.Position, "token")}." : "This chat lives in memory only: name a file, as in /save chat.memory.");
                    break;
                case ["/save", var file]:
                    SaveCopy(file);
                    break;
                case [['/', ..], ..]:
                    Say($"There is no command {words[0]}; /help lists the commands.");
                    break;
                default:
                    using (var interruption = Interruption.OfText())
                    {
                        Answer(line, interruption.Token);
                        _stopped = EndsChat(interruption) ? interruption.ExitCode : null;
                    }

                    break;
            }
        }

        /// <summary>Ctrl+C ends only the answer where a person can go on; other signals ask for more.</summary>
        private static bool EndsChat(Interruption interruption) =>
            interruption.Requested && (interruption.ExitCode != Door.Interrupted || Console.IsInputRedirected);

        private void Answer(string line, CancellationToken cancellationToken)
        {
            var begun = Stopwatch.GetTimestamp();
            var start = session.Position;
            int[] asked = [.. start == 0 ? [tokenizer.EndOfTextId] : Array.Empty<int>(), .. tokenizer.Encode(line + "\n")];
            if (!SessionReader.Read(session, asked, cancellationToken))
            {
                session.Rewind(start);
                Save();
                Say("Stopped and forgotten; nothing of it was read.");
                return;
            }

            _exchanges.Add(start);
            var reading = Stopwatch.GetElapsedTime(begun);
            var written = writer.Write(true, cancellationToken);
            if (!written.EndsLine)
            {
                session.Read(tokenizer.Encode("\n"), CancellationToken.None); // belongs to the answer, also to one that was ended
                Console.Out.Write("\n");
            }

            Save();
            Say(string.Create(CultureInfo.InvariantCulture, $"({SessionText.Count(written.Tokens, "token")}, {written.Rate:0.0} tokens/s, first after {(reading + written.ToFirst).TotalSeconds:0.00} s)"));
        }

        private void Rewind(string target)
        {
            var isPosition = target.StartsWith('@');
            if (!int.TryParse(target.AsSpan(isPosition ? 1 : 0), NumberStyles.None, CultureInfo.InvariantCulture, out var number) || (number == 0 && !isPosition))
            {
                Say("/rewind takes a number of exchanges, as in /rewind 2, or a position, as in /rewind @1000.");
                return;
            }

            if (isPosition ? number > session.Position : number > _exchanges.Count)
            {
                Say(isPosition
                    ? $"Only {SessionText.Count(session.Position, "token")} have been read."
                    : $"There {(_exchanges.Count == 1 ? "is" : "are")} only {SessionText.Count(_exchanges.Count, "exchange")} to forget; /rewind @N goes back to any position.");
                return;
            }

            var position = isPosition ? number : _exchanges[^number];
            var again = position - session.LastReturn(position);
            session.Rewind(position);
            _exchanges.RemoveAll(start => start >= position);
            Save();
            Say(FormattableString.Invariant($"Back at position {position:#,0}; {SessionText.Count(again, "token")} read again."));
        }

        private void SaveCopy(string file)
        {
            using var copy = session.Fork();
            copy.SaveAs(file);
            Say($"{file} holds all {SessionText.Count(session.Position, "token")}, {ByteSize.Format(MemoryFile.Length(file))}.");
        }

        private void ShowMemory()
        {
            for (var layer = 0; layer < session.Segments.Count; layer++)
            {
                var lengths = session.Segments[layer];
                Say(FormattableString.Invariant($"layer {layer}: {SessionText.Count(lengths.Count, "segment")}, live memory of the last {SessionText.Count(session.Position - lengths.Sum(), "token")}")
                    + (lengths.Count == 0 ? "" : "; lengths " + Runs(lengths)));
            }

            Say("memory " + SessionText.Memory(session) + (session.Path is { } path ? $", file {path}, {ByteSize.Format(MemoryFile.Length(path))}" : ""));
        }

        /// <summary>Lengths with equal ones together, from old to new: <c>76 x 64</c>, or <c>256 128 2 x 64</c>.</summary>
        private static string Runs(IReadOnlyList<int> lengths)
        {
            List<string> runs = [];
            for (var i = 0; i < lengths.Count;)
            {
                var count = lengths.Skip(i).TakeWhile(length => length == lengths[i]).Count();
                runs.Add(count == 1 ? $"{lengths[i]}" : $"{count} x {lengths[i]}");
                i += count;
            }

            return string.Join(" ", runs);
        }

        private void Save()
        {
            if (session.Path is not null)
            {
                session.Save();
            }
        }

        private static void Say(string text) => Console.Error.WriteLine(text);
    }
}
