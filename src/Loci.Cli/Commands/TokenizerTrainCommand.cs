using System.CommandLine;
using System.CommandLine.Parsing;
using Loci.Cli.Terminal;
using Loci.Data;
using Loci.Formats;

namespace Loci.Cli.Commands;

/// <summary><c>loci tokenizer train</c>.</summary>
internal static class TokenizerTrainCommand
{
    public const int LeastVocabulary = 257;
    public const int MostVocabulary = 1 << 24;

    public static Command Create()
    {
        var data = Options.Text("--data", "Text to learn from: a file, folder, .jsonl, .gz, .zip, .tar or .tgz.", "PATH", required: true);
        var separator = Options.Separator();
        var vocabulary = Options.Whole("--vocabulary", "Number of tokens, the 256 bytes and the end of text included (default 8192).", LeastVocabulary, MostVocabulary);
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
            var tokenizer = Learn(corpus, result.GetValue(vocabulary) ?? new BpeTrainerOptions().VocabularySize);
            TokenizerFile.Save(result.GetValue(output)!, tokenizer);
            Console.Error.WriteLine(FormattableString.Invariant($"{result.GetValue(output)}: {tokenizer.VocabularySize:#,0} tokens"));
            return 0;
        });
        return command;
    }

    /// <summary>Learns a tokenizer with a progress display.</summary>
    public static BpeTokenizer Learn(Corpus corpus, int size)
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

                display.SetTotal(progress.Total);
                display.Report(progress.Done);
            }));
            display?.Dispose();
            if (tokenizer.VocabularySize < size)
            {
                Console.Error.WriteLine(FormattableString.Invariant(
                    $"The text gives {tokenizer.VocabularySize:#,0} of the {size:#,0} tokens that were asked for: no other pair stands in it twice. More text gives more."));
            }

            return tokenizer;
        }
        finally
        {
            display?.Dispose();
        }
    }
}
