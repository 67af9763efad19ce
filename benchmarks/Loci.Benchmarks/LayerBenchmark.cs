using System.Diagnostics;
using Loci.Layers;
using Loci.Memory;
using Loci.Memory.Aggregations;
using Loci.Memory.Routing;
using Loci.Memory.Rules;
using Loci.Models;
using Loci.Numerics;

namespace Loci.Benchmarks;

/// <summary>
/// One layer forward and backward, B 4, D 256, H 4: the whole mixer (projections, convolution, gates, memory, norm) for every memory and aggregation, with the bytes that the step holds.
/// With <c>alone</c> as the last argument memory and cache alone stand beside it.
/// </summary>
internal static class LayerBenchmark
{
    private const int Batch = 4;
    private const int Dimension = 256;
    private const int Heads = 4;

    private static readonly HashSet<(string Rule, string Aggregation)> s_warm = [];

    /// <param name="arguments">
    /// Tokens (256 and 4096 by default), segment length (64 and 256), threads (1 and 2), memory, aggregation; <c>all</c> or nothing takes all.
    /// </param>
    public static void Run(string[] arguments)
    {
        var isAlone = arguments is [.., "alone"];
        arguments = isAlone ? arguments[..^1] : arguments;
        string Argument(int index) => index < arguments.Length ? arguments[index] : "all";
        int[] Numbers(int index, params int[] all) => Argument(index) == "all" ? all : [int.Parse(Argument(index))];
        Console.WriteLine($"One layer forward + backward, B {Batch}, D {Dimension}, H {Heads}, chunks of 64 (of the segment where that is shorter); medians.");
        Console.WriteLine($"{"T",5}{"C",5}{"threads",9}  {"memory",-18}{"aggregation",-17}{"tokens/s",10}{"per cpu s",11}{"MiB",8}{(isAlone ? "   memory alone  per cpu s" : "")}");
        foreach (var length in Numbers(0, 256, 4096))
        {
            foreach (var segment in Numbers(1, 64, 256))
            {
                foreach (var threads in Numbers(2, 1, 2))
                {
                    foreach (var rule in MemoryRules.All.Where(rule => Argument(3) == "all" || rule.Name == Argument(3)))
                    {
                        foreach (var aggregation in AggregationRegistry.Trained.Select(aggregation => aggregation.Name).Where(kind => Argument(4) == "all" || kind == TrainingStepBenchmark.Aggregation(Argument(4))))
                        {
                            if (aggregation != "log-linear" || rule.SupportsLogLinear)
                            {
                                Measure(rule, aggregation, length, segment, threads, isAlone);
                            }
                        }
                    }
                }
            }
        }
    }

    private static void Measure(MemoryRule rule, string aggregation, int length, int segment, int threads, bool isAlone)
    {
        var isWarm = !s_warm.Add((rule.Name, aggregation));
        using var device = new CpuDevice(threads);
        using var tape = new Tape(device);
        var mixerConfiguration = new MixerConfiguration
        {
            Memory = rule.Name,
            ChunkLength = Math.Min(64, segment),
            Cache = new() { Aggregation = aggregation, SegmentLength = segment },
        };
        using var mixer = new MemoryMixer(new LayerContext(device, "", new Initializer(1, 4)) { Dimension = Dimension, Heads = Heads }, mixerConfiguration, 4);
        var layout = new SequenceLayout(Batch, length);
        var rows = Batch * length;
        var random = new Random(1);
        var values = new float[rows * Dimension];
        for (var i = 0; i < values.Length; i++)
        {
            values[i] = (float)((random.NextDouble() - 0.5) * 3.4);
        }

        var whole = Time(isWarm, () =>
        {
            tape.Reset();
            var x = tape.FromHost(new Shape(rows, Dimension), values, true);
            var start = new Moment();
            tape.Backward(mixer.Forward(tape, x, null, new SequenceRows(layout)));
            return start;
        });
        Console.Write($"{length,5}{segment,5}{threads,9}  {rule.Name,-18}{aggregation,-17}{rows / whole.Wall,10:N0}{rows / whole.Processor,11:N0}{tape.BytesHeld / 1048576.0,8:N0}");
        if (!isAlone)
        {
            Console.WriteLine();
            return;
        }

        var unit = new float[values.Length];
        for (var i = 0; i < values.Length; i++)
        {
            // Keys and queries of unit length.
            unit[i] = values[i] / MathF.Sqrt(Dimension / Heads);
        }

        var alone = Time(isWarm, () =>
        {
            tape.Reset();
            Tensor Input(float[] data) => tape.FromHost(new Shape(rows, Dimension), data, true);
            Tensor x = Input(values), q = Input(unit), k = Input(unit), v = Input(values), u = Input(unit);
            var start = new Moment();
            tape.Backward(mixer.Memory.Forward(tape, x, q, k, v, new RouterInputs(u, k), new SequenceRows(layout)));
            return start;
        });
        Console.WriteLine($"{rows / alone.Wall,15:N0}{rows / alone.Processor,11:N0}");
    }

    private static (double Wall, double Processor) Time(bool isWarm, Func<Moment> run)
    {
        // Warm up past tiered compilation, once for every kind of layer.
        List<double> walls = [], processors = [];
        var begun = Stopwatch.GetTimestamp();
        do
        {
            _ = run();
        }
        while (!isWarm && Stopwatch.GetElapsedTime(begun).TotalSeconds < 1.5);

        begun = Stopwatch.GetTimestamp();
        while (walls.Count < 3 || (walls.Count < 15 && Stopwatch.GetElapsedTime(begun).TotalSeconds < 1))
        {
            var start = run();
            walls.Add(Stopwatch.GetElapsedTime(start.Wall).TotalSeconds);
            processors.Add((Environment.CpuUsage.TotalTime - start.Processor).TotalSeconds);
        }

        return (walls.Median(), processors.Median());
    }

    private readonly struct Moment
    {
        public Moment()
        {
        }

        public long Wall { get; } = Stopwatch.GetTimestamp();

        public TimeSpan Processor { get; } = Environment.CpuUsage.TotalTime;
    }
}
