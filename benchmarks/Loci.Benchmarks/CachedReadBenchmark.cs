using System.Diagnostics;
using Loci.Memory.Aggregations;
using Loci.Memory.Routing;
using Loci.Memory.Rules.ScalarGated;
using Loci.Memory.Segments;
using Loci.Numerics;
using Loci.Numerics.Operations;

namespace Loci.Benchmarks;

/// <summary>
/// The memory of one layer alone: scan and cached read, forward and backward, for every aggregation, with the work that method.md predicts beside the time. It shows that SSC costs k reads
/// a token where GRM costs one a segment, and that Residual costs one read whatever the number of segments.
/// </summary>
internal static class CachedReadBenchmark
{
    private const int Heads = 4;
    private const int Width = 64;
    private const int SegmentLength = 256;

    /// <param name="arguments">Threads, 1 by default.</param>
    public static void Run(string[] arguments)
    {
        var threads = arguments.Length > 0 ? int.Parse(arguments[0]) : 1;
        Console.WriteLine($"Gated linear memory, H {Heads}, d {Width}, C {SegmentLength}, chunk 64, forward + backward, {threads} threads; medians of 7.");
        Console.WriteLine($"{"B x T",-11}{"aggregation",-14}{"reads/token",12}{"ms",9}{"us/token",10}{"over base",11}{"of GRM's read",15}");
        foreach (var (batch, length) in (ReadOnlySpan<(int, int)>)[(16, 1024), (4, 4096), (1, 16384)])
        {
            // One base and one GRM measurement lie beside each other, so that the noise of the machine hits all rows alike.
            var baseline = Measure(threads, batch, length, "none", 0);
            var gated = Measure(threads, batch, length, "grm", 0);
            foreach (var (name, k) in (ReadOnlySpan<(string, int)>)[("none", 0), ("residual", 0), ("grm", 0), ("ssc k=4", 4), ("ssc k=1", 1)])
            {
                var time = name == "none" ? baseline : name == "grm" ? gated : Measure(threads, batch, length, name, k);
                var past = Enumerable.Range(0, length).Average(t => Math.Min(k > 0 ? k : int.MaxValue, t / SegmentLength));
                var reads = name switch { "none" => 0, "residual" => 1, _ => past };
                Console.WriteLine(
                    $"{$"{batch} x {length}",-11}{name,-14}{reads,12:F2}{1000 * time,9:F1}{1e6 * time / (batch * length),10:F2}{time / baseline,11:F2}{(name == "none" ? "" : $"{(time - baseline) / (gated - baseline):P0}"),15}");
            }
        }
    }

    private static double Measure(int threads, int batch, int length, string aggregation, int topK)
    {
        using var device = new CpuDevice(threads);
        using var tape = new Tape(device);
        using var plan = new MemoryPlan(device);
        var layout = new SequenceLayout(batch, length);
        var rows = batch * length;
        (aggregation == "none" ? Segmentation.None : new Segmentation(SegmentKind.Constant, SegmentLength, SegmentStart.Independent)).Plan(plan, layout, 64);
        var random = new Random(1);
        var values = new float[rows * Heads * Width];
        for (var i = 0; i < values.Length; i++)
        {
            values[i] = (float)(random.NextDouble() - 0.5);
        }

        var decay = new float[rows * Heads];
        Array.Fill(decay, -0.03f);
        float[] temperature = [1, 1, 1, 1];
        var times = new List<double>();
        for (var repetition = 0; repetition < 9; repetition++)
        {
            tape.Reset();
            Tensor Input() => tape.FromHost(new Shape(rows, Heads * Width), values, true);
            Tensor q = Input(), k = Input(), v = Input(), u = Input();
            var logDecay = tape.FromHost(new Shape(rows, Heads), decay, true);
            var tau = tape.FromHost(new Shape(Heads), temperature, true);
            var start = Stopwatch.GetTimestamp();
            var scan = ScalarGatedScan.Apply(tape, plan, q, k, v, Heads, logDecay);
            var y = aggregation switch
            {
                "none" => scan.Output,
                "residual" => CachedRead.Sum(tape, plan, scan, q, new CachedReadOptions(Heads)),
                _ => CachedRead.Gated(tape, plan, scan, q, u, k, tau, null, new CachedReadOptions(Heads, TopK: topK)),
            };
            tape.Backward(y);
            if (repetition >= 2)
            {
                times.Add(Stopwatch.GetElapsedTime(start).TotalSeconds);
            }
        }

        return times.Median();
    }
}
