using System.CommandLine;
using System.CommandLine.Parsing;
using System.Globalization;
using System.Text.Json;
using Loci.Cli.Terminal;
using Loci.Data;
using Loci.Evaluation;
using Loci.Training;

namespace Loci.Cli.Commands;

/// <summary><c>loci eval perplexity</c>.</summary>
internal static class PerplexityCommand
{
    public static Command Create()
    {
        var folder = Options.Text("--model", "Folder of the model: a run, or any folder with its files.", "FOLDER", required: true);
        var data = Options.Text("--data", "Text to measure on: a file, folder, .jsonl, .gz, .zip, .tar or .tgz.", "PATH", required: true);
        var separator = Options.Separator();
        var context = Options.Whole("--context", "Tokens per window; memory starts anew at each (default that of the training, or 1024).", 1, 1 << 24);
        var batch = Options.Whole("--batch", "Windows computed at once; does not change the results (default 4).", 1, 1 << 16);
        var positions = Options.Choice(
            "--positions", "Buckets of the loss by position (default logarithmic)", ("logarithmic", PositionScale.Logarithmic), ("linear", PositionScale.Linear));
        var limit = Options.Whole("--limit-tokens", "Measure only the first so many tokens (default all).", 1L);
        var memory = new MemoryOptions();
        var json = Options.Flag("--json", "Writes the result as JSON.");
        var weights = Options.Weights();
        var threads = Options.Threads();
        var command = new DocumentedCommand(
            "perplexity",
            "Measures how well a model predicts a text: loss per token, bits per byte, word perplexity, and the loss by position in the window.",
            """
            Examples:
              loci eval perplexity --model runs/grm --data test.txt.gz --separator wikitext --context 4096
              loci eval perplexity --model runs/base --data novels --context 16384 --after-training grm --segment-length 1024 --online-bias 4
            """)
        {
            folder, data, separator, context, batch, positions, limit, json, weights, threads,
        };
        command.Add(memory.Reading);
        command.SetAction(result =>
        {
            var path = result.GetValue(folder)!;
            LoadedModel.Require(path);
            var corpus = Corpus.Open(result.GetValue(data)!, result.GetValue(separator) ?? DocumentSeparator.File);
            var options = new PerplexityOptions
            {
                Context = result.GetValue(context) ?? (TrainingRun.Exists(path) ? TrainingRun.ReadDescription(path).Training.Context : new PerplexityOptions().Context),
                BatchRows = result.GetValue(batch) ?? new PerplexityOptions().BatchRows,
                Positions = result.GetValue(positions) ?? PositionScale.Logarithmic,
                MaximumTokens = result.GetValue(limit),
                Session = memory.Reading.Any(option => result.IsGiven(option)) ? memory.Read(result) with { KeepsReturns = false } : null,
            };
            using var loaded = LoadedModel.Load(path, result.GetValue(threads), result.GetValue(weights));
            var tokens = Options.Encode(corpus, loaded.Tokenizer, "reading text");
            PerplexityResult measured;
            using (var display = ProgressDisplay.Start("measuring", Math.Min(tokens.TokenCount + (long)tokens.DocumentCount, options.MaximumTokens ?? long.MaxValue), ProgressUnit.Tokens))
            {
                measured = Perplexity.Measure(loaded.Model, tokens, options, loaded.Tokenizer, new Reporter<long>(done => display.Report(done)));
            }

            if (result.GetValue(json))
            {
                WriteJson(measured, options.Context);
            }
            else
            {
                WriteText(measured, options.Context);
            }

            return 0;
        });
        return command;
    }

    private static void WriteText(PerplexityResult result, int context)
    {
        var output = Console.Out;
        output.WriteLine(FormattableString.Invariant($"tokens           {result.Tokens:#,0} in windows of {context:#,0}"));
        output.WriteLine(FormattableString.Invariant($"loss             {result.Loss:0.0000} nats per token (perplexity {result.TokenPerplexity:0.00})"));
        if (result.BitsPerByte is { } bits)
        {
            output.WriteLine(FormattableString.Invariant($"bits per byte    {bits:0.0000} over {result.Bytes:#,0} bytes"));
        }

        if (result.WordPerplexity is { } perplexity)
        {
            output.WriteLine(FormattableString.Invariant($"word perplexity  {perplexity:0.00} over {result.Words:#,0} words and ends of lines"));
        }

        output.WriteLine();
        output.WriteLine($"{"position",-17}{"tokens",12}{"loss",10}{"bits/byte",12}");
        foreach (var position in result.Positions)
        {
            var range = position.From == position.To ? $"{position.From}" : $"{position.From}-{position.To}";
            output.WriteLine(string.Create(CultureInfo.InvariantCulture, $"{range,-17}{position.Tokens,12:#,0}{position.Loss,10:0.0000}{position.BitsPerByte,12:0.0000}"));
        }
    }

    private static void WriteJson(PerplexityResult result, int context)
    {
        StandardStreams.WriteJson(json =>
        {
            json.WriteStartObject();
            json.WriteNumber("context", context);
            json.WriteNumber("tokens", result.Tokens);
            WriteNumber(json, "loss", result.Loss);
            WriteNumber(json, "token_perplexity", result.TokenPerplexity);
            WriteNumber(json, "bits_per_byte", result.BitsPerByte);
            WriteNumber(json, "word_perplexity", result.WordPerplexity);
            json.WriteNumber("bytes", result.Bytes);
            json.WriteNumber("words", result.Words);
            json.WriteStartArray("positions");
            foreach (var position in result.Positions)
            {
                json.WriteStartObject();
                json.WriteNumber("from", position.From);
                json.WriteNumber("to", position.To);
                json.WriteNumber("tokens", position.Tokens);
                WriteNumber(json, "loss", position.Loss);
                WriteNumber(json, "bits_per_byte", position.BitsPerByte);
                json.WriteEndObject();
            }

            json.WriteEndArray();
            json.WriteEndObject();
        });
    }

    private static void WriteNumber(Utf8JsonWriter json, string name, double? value)
    {
        if (value is { } number && double.IsFinite(number))
        {
            json.WriteNumber(name, number);
        }
        else
        {
            json.WriteNull(name);
        }
    }
}
