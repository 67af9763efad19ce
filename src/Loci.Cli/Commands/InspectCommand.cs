using System.CommandLine;
using System.CommandLine.Parsing;
using Loci.Cli.Terminal;
using Loci.Data;
using Loci.Numerics;
using Loci.Sessions;

namespace Loci.Cli.Commands;

/// <summary><c>loci inspect</c>.</summary>
internal sealed class InspectCommand
{
    private readonly Option<string?> _folder = Options.Text("--model", "Folder of the model that read the text, or is to read it.", "FOLDER", required: true);
    private readonly Option<string?> _file = Options.Text("--memory", "A memory, from loci read or loci chat; it stays as it is.", "FILE.memory");
    private readonly Option<string?> _text = Options.Text("--text", "Text to read instead: a file, folder, .jsonl, .gz, .zip, .tar or .tgz.", "PATH");
    private readonly Option<string?> _prompt = new("--prompt") { Description = "What to read behind it, and to show the reads of; - reads it from standard input.", HelpName = "TEXT" };
    private readonly Option<int?> _tokens = Options.Whole("--tokens", "Shows the reads of the last so many tokens (default 256).", 1, 100_000);
    private readonly Option<int?> _layer = Options.Whole("--layer", "Shows the reads of one layer, counted from 0 (default the mean over all).", 0, 1 << 12);
    private readonly Option<string?> _html = Options.Text("--html", "Writes the reads as a page with heat maps.", "FILE.html");
    private readonly Option<bool> _json = Options.Flag("--json", "Writes everything as JSON.");
    private readonly Option<bool> _raw = Options.Flag("--raw", "Shows control characters of the text as they are, instead of escaped; a terminal obeys them.");
    private readonly Option<WeightFormat?> _weights = Options.Weights();
    private readonly Option<int?> _threads = Options.Threads();
    private readonly MemoryOptions _memory = new();

    private InspectCommand()
    {
    }

    public static Command Create()
    {
        InspectCommand options = new();
        var command = new DocumentedCommand(
            "inspect",
            "Shows what a memory holds, and which segments of the text every token reads: as a table, as heat maps in a page, or as JSON.",
            """
            Examples:
              loci inspect --model runs/grm --memory book.memory
              loci inspect --model runs/grm --memory book.memory --prompt "The name of the king is" --html reads.html
              loci inspect --model runs/ssc --text book.txt --tokens 1000 --layer 2

            A gate is the part of a read that comes from a segment; those of a token, with that of the live memory, add up
            to 1. They are shown as means over heads. Positions are token positions, counted from 0.
            """)
        {
            options._folder, options._file, options._text, options._prompt, options._tokens, options._layer, options._html, options._json, options._raw, options._weights, options._threads,
        };
        command.Add(options._memory.All);
        command.SetAction(options.Run);
        return command;
    }

    private int Run(ParseResult result)
    {
        var (path, text, prompt) = (result.GetValue(_file), result.GetValue(_text), result.GetValue(_prompt));
        if (path is null == text is null)
        {
            throw new UsageException(path is null ? "There is nothing to inspect: name a memory with --memory or a text with --text." : "--memory and --text contradict each other: give one of them.");
        }

        foreach (var option in new Option[] { _tokens, _layer, _html })
        {
            if (text is null && prompt is null && result.IsGiven(option))
            {
                throw new UsageException($"{option.Name} shows what a text reads: add --prompt, or --text instead of --memory.");
            }
        }

        var created = _memory.Read(result);
        LoadedModel.Require(result.GetValue(_folder)!);
        var corpus = text is null ? null : Corpus.Open(text);
        using var loaded = LoadedModel.Load(result.GetValue(_folder)!, result.GetValue(_threads), result.GetValue(_weights));
        if (result.GetValue(_layer) >= loaded.Model.Configuration.Layers)
        {
            throw new UsageException(FormattableString.Invariant($"--layer is {result.GetValue(_layer)}, and the model's layers are numbered 0 to {loaded.Model.Configuration.Layers - 1}."));
        }

        using var session = path is null ? loaded.Model.CreateSession(created) : MemoryFile.Open(loaded.Model, path, true, created.MemoryBudget);
        if (path is not null)
        {
            _memory.RequireSame(result, session, path);
        }

        int[] tokens = [.. corpus is null ? [] : Options.TokensOf(Options.Encode(corpus, loaded.Tokenizer, "encoding"))];
        if (prompt is not null)
        {
            tokens = [.. tokens, .. session.Position + tokens.Length == 0 ? [loaded.Tokenizer.EndOfTextId] : Array.Empty<int>(), .. loaded.Tokenizer.Encode(Options.ReadText(prompt))];
        }

        var what = Path.GetFileName(path ?? text)!;
        SegmentReadTable table = new();
        Read(session, tokens, Math.Min(tokens.Length, result.GetValue(_tokens) ?? 256), table);
        if (result.GetValue(_raw))
        {
            Visible.ShowRaw();
        }

        InspectReport report = new(session, loaded.Tokenizer, table, what, path, result.GetValue(_raw));
        if (tokens.Length == 0)
        {
            if (result.GetValue(_json))
            {
                report.WriteJson();
            }
            else
            {
                report.WriteMemory();
            }

            return 0;
        }

        if (!table.HasGates)
        {
            throw new LociException("No layer of this model reads cached states through gates, so there are none to show: its states are added up as they are, or there is no cache.");
        }

        var shown = result.GetValue(_layer) is { } layer
            ? table.Layers.Contains(layer) ? table.Of(layer) : throw new UsageException(FormattableString.Invariant($"Layer {layer} reads no cached states through gates: choose one of {string.Join(", ", table.Layers)}."))
            : table.Mean();
        if (result.GetValue(_html) is { } page)
        {
            report.SaveHtml(page);
            Console.Error.WriteLine($"{page} shows the reads; open it in a browser.");
        }

        if (result.GetValue(_json))
        {
            report.WriteJson();
        }
        else
        {
            report.WriteReads(shown ?? throw new UsageException("The layers of this model cut the text into different segments, so that there is no mean: choose one with --layer."));
        }

        return 0;
    }

    private static void Read(Session session, int[] tokens, int last, SegmentReadTable table)
    {
        var before = tokens.Length - last;
        using var display = before > 0 ? ProgressDisplay.Start("reading", tokens.Length, ProgressUnit.Tokens) : null;
        SessionReader.Read(session, tokens.AsSpan(0, before), done => display?.Report(done), null, CancellationToken.None);
        session.ReadHandler = table.Add;
        SessionReader.Read(session, tokens.AsSpan(before), done => display?.Report(before + done), null, CancellationToken.None);
        session.ReadHandler = null;
    }
}
