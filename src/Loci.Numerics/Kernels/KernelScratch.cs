using System.Runtime.InteropServices;

namespace Loci.Numerics.Kernels;

/// <summary>Per-thread native scratch for kernels: grows to the largest request and is then reused.</summary>
internal static unsafe class KernelScratch
{
    [ThreadStatic]
    private static float* t_memory;

    [ThreadStatic]
    private static nuint t_count;

    /// <summary>At least <paramref name="count"/> floats, 64-byte aligned, with undefined contents, valid until the thread's next request.</summary>
    public static float* Get(nuint count)
    {
        if (count > t_count)
        {
            NativeMemory.AlignedFree(t_memory);
            t_memory = null;
            t_count = 0;
            t_memory = (float*)NativeMemory.AlignedAlloc(count * sizeof(float), 64);
            t_count = count;
        }

        FillWithNaN(count);
        return t_memory;
    }

    [System.Diagnostics.Conditional("DEBUG")]
    private static void FillWithNaN(nuint count) => new Span<float>(t_memory, (int)count).Fill(float.NaN);
}
