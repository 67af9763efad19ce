using System.Diagnostics;
using System.Globalization;
using Loci.Evaluation.Reporting;
using Loci.Memory;
using Loci.Memory.Aggregations;
using Loci.Memory.Segments;
using Loci.Models;
using Loci.Numerics;
using Loci.Sessions;

namespace Loci.Benchmarks;

/// <summary>
/// What the length of the context costs every form: training throughput, milliseconds of a decoded token and bytes of a sequence's memory. The model has D 128, 2 layers, 4 heads,
/// 2,048 tokens and random weights; segments of 256 tokens.
/// </summary>
internal static class ContextBenchmark
{
    private const int TrainingTokens = 16384;
    private const int Steps = 3;
    private const int Decoded = 48;
    private const int Warmup = 8;

    private static readonly int[] TrainingLengths = [1024, 4096, 16384];
    private static readonly int[] DecodingLengths = [1024, 4096, 16384, 65536];

    /// <param name="arguments">Nothing for all forms, or a folder for a report: <c>context FOLDER</c>.</param>
    public static void Run(string[] arguments)
    {
        List<Row> rows = [];
        Console.WriteLine(Invariant($"D 128, 2 layers, 4 heads, vocabulary 2,048, segments of 256, {Environment.ProcessorCount} threads. Training: {TrainingTokens:#,0} tokens a step in rows of T, median of {Steps} steps; decoding: median of {Decoded} tokens."));
        Console.WriteLine($"{"form",-30}{"T",8}{"training tokens/s",19}{"decode ms",11}{"state MiB",11}");
        foreach (var (form, mixer) in Forms())
        {
            foreach (var length in TrainingLengths.Union(DecodingLengths).Order())
            {
                Row row = new(form, length, TrainingLengths.Contains(length) ? Train(mixer, length) : null, null, null);
                if (DecodingLengths.Contains(length))
                {
                    var (milliseconds, bytes) = Decode(mixer, length);
                    row = row with { Milliseconds = milliseconds, StateBytes = bytes };
                }

                rows.Add(row);
                Console.WriteLine(Invariant($"{form,-30}{length,8:#,0}{row.TokensPerSecond,19:#,0}{row.Milliseconds,11:0.000}{row.StateBytes / 1048576.0,11:0.00}"));
            }
        }

        if (arguments is [var folder])
        {
            Save(folder, rows);
        }
    }

    private static IEnumerable<(string Form, MixerConfiguration Mixer)> Forms()
    {
        yield return ("attention", new() { Memory = "attention" });
        foreach (var (name, memory) in ((string, string)[])[("gated linear", "gated-linear"), ("Titans", "titans")])
        {
            yield return (name, new() { Memory = memory });
            yield return ($"{name} + Log-Linear++", new() { Memory = memory, Cache = new() { Aggregation = "grm", Segments = SegmentKind.Logarithmic } });
            foreach (var (title, aggregation) in ((string, string)[])[("Residual", "residual"), ("GRM", "grm"), ("Soup", "soup"), ("SSC", "ssc")])
            {
                if (aggregation != "soup" || memory == "titans")
                {
                    yield return ($"{name} + {title}", new() { Memory = memory, Cache = new() { Aggregation = aggregation } });
                }
            }
        }
    }

    private static ModelConfiguration Configuration(MixerConfiguration mixer) => new() { VocabularySize = 2048, Dimension = 128, Layers = 2, Heads = 4, Mixers = [mixer] };

    private static double Train(MixerConfiguration mixer, int length)
    {
        using CpuDevice device = new();
        using TrainingModel model = new(device, Configuration(mixer), TrainingTokens / length, length);
        model.Step();
        List<double> times = [];
        for (var step = 0; step < Steps; step++)
        {
            var start = Stopwatch.GetTimestamp();
            model.Step();
            times.Add(Stopwatch.GetElapsedTime(start).TotalSeconds);
        }

        return TrainingTokens / times.Median();
    }

    private static (double Milliseconds, long Bytes) Decode(MixerConfiguration mixer, int length)
    {
        using CpuDevice device = new();
        using LanguageModel model = new(Configuration(mixer), device);
        using var session = model.CreateSession();
        session.FillForMeasurement(length);
        List<double> times = [];
        for (var i = 0; i < Warmup + Decoded; i++)
        {
            var start = Stopwatch.GetTimestamp();
            session.Read(i * 7919 % 2048);
            if (i >= Warmup)
            {
                times.Add(Stopwatch.GetElapsedTime(start).TotalMilliseconds);
            }
        }

        return (times.Median(), session.Bytes);
    }

    private static void Save(string folder, List<Row> rows)
    {
        Directory.CreateDirectory(folder);
        var report = new HtmlReport("What the length of the context costs", Invariant($"D 128, 2 layers, 4 heads, segments of 256, {Environment.ProcessorCount} threads"))
            .Chart(Chart("Training throughput", "tokens/s", row => row.TokensPerSecond))
            .Chart(Chart("Decoding latency", "milliseconds per token", row => row.Milliseconds))
            .Chart(Chart("Memory of one sequence", "MiB", row => row.StateBytes / 1048576.0))
            .Table(
                ["form", "T", "training tokens/s", "decode ms", "state MiB"],
                [.. rows.Select(row => (IReadOnlyList<string>)[row.Form, Invariant($"{row.Length:#,0}"), Invariant($"{row.TokensPerSecond:#,0}"), Invariant($"{row.Milliseconds:0.000}"), Invariant($"{row.StateBytes / 1048576.0:0.00}")])]);
        report.Save(Path.Combine(folder, "report.html"));

        LineChart Chart(string title, string unit, Func<Row, double?> value) => new(
            title, "tokens of context", unit,
            [.. rows.GroupBy(row => row.Form).Select(group =>
            {
                List<Row> known = [.. group.Where(row => value(row) is not null)];
                return new ChartSeries(group.Key, [.. known.Select(row => (double)row.Length)], [.. known.Select(row => value(row)!.Value)]);
            })])
        { LogarithmicX = true, LogarithmicY = true };
    }

    private static string Invariant(FormattableString text) => text.ToString(CultureInfo.InvariantCulture);

    private sealed record Row(string Form, int Length, double? TokensPerSecond, double? Milliseconds, long? StateBytes);
}
