using System.Diagnostics;
using Loci.Models;
using Loci.Numerics;

namespace Loci.Benchmarks;

/// <summary>
/// What a cache costs a whole model in training: steps of the 8M model with every aggregation against the same model without one, T 4096, C 256. All models take turns, and the ratios are taken round by round, so that the
/// noise of the machine hits them alike.
/// </summary>
internal static class CacheOverheadBenchmark
{
    private const int Rounds = 5;
    private const int Length = 4096;

    /// <param name="arguments">Threads (2 by default) and memories (gated-linear and titans by default).</param>
    public static void Run(string[] arguments)
    {
        var threads = arguments.Length > 0 ? int.Parse(arguments[0]) : 2;
        Console.WriteLine($"Whole training steps, B 1, T {Length}, D 256, 4 layers, 4 heads, 8192 tokens, segments of 256, {threads} threads; medians of {Rounds} rounds.");
        Console.WriteLine($"{"memory",-18}{"aggregation",-17}{"ms/step",9}{"tokens/s",10}{"over base",11}{"MiB",7}");
        foreach (var memory in arguments.Length > 1 ? arguments[1..] : ["gated-linear", "titans"])
        {
            Measure(memory, threads);
        }
    }

    private static void Measure(string memory, int threads)
    {
        using var device = new CpuDevice(threads);
        string[] kinds = ["none", "residual", "grm", "soup", "ssc"];
        var runs = Array.ConvertAll(kinds, kind => new TrainingModel(device, TrainingStepBenchmark.Configuration(memory, kind), 1, Length));
        var times = Array.ConvertAll(kinds, _ => new List<double>());
        for (var round = -1; round < Rounds; round++)
        {
            for (var i = 0; i < runs.Length; i++)
            {
                var start = Stopwatch.GetTimestamp();
                runs[i].Step();
                if (round >= 0)
                {
                    times[i].Add(Stopwatch.GetElapsedTime(start).TotalSeconds);
                }
            }
        }

        for (var i = 0; i < runs.Length; i++)
        {
            var median = times[i].Median();
            var ratio = times[i].Zip(times[0], (time, baseline) => time / baseline).ToList().Median();
            Console.WriteLine($"{memory,-18}{kinds[i],-17}{1000 * median,9:F0}{Length / median,10:N0}{ratio,11:F2}{runs[i].Bytes >> 20,7}");
            runs[i].Dispose();
        }
    }
}
