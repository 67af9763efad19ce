using System.Diagnostics;
using System.Runtime.InteropServices;
using Loci.Numerics.Buffers;
using Loci.Numerics.Kernels;

namespace Loci.Benchmarks;

internal static unsafe class RowProductBenchmark
{
    public static void Run(string[] arguments)
    {
        var threads = int.Parse(arguments[0]);
        using var workers = new Workers(threads);
        const long Floats = 1L << 27;
        var memory = (float*)NativeMemory.AlignedAlloc((nuint)(4 * Floats), HugePages.Size);
        HugePages.Advise(memory, (nuint)(4 * Floats));
        for (long i = 0; i < Floats; i++)
        {
            memory[i] = 0.01f;
        }

        var x = (float*)NativeMemory.AlignedAlloc(4 * 1 << 20, 64);
        var y = (float*)NativeMemory.AlignedAlloc(4 * 1 << 20, 64);
        new Span<float>(x, 1 << 20).Fill(1);
        for (int repeat = 0; repeat < 2; repeat++)
        {
            foreach (var (n, k) in ((int, int)[])[(50000, 768), (768, 768), (2304, 768), (4096, 768), (768, 2048)])
            {
                foreach (var m in (int[])[1, 2, 4, 8])
                {
                    var times = new List<double>();
                    long size = (long)n * k, count = Floats / size;
                    for (var pass = 0; pass < 9; pass++)
                    {
                        var start = Stopwatch.GetTimestamp();
                        for (var i = 0; i < count; i++)
                        {
                            MatrixProduct.Multiply(false, true, m, n, k, x, k, memory + (i * size), k, y, n, false, workers);
                        }

                        times.Add(Stopwatch.GetElapsedTime(start).TotalSeconds);
                    }

                    if (repeat > 0)
                    {
                        Console.WriteLine($"{m} x {n} x {k}: {4 * count * size / times.Median() / 1e9:F1} GB/s, {times.Median() / count * 1e6:F1} us");
                    }
                }
            }
        }
    }
}
