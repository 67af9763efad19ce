using System.CommandLine;
using System.CommandLine.Parsing;
using System.Diagnostics;
using Loci.Cli.Terminal;
using Loci.Data;
using Loci.Numerics;
using Loci.Sessions;

namespace Loci.Cli.Commands;

/// <summary><c>loci read</c>.</summary>
internal sealed class ReadCommand
{
    private readonly Argument<string> _text = new("TEXT") { Description = "What to read: a file, folder, .jsonl, .gz, .zip, .tar or .tgz; - reads standard input." };
    private readonly Option<string?> _folder = Options.Text("--model", "Folder of the model: a run, or any folder with its files.", "FOLDER", required: true);
    private readonly Option<string?> _into = Options.Text("--into", "The memory: a new file, or one that holds the beginning of this text.", "FILE.memory", required: true);
    private readonly Option<bool> _append = Options.Flag("--append", "Reads the text behind what the memory already holds.");
    private readonly Option<bool> _overwrite = Options.Flag("--overwrite", "Begins a new memory where there is one.");
    private readonly Option<DocumentSeparator?> _separator = Options.Separator("each begins with the end-of-text token");
    private readonly Option<bool> _noLoss = Options.Flag("--no-loss", "Does not measure how well the text is predicted, which with large vocabularies takes up to half of the time; the memory is the same.");
    private readonly Option<WeightFormat?> _weights = Options.Weights();
    private readonly Option<int?> _threads = Options.Threads();
    private readonly MemoryOptions _memory = new();

    private ReadCommand()
    {
    }

    public static Command Create()
    {
        ReadCommand options = new();
        var command = new DocumentedCommand(
            "read",
            "Reads a text into a memory, which is a file: ask it with loci ask, look into it with loci inspect.",
            """
            Examples:
              loci read book.txt --model runs/grm --into book.memory
              loci read chapter-2.txt --model runs/grm --into book.memory --append
              loci read novels.zip --model runs/ssc --into novels.memory --checkpoints float16 --memory-budget 2G
              loci read book.txt --model runs/base --into book.memory --after-training mean --segment-length 1024

            Ctrl+C saves and stops; the same command goes on from there, also after a crash, and ends with the same memory
            as if nothing had happened.
            """)
        {
            options._text, options._folder, options._into, options._append, options._overwrite, options._separator, options._noLoss, options._weights, options._threads,
        };
        command.Add(options._memory.All);
        command.SetAction(options.Run);
        return command;
    }

    private int Run(ParseResult result)
    {
        var (text, path) = (result.GetValue(_text)!, result.GetValue(_into)!);
        if (result.GetValue(_append) && result.GetValue(_overwrite))
        {
            throw new UsageException("--append and --overwrite contradict each other: give one of them.");
        }

        if (text == "-" && result.IsGiven(_separator))
        {
            throw new UsageException("--separator is for files, and standard input is one document: leave it out.");
        }

        if (text != "-" && Path.GetFullPath(text) == Path.GetFullPath(path))
        {
            throw new UsageException("TEXT and --into are the same file: give the memory a name of its own.");
        }

        var created = _memory.Read(result);
        LoadedModel.Require(result.GetValue(_folder)!);
        var corpus = text == "-" ? Corpus.FromTexts("The standard input", [Options.ReadText(text)]) : Corpus.Open(text, result.GetValue(_separator) ?? DocumentSeparator.File);
        using var loaded = LoadedModel.Load(result.GetValue(_folder)!, result.GetValue(_threads), result.GetValue(_weights));
        var isNew = result.GetValue(_overwrite) || !Path.Exists(path);
        using var session = isNew ? loaded.Model.CreateSession(created) : MemoryFile.Open(loaded.Model, path, false, created.MemoryBudget);
        var tokens = Options.TokensOf(Options.Encode(corpus, loaded.Tokenizer, "encoding"));
        if (isNew)
        {
            session.SaveAs(path, result.GetValue(_overwrite));
        }
        else
        {
            _memory.RequireSame(result, session, path);
        }

        var before = ReadBefore(session.Tokens, tokens, result.GetValue(_append), loaded.Tokenizer.EndOfTextId, path);
        if (before > 0)
        {
            Console.Error.WriteLine(before == tokens.Length
                ? "The memory holds all of this text already."
                : FormattableString.Invariant($"Going on behind the first {SessionText.Count(before, "token")} of the text, which the memory holds already."));
        }

        return Read(session, tokens, before, loaded.Tokenizer, path, !result.GetValue(_noLoss));
    }

