using System.Diagnostics;
using System.Globalization;
using Loci.Memory.Aggregations;
using Loci.Models;
using Loci.Numerics;
using Loci.Sessions;

namespace Loci.Benchmarks;

/// <summary>
/// Time per token of a session of a model of 124 million parameters whose memory is as large as after so many tokens, the contexts in turn: session [threads aggregation segment contexts...].
/// A last argument <c>disk</c> leaves cached states in a file, under a budget of 256 MiB.
/// </summary>
internal static class SessionBenchmark
{
    private const int Rounds = 20;
    private const int Tokens = 11;
    private const long Budget = 256L << 20;

    public static void Run(string[] arguments)
    {
        var onDisk = arguments.Length > 0 && arguments[^1] == "disk";
        arguments = onDisk ? arguments[..^1] : arguments;
        var threads = arguments.Length > 0 ? int.Parse(arguments[0], CultureInfo.InvariantCulture) : 2;
        var aggregation = arguments.Length > 1 ? arguments[1] : "ssc";
        var segment = arguments.Length > 2 ? int.Parse(arguments[2], CultureInfo.InvariantCulture) : 256;
        var contexts = arguments.Length > 3 ? arguments[3..].Select(text => int.Parse(text, CultureInfo.InvariantCulture)).ToArray() : [1 << 10, 1 << 20];
        using var device = new CpuDevice(threads);
        using var model = new LanguageModel(Configuration(aggregation, segment), device);
        Console.WriteLine($"{model.ParameterCount / 1e6:F1}M parameters, {device.Description}, {aggregation}, segments of {segment}{(onDisk ? ", checkpoints on the disk" : "")}");
        Console.WriteLine($"{"weights",-9}{"context",10}{"ms median",11}{"to first",9}{"in memory MiB",15}{"in file MiB",13}");
        foreach (var format in (ReadOnlySpan<WeightFormat>)[WeightFormat.Float32, WeightFormat.Int8])
        {
            model.ConvertWeights(format);
            Measure(model, contexts, onDisk);
        }
    }

    private static ModelConfiguration Configuration(string aggregation, int segment) => new()
    {
        VocabularySize = 32768,
        Dimension = 768,
        Layers = 12,
        Heads = 12,
        Mixers = [new() { Cache = new() { Aggregation = aggregation, SegmentLength = segment } }],
    };

    private static void Measure(LanguageModel model, int[] contexts, bool onDisk)
    {
        var path = Path.Combine(Path.GetTempPath(), $"loci-{Environment.ProcessId}.memory");
        Session[] sessions = [.. contexts.Select((context, i) => onDisk ? InFile(model, context, $"{path}.{i}") : Filled(model, context))];
        var samples = contexts.Select(_ => new List<double>()).ToArray();
        for (var round = -1; round < Rounds; round++)
        {
            // In turn, so that all contexts see the same minutes of the machine.
            for (var i = 0; i < sessions.Length; i++)
            {
                for (var token = 0; token < Tokens; token++)
                {
                    var begun = Stopwatch.GetTimestamp();
                    sessions[i].Read(token);
                    if (round >= 0 && token > 0)
                    {
                        samples[i].Add(Stopwatch.GetElapsedTime(begun).TotalMilliseconds);
                    }
                }
            }
        }

        for (var i = 0; i < sessions.Length; i++)
        {
            double median = samples[i].Median(), first = samples[0].Median();
            Console.WriteLine(
                $"{(model.Weights == WeightFormat.Int8 ? "int8" : "float32"),-9}{contexts[i],10:#,0}{median,11:F2}{median / first,9:F2}{sessions[i].Bytes / 1048576.0,15:#,0.0}{sessions[i].MappedBytes / 1048576.0,13:#,0.0}");
            sessions[i].Dispose();
            File.Delete($"{path}.{i}");
        }
    }

    private static Session Filled(LanguageModel model, int context)
    {
        var session = model.CreateSession(new SessionOptions { KeepsReturns = false });
        session.FillForMeasurement(context);
        return session;
    }

    private static Session InFile(LanguageModel model, int context, string path)
    {
        using (var session = Filled(model, context))
        {
            session.Read(1);
            session.SaveAs(path, overwrite: true);
        }

        return Session.Open(model, path, new SessionOpenOptions { MemoryBudget = Budget });
    }
}
