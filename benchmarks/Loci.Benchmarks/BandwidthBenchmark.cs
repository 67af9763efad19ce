using System.Diagnostics;
using System.Runtime.InteropServices;
using System.Runtime.Intrinsics;
using Loci.Numerics.Buffers;

namespace Loci.Benchmarks;

/// <summary>How fast this machine's cores read memory at all: a plain sum over more than any cache holds.</summary>
internal static unsafe class BandwidthBenchmark
{
    private const long Bytes = 1L << 29;

    /// <summary>Gigabytes per second of <paramref name="threads"/> threads, each with a half of a GiB of its own; the best of eight passes.</summary>
    public static double Measure(int threads)
    {
        var memory = new nint[threads];
        for (var i = 0; i < threads; i++)
        {
            memory[i] = (nint)NativeMemory.AlignedAlloc((nuint)Bytes, HugePages.Size);
            HugePages.Advise((void*)memory[i], (nuint)Bytes);
            new Span<byte>((void*)memory[i], (int)Bytes).Fill(1);
        }

        var best = 0.0;
        using var barrier = new Barrier(threads);
        Thread[] readers = [.. Enumerable.Range(0, threads).Select(index => new Thread(() =>
        {
            var floats = (float*)memory[index];
            var sum = 0.0f;
            for (var pass = 0; pass < 8; pass++)
            {
                barrier.SignalAndWait();
                var start = Stopwatch.GetTimestamp();
                sum += Sum(floats, Bytes / sizeof(float));
                barrier.SignalAndWait();
                if (index == 0)
                {
                    best = Math.Max(best, threads * Bytes / Stopwatch.GetElapsedTime(start).TotalSeconds / 1e9);
                }
            }

            GC.KeepAlive(sum);
        }))];
        foreach (var reader in readers)
        {
            reader.Start();
        }

        foreach (var reader in readers)
        {
            reader.Join();
        }

        foreach (var block in memory)
        {
            NativeMemory.AlignedFree((void*)block);
        }

        return best;
    }

    private static float Sum(float* values, long count)
    {
        Vector512<float> a = default, b = default, c = default, d = default;
        for (long i = 0; i < count; i += 64)
        {
            a += Vector512.Load(values + i);
            b += Vector512.Load(values + i + 16);
            c += Vector512.Load(values + i + 32);
            d += Vector512.Load(values + i + 48);
        }

        return Vector512.Sum((a + b) + (c + d));
    }
}