    private static int Read(Session session, int[] tokens, int before, Tokenizer tokenizer, string path, bool measures)
    {
        var begun = Stopwatch.GetTimestamp();
        var (nats, predicted, bytes) = (0.0, 0L, 0L);
        var done = before;
        int? interrupted = null;
        if (done < tokens.Length)
        {
            using var display = ProgressDisplay.Start("reading", tokens.Length, ProgressUnit.Tokens, before);
            using Interruption interruption = new("Stopping and saving… (again to quit at once)", display.WriteLine);
            done += SessionReader.Read(session, tokens.AsSpan(before), Show, measures ? Measure : null, interruption.Token);
            session.Save();
            interrupted = done < tokens.Length ? interruption.ExitCode : null;

            void Show(int read) => display.Report(before + read, predicted > 0 ? nats / predicted : double.NaN);
        }

        var seconds = Stopwatch.GetElapsedTime(begun).TotalSeconds;
        if (interrupted is not null)
        {
            Console.Error.WriteLine(FormattableString.Invariant($"Stopped behind {done:#,0} of {tokens.Length:#,0} tokens, which {path} holds. The same command goes on from there."));
        }

        Console.WriteLine(FormattableString.Invariant($"tokens    {session.Position:#,0}")
            + (done > before ? FormattableString.Invariant($" ({done - before:#,0} of them read now, {(done - before) / Math.Max(1e-9, seconds):#,0} tokens/s)") : ""));
        if (predicted > 0)
        {
            Console.WriteLine(FormattableString.Invariant($"loss      {nats / predicted:0.0000} nats per token")
                + (bytes > 0 ? FormattableString.Invariant($", {nats / Math.Log(2) / bytes:0.0000} bits per byte") : ""));
        }

        Console.WriteLine("cached    " + SessionText.Segments(session));
        Console.WriteLine("memory    " + SessionText.Memory(session));
        Console.WriteLine($"file      {path}, {ByteSize.Format(MemoryFile.Length(path))}");
        return interrupted ?? 0;

        void Measure(ReadOnlySpan<int> piece, ReadOnlySpan<float> losses)
        {
            for (var i = 0; i < piece.Length; i++)
            {
                if (!float.IsNaN(losses[i]))
                {
                    nats += losses[i];
                    predicted++;
                    bytes += tokenizer.GetByteLength(piece[i]);
                }
            }
        }
    }

    /// <summary>How much of a text a memory holds already: all that it holds is the text's beginning, or, where the text is appended, all from some document on.</summary>
    private static int ReadBefore(ReadOnlySpan<int> held, ReadOnlySpan<int> text, bool appends, int endOfText, string path)
    {
        if (appends)
        {
            for (var start = 0; start < held.Length; start++)
            {
                if (held[start] == endOfText && text.StartsWith(held[start..]))
                {
                    return held.Length - start;
                }
            }

            // Nothing of it, unless it stands there whole and last.
            return 0;
        }

        var common = held.CommonPrefixLength(text);
        return common == held.Length ? common : throw new LociException(
            common == text.Length
                ? FormattableString.Invariant($"The memory in '{path}' holds this text and more, {held.Length:#,0} tokens: add another text behind it with --append, or begin anew with --overwrite.")
                : FormattableString.Invariant($"The memory in '{path}' holds another text, which differs from token {common:#,0} on: add this one behind it with --append, or begin anew with --overwrite."));
    }
}
