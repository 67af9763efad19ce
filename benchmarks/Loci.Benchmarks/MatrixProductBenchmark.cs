using System.Diagnostics;
using System.Globalization;
using System.Runtime.Intrinsics;
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
        int width = Vector512.IsHardwareAccelerated ? 512 : Vector256.IsHardwareAccelerated ? 256 : Vector128.IsHardwareAccelerated ? 128 : 0;
        Console.WriteLine($"{Environment.ProcessorCount} processors, vectors of {width} bits; median of {Repetitions} repetitions; 1 thread, {all.ThreadCount} threads, ratio");

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

        // A batch of 8 stays in a second-level cache, one of 512 streams 24 MB through it.
        foreach (int count in (int[])[8, 512])
        {
            Header($"batch of {count}", "GFLOP/s");
            foreach ((bool transposeA, bool transposeB) in ((bool, bool)[])[(false, false), (false, true), (true, false), (true, true)])
            {
                Batch(count, transposeA, transposeB, 64, 64, 64, one, all);
            }

            Batch(count, false, false, 64, 32, 64, one, all);
            Batch(count, false, false, 13, 64, 64, one, all);
            Batch(count, false, false, 1, 64, 64, one, all);
        }

        Header("12 heads of 64 side by side", "GFLOP/s");
        foreach ((bool transposeA, bool transposeB) in ((bool, bool)[])[(false, false), (false, true), (true, false), (true, true)])
        {
            Heads(transposeA, transposeB, one, all);
        }

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

    private static void Batch(int count, bool transposeA, bool transposeB, int m, int n, int k, Workers one, Workers all)
    {
        using NativeMemoryBlock a = Random((nuint)(count * m * k)), b = Random((nuint)(count * k * n)), c = Random((nuint)(count * m * n));
        double Rate(Workers workers) => 2e-9 * count * m * n * k / Median(() => MatrixProduct.MultiplyBatched(
            transposeA, transposeB, m, n, k, a.Reserve(0), transposeA ? m : k, m * k, b.Reserve(0), transposeB ? k : n, k * n, c.Reserve(0), n, m * n,
            count, false, workers));
        Row($"{Form(transposeA, transposeB)} {m} x {n} x {k}", Rate(one), Rate(all));
    }

    private static void Heads(bool transposeA, bool transposeB, Workers one, Workers all)
    {
        const int Heads = 12, Side = 64, RowLength = Heads * Side;
        using NativeMemoryBlock a = Random(Side * RowLength), b = Random(Side * RowLength), c = Random(Side * RowLength);
        double Rate(Workers workers) => 2e-9 * Heads * Side * Side * Side / Median(() => MatrixProduct.MultiplyBatched(
            transposeA, transposeB, Side, Side, Side, a.Reserve(0), RowLength, Side, b.Reserve(0), RowLength, Side, c.Reserve(0), RowLength, Side,
            Heads, false, workers));
        Row($"{Form(transposeA, transposeB)} 64 x 64 x 64, row stride {RowLength}", Rate(one), Rate(all));
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
