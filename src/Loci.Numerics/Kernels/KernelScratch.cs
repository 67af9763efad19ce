using Loci.Numerics.Buffers;

namespace Loci.Numerics.Kernels;

/// <summary>Per-thread scratch of kernels: grows to the largest request and is then reused.</summary>
internal static unsafe class KernelScratch
{
    [ThreadStatic]
    private static NativeMemoryBlock? t_block;

    /// <summary>At least <paramref name="count"/> floats, 64-byte aligned, with undefined contents, valid until the thread's next request.</summary>
    public static float* Get(nuint count)
    {
        var memory = (t_block ??= new()).Reserve(count);
        FillWithNaN(memory, count);
        return memory;
    }

    /// <summary>The scratch of one piece of work, carved from as much memory as it takes; valid until the thread's next request.</summary>
    public static TScratch Get<TWork, TScratch>(in TWork work)
        where TScratch : IScratch<TWork, TScratch>
    {
        Carver counter = new(null);
        _ = TScratch.Carve(work, ref counter);
        Carver carver = new(Get(counter.Used));
        return TScratch.Carve(work, ref carver);
    }

    [System.Diagnostics.Conditional("DEBUG")]
    private static void FillWithNaN(float* memory, nuint count) => new Span<float>(memory, (int)count).Fill(float.NaN);
}

/// <summary>Pointers into scratch memory, laid out by the piece of work that needs them.</summary>
internal interface IScratch<TWork, TSelf>
    where TSelf : IScratch<TWork, TSelf>
{
    static abstract TSelf Carve(in TWork work, ref Carver carver);
}

/// <summary>Hands out parts of memory at multiples of 64 bytes; without memory it only counts.</summary>
internal unsafe ref struct Carver(float* memory)
{
    public nuint Used { get; private set; }

    public float* Take(long count)
    {
        var start = memory + Used;
        Used += ((nuint)count + 15) / 16 * 16;
        return start;
    }
}
