using System.Diagnostics;
using System.Globalization;
using Loci.Models;
using Loci.Numerics;
using Loci.Sessions;

namespace Loci.Benchmarks;

/// <summary>
/// One sequence through a model of 131 million parameters with random weights: token by token, then in long pieces. Every weight is read for every token
/// (the head is the embedding), so that a token moves all their bytes.
/// </summary>
internal static class DecodeBenchmark
{
    private const int Rounds = 7;
    private const int Tokens = 24;
    private const int Prompt = 1024;

    /// <param name="arguments">Threads, 2 by default.</param>
    public static void Run(string[] arguments)
    {
        var threads = arguments.Length > 0 ? int.Parse(arguments[0], CultureInfo.InvariantCulture) : 2;
        using var device = new CpuDevice(threads);
        using var model = new LanguageModel(Configuration, device);
        using var bandwidth = new BandwidthBenchmark(threads);
        Console.WriteLine($"{model.ParameterCount:N0} parameters; rounds of {Tokens} tokens, then {Prompt} at once; {device.Description}");
        Console.WriteLine("Bound: tokens/s if nothing but a plain sum read the weights.");
        Console.WriteLine($"{"weights",-10}{"tokens/s",10}{"ms median",11}{"ms 95 %",9}{"GB/s",7}{"sum GB/s",10}{"bound",8}{"of it",7}{"prefill/s",11}");
        Measure(model, bandwidth);
        model.ConvertWeights(WeightFormat.Int8);
        Measure(model, bandwidth);
    }

    internal static ModelConfiguration Configuration => new()
    {
        VocabularySize = 50257,
        Dimension = 768,
        Layers = 12,
        Heads = 12,
    };

    private static void Measure(LanguageModel model, BandwidthBenchmark bandwidth)
    {
        using var stream = model.CreateSession();
        var times = new List<double>();
        var sums = new List<double>();
        var prefill = new List<double>();
        int[] prompt = [.. Enumerable.Range(0, Prompt).Select(i => (i * 7919) % model.Configuration.VocabularySize)];
        for (var round = 0; round <= Rounds; round++)
        {
            // Other users of the machine take from the same memory, so what it gives is measured between the tokens.
            sums.Add(bandwidth.Pass());
            for (var i = 0; i < Tokens; i++)
            {
                var start = Stopwatch.GetTimestamp();
                stream.Read(prompt[i]);
                times.Add(1000 * Stopwatch.GetElapsedTime(start).TotalSeconds);
            }

            using var fresh = model.CreateSession();
            var begun = Stopwatch.GetTimestamp();
            fresh.Read(prompt);
            prefill.Add(Prompt / Stopwatch.GetElapsedTime(begun).TotalSeconds);
        }

        // The first round warms up.
        times.RemoveRange(0, Tokens);
        sums.RemoveAt(0);
        prefill.RemoveAt(0);
        double median = times.Median(), sum = sums.Median(), bound = 1e9 * sum / model.WeightBytes;
        var format = model.Weights == WeightFormat.Int8 ? "int8" : "float32";
        Console.WriteLine(
            $"{format,-10}{1000 / median,10:F1}{median,11:F2}{times.Order().ElementAt(times.Count * 95 / 100),9:F2}{model.WeightBytes / median / 1e6,7:F1}{sum,10:F1}{bound,8:F0}{100000 / median / bound,6:F0}%{prefill.Median(),11:F0}");
    }
}
