using System.Diagnostics;
using System.Globalization;
using System.Runtime.InteropServices;
using Loci.Numerics.Buffers;
using Loci.Numerics.Kernels;

namespace Loci.Benchmarks;

/// <summary>Products of a few rows with weights that come from memory, as a decoded token needs them: gigabytes of weights per second.</summary>
internal static unsafe class RowProductBenchmark
{
    private const long Floats = 1L << 27;

    /// <param name="arguments">Threads, 2 by default.</param>
    public static void Run(string[] arguments)
    {
        var threads = arguments.Length > 0 ? int.Parse(arguments[0], CultureInfo.InvariantCulture) : 2;
        using var workers = new Workers(threads);
        using var bandwidth = new BandwidthBenchmark(threads);
        var memory = Allocate(Floats);
        var x = Allocate(1 << 20);
        var y = Allocate(1 << 20);
        new Span<float>(memory, (int)Floats).Fill(0.01f);
        new Span<float>(x, 1 << 20).Fill(1);
        Console.WriteLine($"rows x outputs x inputs, {threads} threads: GB/s of float32 and of int8 weights, and of a plain sum");
        foreach (var (n, k) in ((int, int)[])[(768, 768), (2304, 768), (4096, 768), (768, 2048), (50000, 768)])
        {
            foreach (var m in (int[])[1, 2, 4, 8])
            {
                var size = (long)n * k;
                var exact = Measure(Floats / size, 4 * size, i => MatrixProduct.Multiply(false, true, m, n, k, x, k, memory + (i * size), k, y, n, false, workers));
                var bytes = Int8Blocks.ByteCount(n, k);
                var rounded = Measure(
                    4 * Floats / bytes, bytes, i => MatrixProduct.MultiplyInt8(m, n, k, x, k, (byte*)memory + (i * bytes), y, n, false, workers));
                Console.WriteLine($"{m} x {n} x {k}: {exact:F1}, {rounded:F1}, {bandwidth.Pass():F1}");
            }
        }

        NativeMemory.AlignedFree(memory);
        NativeMemory.AlignedFree(x);
        NativeMemory.AlignedFree(y);
    }

    private static double Measure(long count, long bytes, Action<long> product)
    {
        var times = new List<double>();
        for (var pass = 0; pass < 6; pass++)
        {
            var start = Stopwatch.GetTimestamp();
            for (long i = 0; i < count; i++)
            {
                product(i);
            }

            times.Add(Stopwatch.GetElapsedTime(start).TotalSeconds);
        }

        return count * bytes / times.Skip(1).ToList().Median() / 1e9;
    }

    private static float* Allocate(long floats)
    {
        var bytes = (nuint)floats * sizeof(float);
        var memory = (float*)NativeMemory.AlignedAlloc(bytes, HugePages.Size);
        HugePages.Advise(memory, bytes);
        return memory;
    }
}
