using Loci.Data;
using Loci.Evaluation;
using Loci.Models;
using Loci.Sessions;
using Loci.Training;

namespace Loci.Cli.Demo;

/// <summary>What the demo measures of a trained model.</summary>
/// <param name="Held">Its loss on the held-out text, by position in buckets of one width.</param>
/// <param name="Windows">Its loss, in bits, and the bytes of every window of that text, for telling a difference from noise.</param>
/// <param name="MemoryBytes">Bytes of memory that one sequence needs after a whole window.</param>
/// <param name="Parameters">Its number of parameters.</param>
internal sealed record DemoMeasurement(PerplexityResult Held, IReadOnlyList<(double Bits, long Bytes)> Windows, long MemoryBytes, long Parameters)
{
    /// <summary>Tokens that a measurement predicts, for a progress display.</summary>
    public static long Work(TokenizedCorpus held) => 2L * held.TokenCount;

    /// <summary>Measures a model.</summary>
    public static DemoMeasurement Measure(LanguageModel model, TokenizedCorpus held, Tokenizer tokenizer, int context, IProgress<long> progress)
    {
        var whole = Perplexity.Measure(
            model, held, new PerplexityOptions { Context = context, BatchRows = 2, Positions = PositionScale.Linear }, tokenizer, progress);
        List<(double, long)> windows = [];
        var single = new PerplexityOptions { Context = context, BatchRows = 1 };
        for (var from = 0; from < held.TokenCount; from += context)
        {
            var to = Math.Min(from + context, held.TokenCount);
            // One token short of a whole window, whose end of text then fills it.
            int[] tokens = held.Tokens[from..Math.Max(from + 1, Math.Min(to, from + context - 1))].ToArray();
            var window = Perplexity.Measure(
                model, TokenizedCorpus.FromDocuments("window", [tokens], held.VocabularySize, held.EndOfTextId), single, tokenizer);
            windows.Add((window.Nats / Math.Log(2), window.Bytes));
            progress.Report(held.TokenCount + to);
        }

        using var stream = model.CreateSession();
        stream.Read(held.Tokens[..Math.Min(context, held.TokenCount)]);
        return new DemoMeasurement(whole, windows, stream.Bytes, model.ParameterCount);
    }
}
