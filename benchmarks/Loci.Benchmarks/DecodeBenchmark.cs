using System.Diagnostics;
using System.Globalization;
using Loci.Models;
using Loci.Numerics;

namespace Loci.Benchmarks;

/// <summary>
/// One sequence through a model of 131 million parameters with random weights: token by token, then in long pieces. Every weight is read for every token
/// (the head is the embedding), so that a token moves all their bytes.
/// </summary>
internal static class DecodeBenchmark
{
    private const int Warmup = 20;
    private const int Tokens = 150;
    private const int Prompt = 1024;

    /// <param name="arguments">Threads, 2 by default.</param>
    public static void Run(string[] arguments)
    {
        var threads = arguments.Length > 0 ? int.Parse(arguments[0], CultureInfo.InvariantCulture) : 2;
        Console.WriteLine($"Memory read in order: {BandwidthBenchmark.Measure(threads):F1} GB/s on {threads} threads.");
        using var device = new CpuDevice(threads);
        using var model = new LanguageModel(Configuration, device);
        Console.WriteLine($"{model.ParameterCount:N0} parameters; {Tokens} tokens after {Warmup}, then {Prompt} at once; {device.Description}");
        Console.WriteLine($"{"weights",-10}{"tokens/s",10}{"ms median",11}{"ms 95 %",9}{"GB/s",7}{"prefill/s",11}");
        Measure(model, "float32", sizeof(float) * model.ParameterCount);
    }

    internal static ModelConfiguration Configuration => new()
    {
        VocabularySize = 50257,
        Dimension = 768,
        Layers = 12,
        Heads = 12,
    };

    private static void Measure(LanguageModel model, string name, long bytes)
    {
        using var stream = model.CreateStream();
        var times = new List<double>();
        for (var i = 0; i < Warmup + Tokens; i++)
        {
            var start = Stopwatch.GetTimestamp();
            stream.Read((i * 7919) % model.Configuration.VocabularySize);
            if (i >= Warmup)
            {
                times.Add(1000 * Stopwatch.GetElapsedTime(start).TotalSeconds);
            }
        }

        int[] prompt = [.. Enumerable.Range(0, Prompt).Select(i => (i * 7919) % model.Configuration.VocabularySize)];
        var prefill = new List<double>();
        for (var i = 0; i < 4; i++)
        {
            using var fresh = model.CreateStream();
            var start = Stopwatch.GetTimestamp();
            fresh.Read(prompt);
            prefill.Add(Prompt / Stopwatch.GetElapsedTime(start).TotalSeconds);
        }

        var median = times.Median();
        Console.WriteLine(
            $"{name,-10}{1000 / median,10:F1}{median,11:F2}{times.Order().ElementAt(times.Count * 95 / 100),9:F2}{bytes / median / 1e6,7:F1}{prefill.Skip(1).ToList().Median(),11:F0}");
    }
}
