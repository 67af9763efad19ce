using System.CommandLine;
using System.CommandLine.Parsing;
using Loci.Cli.Terminal;
using Loci.Data;
using Loci.Formats;
using Loci.Models;
using Loci.Numerics;

namespace Loci.Cli.Commands;

/// <summary><c>loci import rwkv</c>.</summary>
internal static class ImportRwkvCommand
{
    private const int Bytes = 256;

    public static Command Create()
    {
        var file = new Argument<string>("FILE") { Description = "The model: a .bin file of rwkv.cpp with FP32 or FP16 weights, RWKV-5.1, 5.2 or 7." };
        var folder = Options.Text("--into", "Folder to write config.json, model.safetensors and tokenizer.json to.", "FOLDER", required: true);
        var tokenizerFile = Options.Text("--tokenizer", "The model's tokenizer.json; not needed for a vocabulary of the 256 bytes.", "FILE");
        var command = new DocumentedCommand(
            "rwkv",
            "Makes a model folder of an RWKV model of rwkv.cpp, to generate from and to measure; it cannot be trained further.",
            """
            Examples:
              loci import rwkv tiny-rwkv-7v0-834K-FP32.bin --into models/tiny-rwkv
              loci generate --model models/tiny-rwkv --prompt "It was"
            """)
        {
            file, folder, tokenizerFile,
        };
        command.SetAction(result =>
        {
            string path = result.GetValue(file)!, into = result.GetValue(folder)!;
            if (File.Exists(Path.Combine(into, "model.safetensors")) || File.Exists(Path.Combine(into, "config.json")))
            {
                throw new LociException($"The folder {into} holds a model already: choose another folder, or delete that one.");
            }

            using var device = new CpuDevice(1);
            using var model = RwkvFile.Load(path, device);
            var tokenizer = ReadTokenizer(result.GetValue(tokenizerFile), model.Configuration.VocabularySize);
            model.Save(into);
            TokenizerFile.Save(Path.Combine(into, "tokenizer.json"), tokenizer);
            Console.Error.WriteLine(FormattableString.Invariant($"{into}: {ModelOptions.Describe(model.Configuration)}, {model.ParameterCount:#,0} parameters"));
            return 0;
        });
        return command;
    }

    private static Tokenizer ReadTokenizer(string? path, int vocabularySize)
    {
        if (path is null)
        {
            return vocabularySize == Bytes
                ? new ByteTokenizer(endsWithZero: true)
                : throw new UsageException($"The model has a vocabulary of {vocabularySize} tokens, not the {Bytes} bytes: give its tokenizer.json with --tokenizer.");
        }

        var tokenizer = TokenizerFile.Load(path);
        return tokenizer.VocabularySize <= vocabularySize
            ? tokenizer
            : throw new LociException($"The tokenizer {path} has {tokenizer.VocabularySize} tokens, but the model has {vocabularySize}: give the tokenizer that the model was trained with.");
    }
}
