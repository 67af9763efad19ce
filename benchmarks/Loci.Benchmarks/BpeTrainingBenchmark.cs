using System.Diagnostics;
using Loci.Data;

namespace Loci.Benchmarks;

/// <summary>Times learning a vocabulary from a corpus and encoding the corpus with it.</summary>
internal static class BpeTrainingBenchmark
{
    /// <summary>Runs the benchmark.</summary>
    /// <param name="args">The corpus (a file or folder) and, optionally, vocabulary sizes (8192 if none is given).</param>
    /// <returns>The exit code.</returns>
    public static int Run(string[] args)
    {
        if (args.Length == 0)
        {
            Console.Error.WriteLine("usage: bpe <corpus> [vocabulary size ...]");
            return 2;
        }

        Corpus corpus = Corpus.Open(args[0]);
        Stopwatch clock = Stopwatch.StartNew();
        double megabytes = corpus.ReadDocuments().Sum(document => document.Utf8.Length) / 1e6;
        Console.WriteLine($"read            {megabytes,9:F1} MB {clock.Elapsed.TotalSeconds,7:F2} s {megabytes / clock.Elapsed.TotalSeconds,8:F1} MB/s");

        foreach (int vocabularySize in args.Length > 1 ? args.Skip(1).Select(int.Parse) : [8192])
        {
            clock.Restart();
            PhaseClock phase = new(clock);
            BpeTokenizer tokenizer = BpeTrainer.Train(corpus, new BpeTrainerOptions { VocabularySize = vocabularySize }, phase);
            Console.WriteLine($"train {tokenizer.VocabularySize,9} {megabytes,9:F1} MB {clock.Elapsed.TotalSeconds,7:F2} s {megabytes / clock.Elapsed.TotalSeconds,8:F1} MB/s (counting {phase.Counted.TotalSeconds:F2} s)");

            clock.Restart();
            TokenizedCorpus tokens = TokenizedCorpus.Encode(corpus, tokenizer);
            Console.WriteLine($"encode          {megabytes,9:F1} MB {clock.Elapsed.TotalSeconds,7:F2} s {megabytes / clock.Elapsed.TotalSeconds,8:F1} MB/s, {(double)tokens.ByteCount / tokens.TokenCount:F3} bytes per token, reading included");

            ReadOnlyMemory<byte> text = corpus.ReadDocuments().First().Utf8;
            List<int> ids = [];
            int rounds = 0;
            clock.Restart();
            while (clock.Elapsed.TotalSeconds < 1)
            {
                ids.Clear();
                tokenizer.EncodeUtf8(text.Span, ids);
                rounds++;
            }

            double encoded = rounds * (text.Length / 1e6);
            Console.WriteLine($"encode, 1 thread{encoded,9:F1} MB {clock.Elapsed.TotalSeconds,7:F2} s {encoded / clock.Elapsed.TotalSeconds,8:F1} MB/s, first document again and again");
        }

        return 0;
    }

    private sealed class PhaseClock(Stopwatch clock) : IProgress<BpeTrainingProgress>
    {
        public TimeSpan Counted { get; private set; }

        public void Report(BpeTrainingProgress value)
        {
            if (!value.IsMerging)
            {
                Counted = clock.Elapsed;
            }
        }
    }
}
