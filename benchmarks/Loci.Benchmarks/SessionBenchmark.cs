using System.Diagnostics;
using Loci.Caching;
using Loci.Inference;
using Loci.Models;
using Loci.Numerics;

namespace Loci.Benchmarks;

/// <summary>Time per token of a session whose memory is as large as after so many tokens: session [threads aggregation segment contexts...].</summary>
internal static class SessionBenchmark
{
    public static void Run(string[] arguments)
    {
        var threads = arguments.Length > 0 ? int.Parse(arguments[0]) : 2;
        var aggregation = arguments.Length > 1 ? Enum.Parse<AggregationKind>(arguments[1]) : AggregationKind.SparseSelective;
        var segment = arguments.Length > 2 ? int.Parse(arguments[2]) : 256;
        var contexts = arguments.Length > 3 ? arguments[3..].Select(int.Parse).ToArray() : [1024, 1 << 20];
        using var device = new CpuDevice(threads);
        var configuration = new ModelConfiguration
        {
            VocabularySize = 32768,
            Dimension = 768,
            Layers = 12,
            Heads = 12,
            Mixers = [new() { Cache = new() { Aggregation = aggregation, SegmentLength = segment } }],
        };
        using var model = new LanguageModel(configuration, device);
        Console.WriteLine($"{model.ParameterCount / 1e6:F1}M parameters, {device.Description}, {aggregation}, segments of {segment}");
        foreach (var context in contexts)
        {
            using var session = model.CreateSession(new SessionOptions { KeepsReturns = false });
            session.FillForMeasurement(context);
            for (var i = 0; i < 5; i++)
            {
                session.Read(i);
            }

            var samples = new double[int.Parse(Environment.GetEnvironmentVariable("TOKENS") ?? "40")];
            for (var i = 0; i < samples.Length; i++)
            {
                var begun = Stopwatch.GetTimestamp();
                session.Read(i);
                samples[i] = Stopwatch.GetElapsedTime(begun).TotalMilliseconds;
            }

            Array.Sort(samples);
            Console.WriteLine($"{context,10:#,0}  {samples[samples.Length / 2],8:F2} ms a token  {session.Bytes / 1048576.0,10:#,0.0} MiB");
        }
    }
}
