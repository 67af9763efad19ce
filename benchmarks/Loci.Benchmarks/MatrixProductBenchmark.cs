using System.Diagnostics;
using System.Globalization;
using Loci.Numerics.Buffers;
using Loci.Numerics.Kernels;

namespace Loci.Benchmarks;

/// <summary>Throughput of <see cref="MatrixProduct"/>: the median over repetitions, in GFLOP/s (a multiply-add counts twice).</summary>
internal static unsafe class MatrixProductBenchmark
{
    private const int Repetitions = 9;
    private const double SecondsPerRepetition = 0.04;

    public static void Run()
    {
        using Workers one = new(1);
        using Workers all = new();
        Console.WriteLine($"{Environment.ProcessorCount} processors; median of {Repetitions} repetitions; 1 thread, {all.ThreadCount} threads, ratio");

        Header("product (A B form: N as it is, T transposed)", "GFLOP/s");
        foreach (int side in (int[])[256, 384, 512, 768, 1024, 1536])
        {
            Product($"square {side}", false, false, side, side, side, one, all);
        }

        foreach ((int n, int k) in ((int, int)[])[(256, 256), (768, 256), (704, 256), (1408, 256), (256, 704), (8192, 256)])
        {
            Product("layer", false, false, 4096, n, k, one, all);
            Product("input gradient", false, true, 4096, k, n, one, all);
            Product("weight gradient", true, false, k, n, 4096, one, all);
        }

        Product("weight gradient", true, false, 1024, 256, 4096, one, all);
        Product("gates", false, false, 4096, 4, 256, one, all);
        Product("gates", false, false, 4096, 16, 256, one, all);
        Product("gates, weights", true, false, 256, 4, 4096, one, all);
        Product("gates, input", false, true, 4096, 256, 4, one, all);

        Header("batch of 512", "GFLOP/s");
        foreach ((bool transposeA, bool transposeB) in ((bool, bool)[])[(false, false), (false, true), (true, false), (true, true)])
        {
            Batch(transposeA, transposeB, 64, 64, 64, 64, one, all);
        }

        Batch(false, false, 64, 64, 64, 768, one, all);
        Batch(false, true, 64, 64, 64, 768, one, all);
        Batch(true, false, 64, 64, 64, 768, one, all);
        Batch(false, true, 64, 64, 64, 1024, one, all);
        Batch(false, false, 64, 32, 64, 64, one, all);
        Batch(false, false, 13, 64, 64, 64, one, all);
        Batch(false, false, 1, 64, 64, 64, one, all);

        Header("one row times a matrix", "GB/s of the matrix");
        foreach ((int n, int k) in ((int, int)[])[(256, 256), (768, 256), (256, 704), (8192, 256), (32000, 1024)])
        {
            Vector(false, n, k, one, all);
            Vector(true, n, k, one, all);
        }
    }

    private static void Header(string what, string unit) => Console.WriteLine($"\n{what,-48}{unit}");

    private static void Product(string name, bool transposeA, bool transposeB, int m, int n, int k, Workers one, Workers all)
    {
        using NativeMemoryBlock a = Random((nuint)m * (nuint)k), b = Random((nuint)k * (nuint)n), c = Random((nuint)m * (nuint)n);
        double Rate(Workers workers) => 2e-9 * m * n * k / Median(() => MatrixProduct.Multiply(
            transposeA, transposeB, m, n, k, a.Reserve(0), transposeA ? m : k, b.Reserve(0), transposeB ? k : n, c.Reserve(0), n, false, workers));
        Row($"{name} {Form(transposeA, transposeB)} {m} x {n} x {k}", Rate(one), Rate(all));
    }

    private static void Batch(bool transposeA, bool transposeB, int m, int n, int k, int ld, Workers one, Workers all)
    {
        const int Count = 512;
        nint stride = 64 * 64;
        int offset = 64;
        nuint size = Count * 64 * 64;
        bool interleaved = ld > 64;
        if (interleaved)
        {
            // Heads side by side in rows of ld floats: ld / 64 products share each block of 64 rows.
            stride = offset;
            size = (nuint)(((Count / (ld / 64)) + 1) * 64 * ld);
        }

        using NativeMemoryBlock a = Random(size), b = Random(size), c = Random(Count * 64 * 64);
        double Rate(Workers workers) => 2e-9 * Count * m * n * k / Median(() =>
        {
            if (!interleaved)
            {
                MatrixProduct.MultiplyBatched(
                    transposeA, transposeB, m, n, k, a.Reserve(0), ld, stride, b.Reserve(0), ld, stride, c.Reserve(0), 64, 64 * 64, Count, false, workers);
                return;
            }

            int heads = ld / 64;
            for (int block = 0; block < Count / heads; block++)
            {
                nint start = (nint)block * 64 * ld;
                MatrixProduct.MultiplyBatched(
                    transposeA, transposeB, m, n, k, a.Reserve(0) + start, ld, stride, b.Reserve(0) + start, ld, stride,
                    c.Reserve(0) + ((nint)block * heads * 64 * 64), 64, 64 * 64, heads, false, workers);
            }
        });
        double scale = interleaved ? (double)(Count / (ld / 64) * (ld / 64)) / Count : 1;
        Row($"{Form(transposeA, transposeB)} {m} x {n} x {k}, row stride {ld}", scale * Rate(one), scale * Rate(all));
    }

    private static void Vector(bool transposeB, int n, int k, Workers one, Workers all)
    {
        using NativeMemoryBlock a = Random((nuint)k), b = Random((nuint)k * (nuint)n), c = Random((nuint)n);
        double Rate(Workers workers) => 4e-9 * n * k / Median(() => MatrixProduct.Multiply(
            false, transposeB, 1, n, k, a.Reserve(0), k, b.Reserve(0), transposeB ? k : n, c.Reserve(0), n, false, workers));
        Row($"{Form(false, transposeB)} 1 x {n} x {k}", Rate(one), Rate(all));
    }

    private static string Form(bool transposeA, bool transposeB) => (transposeA ? "T" : "N") + (transposeB ? "T" : "N");

    private static void Row(string name, double one, double all) =>
        Console.WriteLine(string.Create(CultureInfo.InvariantCulture, $"{name,-44}{one,10:F1}{all,10:F1}{all / one,8:F2}"));

    private static double Median(Action action)
    {
        // Warm up past tiered compilation, and find how many calls make one repetition.
        int calls = 0;
        long start = Stopwatch.GetTimestamp();
        do
        {
            action();
            calls++;
        }
        while (Stopwatch.GetElapsedTime(start).TotalSeconds < SecondsPerRepetition);

        double[] seconds = new double[Repetitions];
        for (int repetition = 0; repetition < Repetitions; repetition++)
        {
            start = Stopwatch.GetTimestamp();
            for (int call = 0; call < calls; call++)
            {
                action();
            }

            seconds[repetition] = Stopwatch.GetElapsedTime(start).TotalSeconds / calls;
        }

        Array.Sort(seconds);
        return seconds[Repetitions / 2];
    }

    private static NativeMemoryBlock Random(nuint count)
    {
        NativeMemoryBlock block = new();
        float* values = block.Reserve(count);
        Random random = new(1);
        for (nuint i = 0; i < count; i++)
        {
            values[i] = random.NextSingle() - 0.5f;
        }

        return block;
    }
}
