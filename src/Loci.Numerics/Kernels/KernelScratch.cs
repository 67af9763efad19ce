using Loci.Numerics.Buffers;

namespace Loci.Numerics.Kernels;

/// <summary>Per-thread scratch of the memory kernels: grows to the largest request and is then reused.</summary>
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

    [System.Diagnostics.Conditional("DEBUG")]
    private static void FillWithNaN(float* memory, nuint count) => new Span<float>(memory, (int)count).Fill(float.NaN);
}
