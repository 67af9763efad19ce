using System.Diagnostics;
using Loci.Memory.Aggregations;
using Loci.Models;
using Loci.Numerics;

namespace Loci.Benchmarks;

/// <summary>
/// Whole training steps of language models: forward, backward, clipping and AdamW. The model is the 8M one (B 4, T 1024, D 256, 4 layers, 8K vocabulary); next to it
/// the same with every aggregation and the attention baseline.
/// </summary>
internal static class TrainingStepBenchmark
{
    private const int Batch = 4;
    private const int Length = 1024;
    private const int Steps = 7;

    /// <param name="arguments">Nothing for the table, or one row: memory, aggregation (none, residual, grm, soup, ssc), threads.</param>
    public static void Run(string[] arguments)
    {
        Console.WriteLine($"Training step, B {Batch}, T {Length}, D 256, 4 layers, 4 heads, 8192 tokens, segments of 256; median of {Steps} steps after 2.");
        Console.WriteLine($"{"model",-34}{"parameters",12}{"threads",9}{"ms/step",10}{"tokens/s",10}{"per cpu s",11}{"MiB",8}");
        if (arguments is [var memory, var aggregation, var threads])
        {
            Measure(memory, Aggregation(aggregation), int.Parse(threads));
            return;
        }

        foreach (var name in (ReadOnlySpan<string>)["none", "residual", "grm", "ssc"])
        {
            Measure("gated-linear", Aggregation(name), 2);
        }

        foreach (var name in (ReadOnlySpan<string>)["linear", "swla", "mamba2", "gla", "delta-net", "gated-delta-net"])
        {
            Measure(name, "none", 2);
        }

        Measure("attention", "none", 2);
        Measure("gated-linear", "none", 1);
    }

    internal static string Aggregation(string name) => name switch
    {
        "residual" => "residual",
        "grm" => "grm",
        "soup" => "soup",
        "ssc" => "ssc",
        "log-linear" => "log-linear",
        _ => "none",
    };

    internal static ModelConfiguration Configuration(string memory, string aggregation, int segmentLength = 256) => new()
    {
        VocabularySize = 8192,
        Dimension = 256,
        Layers = 4,
        Heads = 4,
        TiedEmbeddings = false,
        Mixers = [new() { Memory = memory, Cache = new() { Aggregation = aggregation, SegmentLength = segmentLength } }],
    };

    private static void Measure(string memory, string aggregation, int threads)
    {
        using var device = new CpuDevice(threads);
        using var model = new TrainingModel(device, Configuration(memory, aggregation), Batch, Length);
        var times = new List<double>();
        var processorTimes = new List<double>();
        using var process = Process.GetCurrentProcess();
        for (var step = 0; step < Steps + 2; step++)
        {
            process.Refresh();
            var processorTime = process.TotalProcessorTime;
            var start = Stopwatch.GetTimestamp();
            model.Step();
            if (step >= 2)
            {
                times.Add(Stopwatch.GetElapsedTime(start).TotalSeconds);
                process.Refresh();
                processorTimes.Add((process.TotalProcessorTime - processorTime).TotalSeconds);
            }
        }

        var median = times.Median();
        var processor = processorTimes.Median();
        Console.WriteLine($"{memory + (aggregation == "none" ? "" : " " + aggregation),-34}{model.ParameterCount,12:N0}{threads,9}{1000 * median,10:F0}{Batch * Length / median,10:F0}{Batch * Length / processor,11:F0}{model.Bytes >> 20,8}");
    }
}
