using System.CommandLine;
using System.CommandLine.Parsing;
using System.Diagnostics;
using System.Security.Cryptography;
using Loci.Cli.Terminal;
using Loci.Data;
using Loci.Inference;
using Loci.Models;
using Loci.Numerics;
using Loci.Training;

namespace Loci.Cli.Commands;

/// <summary><c>loci generate</c>.</summary>
internal static class GenerateCommand
{
    public static Command Create()
    {
        var folder = Options.Text("--model", "Folder of the model: a run, or any folder with its files.", "FOLDER", required: true);
        var prompt = new Option<string?>("--prompt") { Description = "Text to go on from; - reads it from standard input (default none).", HelpName = "TEXT" };
        var tokens = Options.Whole("--tokens", "Tokens to write at most (default 200).", 1, int.MaxValue);
        var temperature = Options.Number("--temperature", "Below 1 keeps to the likely, above 1 strays; 0 always takes the likeliest token (default 0.8).", 0, 100);
        var topK = Options.Whole("--top-k", "Choose from so many of the likeliest tokens; 0 = all (default 0).", 0);
        var topP = Options.Number("--top-p", "Choose from the likeliest tokens that make up this probability; 1 = all (default 0.95).", 0, 1, true);
        var seed = Options.Whole("--seed", "Decides the choices: the same seed writes the same text (default another one each time).", 0UL);
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
            folder, prompt, tokens, temperature, topK, topP, seed, weights, threads,
        };
        command.SetAction(result =>
        {
            var sampler = new Sampler(new SamplerOptions
            {
                Temperature = (float)(result.GetValue(temperature) ?? 0.8),
                TopK = result.GetValue(topK) ?? 0,
                TopP = (float)(result.GetValue(topP) ?? 0.95),
                Seed = result.GetValue(seed) ?? BitConverter.ToUInt64(RandomNumberGenerator.GetBytes(sizeof(ulong))),
            });
            var path = result.GetValue(folder)!;
            RequireModel(path);
            using var device = Options.Device(result.GetValue(threads));
            var tokenizer = TrainingRun.LoadTokenizer(path);
            using var model = LanguageModel.Load(path, device, result.GetValue(weights) ?? WeightFormat.Float32);
            RequireTokenizer(model, tokenizer, path);
            using var interruption = new Interruption(_ => { });
            var text = result.GetValue(prompt) is "-" ? Console.In.ReadToEnd() : result.GetValue(prompt) ?? "";
            return Write(model, tokenizer, sampler, text, result.GetValue(tokens) ?? 200, interruption.Token);
        });
        return command;
    }

    /// <summary>Checks that a folder is there and holds a model.</summary>
    public static void RequireModel(string folder)
    {
        if (!Directory.Exists(folder))
        {
            throw new LociException($"There is no folder {folder}: name the folder of a run or model.");
        }

        foreach (var name in new[] { "config.json", "tokenizer.json", "model.safetensors" })
        {
            if (!File.Exists(Path.Combine(folder, name)))
            {
                throw new LociException($"The folder {folder} holds no model, because {name} is missing: name the folder of a run that has saved one.");
            }
        }
    }

    /// <summary>Checks that a model can read a tokenizer's tokens.</summary>
    public static void RequireTokenizer(LanguageModel model, Tokenizer tokenizer, string folder)
    {
        if (tokenizer.VocabularySize > model.Configuration.VocabularySize)
        {
            throw new LociException(
                $"The tokenizer in {folder} has {tokenizer.VocabularySize} tokens, but the model has {model.Configuration.VocabularySize}: put the tokenizer back that the model was trained with.");
        }
    }

    private static int Write(LanguageModel model, Tokenizer tokenizer, Sampler sampler, string prompt, int count, CancellationToken cancellationToken)
    {
        using var stream = model.CreateSession();
        stream.Read([tokenizer.EndOfTextId, .. tokenizer.Encode(prompt)]);
        var decoder = tokenizer.CreateDecoder();
        var begun = Stopwatch.GetTimestamp();
        var written = 0;
        Show(prompt);
        while (written < count && !cancellationToken.IsCancellationRequested)
        {
            var next = sampler.Next(stream.Logits[..tokenizer.VocabularySize]);
            if (next == tokenizer.EndOfTextId)
            {
                break;
            }

            written++;
            if (!Show(decoder.Append(next)))
            {
                return 0; // whoever read the text has had enough, as in a pipe to head
            }

            if (written < count)
            {
                stream.Read(next);
            }
        }

        Show(decoder.Flush());
        Show("\n");
        Console.Error.WriteLine(FormattableString.Invariant(
            $"{written} tokens, {written / Stopwatch.GetElapsedTime(begun).TotalSeconds:0.0} tokens/s, memory {stream.Bytes / 1024.0:#,0} KiB, {stream.CachedStates} cached states"));
        return cancellationToken.IsCancellationRequested ? Door.Interrupted : 0;
    }

    private static bool Show(ReadOnlySpan<char> text)
    {
        try
        {
            Console.Out.Write(text);
            Console.Out.Flush();
            return true;
        }
        catch (IOException)
        {
            return false;
        }
    }
}
