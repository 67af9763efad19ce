using System.Diagnostics;
using System.Runtime.InteropServices;
using System.Runtime.Intrinsics;
using Loci.Numerics.Buffers;
using Loci.Numerics.Kernels;

namespace Loci.Benchmarks;

/// <summary>How fast this machine's cores read memory at all: a plain sum over more than any cache holds.</summary>
internal sealed unsafe class BandwidthBenchmark : IDisposable
{
    private const long Floats = 1L << 27;
    private const int Parts = 64;

    private readonly Workers _workers;
    private readonly float* _memory;

    public BandwidthBenchmark(int threads)
    {
        _workers = new Workers(threads);
        _memory = (float*)NativeMemory.AlignedAlloc((nuint)Floats * sizeof(float), HugePages.Size);
        HugePages.Advise(_memory, (nuint)Floats * sizeof(float));
        for (long i = 0; i < Floats; i++)
        {
            _memory[i] = 1;
        }
    }

    /// <summary>Gigabytes per second of one pass over half a GiB.</summary>
    public double Pass()
    {
        var sums = stackalloc float[Parts];
        var state = new State { Memory = _memory, Sums = sums };
        var start = Stopwatch.GetTimestamp();
        _workers.For(Parts, &Body, &state);
        return Floats * sizeof(float) / Stopwatch.GetElapsedTime(start).TotalSeconds / 1e9;

        static void Body(void* pointer, int index, int worker)
        {
            var state = (State*)pointer;
            state->Sums[index] = Sum(state->Memory + (index * (Floats / Parts)), Floats / Parts);
        }
    }

    public void Dispose()
    {
        NativeMemory.AlignedFree(_memory);
        _workers.Dispose();
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

    private struct State
    {
        public float* Memory;
        public float* Sums;
    }
}
