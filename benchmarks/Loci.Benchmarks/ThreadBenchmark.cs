using System.Diagnostics;
using System.Globalization;
using Loci.Memory.Aggregations;
using Loci.Models;
using Loci.Numerics;
using Loci.Sessions;

namespace Loci.Benchmarks;

/// <summary>
/// Tokens/s of sessions of one model that decode on threads of their own, against one on one thread, in turns: threads [dimension layers].
/// </summary>
internal static class ThreadBenchmark
{
    private const int Rounds = 9;
    private const int Tokens = 64;

    public static void Run(string[] arguments)
    {
        var dimension = arguments.Length > 0 ? int.Parse(arguments[0], CultureInfo.InvariantCulture) : 256;
        var layers = arguments.Length > 1 ? int.Parse(arguments[1], CultureInfo.InvariantCulture) : 4;
        using var device = new CpuDevice(1);
        using var model = new LanguageModel(
            new ModelConfiguration
            {
                VocabularySize = 8192,
                Dimension = dimension,
                Layers = layers,
                Heads = dimension / 64,
                Mixers = [new() { Cache = new() { Aggregation = "ssc", SegmentLength = 256 } }],
            },
            device);
        Console.WriteLine($"{model.ParameterCount / 1e6:F1}M parameters, one thread a session, {Tokens} tokens a round");
        foreach (var format in (ReadOnlySpan<WeightFormat>)[WeightFormat.Float32, WeightFormat.Int8])
        {
            model.ConvertWeights(format);
            List<double> one = [], two = [], ratios = [];
            for (var round = -1; round < Rounds; round++)
            {
                double alone = Rate(model, 1), together = Rate(model, 2);
                if (round >= 0)
                {
                    one.Add(alone);
                    two.Add(together);
                    ratios.Add(together / alone);
                }
            }

            Console.WriteLine(string.Create(
                CultureInfo.InvariantCulture,
                $"{format,-8} one {one.Median(),8:F1} tokens/s, two {two.Median(),8:F1}, ratio median {ratios.Median():F2} ({ratios.Min():F2} to {ratios.Max():F2})"));
        }
    }

    private static double Rate(LanguageModel model, int count)
    {
        Session[] sessions = [.. Enumerable.Range(0, count).Select(_ => model.CreateSession())];
        foreach (var session in sessions)
        {
            session.Read(Enumerable.Range(0, 512).ToArray());
        }

        var begun = Stopwatch.GetTimestamp();
        Thread[] threads = [.. sessions.Select(session => new Thread(() =>
        {
            for (var token = 0; token < Tokens; token++)
            {
                session.Read(token);
            }
        }))];
        Array.ForEach(threads, thread => thread.Start());
        Array.ForEach(threads, thread => thread.Join());
        var rate = count * Tokens / Stopwatch.GetElapsedTime(begun).TotalSeconds;
        Array.ForEach(sessions, session => session.Dispose());
        return rate;
    }
}
