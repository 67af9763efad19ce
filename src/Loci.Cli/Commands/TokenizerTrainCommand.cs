using System.CommandLine;
using System.CommandLine.Parsing;
using System.Globalization;
using Loci.Cli.Terminal;
using Loci.Data;
using Loci.Formats;

namespace Loci.Cli.Commands;

/// <summary><c>loci tokenizer train</c>.</summary>
internal static class TokenizerTrainCommand
{
    private const int LeastVocabulary = 257;

    public static Command Create()
    {
        var data = Options.Text("--data", "Text to learn from: a file, .gz, .zip, .jsonl or folder.", "PATH", required: true);
        var separator = Options.Separator();
        var vocabulary = Options.Whole("--vocabulary", "Number of tokens, the 256 bytes and the end of text included (default 8192).", LeastVocabulary, 1 << 24);
        var output = Options.Text("--out", "File to write.", "tokenizer.json", required: true);
        var command = new DocumentedCommand(
            "train",
            "Learns a byte-level BPE tokenizer from text and writes it as tokenizer.json, which Hugging Face's tokenizers read too.",
            """
            Example:
              loci tokenizer train --data train.txt.gz --vocabulary 8192 --out tokenizer.json
            """)
        {
            data, separator, vocabulary, output,
        };
        command.SetAction(result =>
        {
            var corpus = Corpus.Open(result.GetValue(data)!, result.GetValue(separator) ?? DocumentSeparator.File);
            using var interruption = new Interruption(message: "Stopping…");
            var tokenizer = Learn(corpus, result.GetValue(vocabulary) ?? new BpeTrainerOptions().VocabularySize, interruption.Token);
            TokenizerFile.Save(result.GetValue(output)!, tokenizer);
            Console.Error.WriteLine(string.Create(CultureInfo.InvariantCulture, $"{result.GetValue(output)}: {tokenizer.VocabularySize:#,0} tokens"));
            return 0;
        });
        return command;
    }

    /// <summary>Learns a tokenizer with a progress display.</summary>
    public static BpeTokenizer Learn(Corpus corpus, int size, CancellationToken cancellationToken)
    {
        ProgressDisplay? display = null;
        var merging = false;
        try
        {
            var tokenizer = BpeTrainer.Train(corpus, new BpeTrainerOptions { VocabularySize = size }, new Reporter<BpeTrainingProgress>(progress =>
            {
                if (display is null || merging != progress.IsMerging)
                {
                    display?.Dispose();
                    merging = progress.IsMerging;
                    display = merging
                        ? ProgressDisplay.Start("learning tokens", progress.Total, new ProgressUnit("tokens"))
                        : ProgressDisplay.Start("counting words", progress.Total, ProgressUnit.Bytes);
                }

                display.Report(progress.Done);
            }), cancellationToken);
            return tokenizer;
        }
        finally
        {
            display?.Dispose();
        }
    }
}
