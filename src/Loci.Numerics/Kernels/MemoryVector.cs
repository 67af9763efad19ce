using System.Runtime.CompilerServices;

namespace Loci.Numerics.Kernels;

/// <summary>Short vector loops of the memory kernels, over a head's width or a state.</summary>
internal static unsafe class MemoryVector
{
    /// <summary>sum_i a_i b_i.</summary>
    [MethodImpl(MethodImplOptions.AggressiveInlining)]
    public static float Dot(float* a, float* b, int n) => Lanes.Dot(a, b, n);

    /// <summary>y += scale x.</summary>
    [MethodImpl(MethodImplOptions.AggressiveInlining)]
    public static void AddScaled(float scale, float* x, float* y, int n) => Lanes.AddScaled(x, scale, y, n, true);

    /// <summary>y = scale x; x may be y.</summary>
    [MethodImpl(MethodImplOptions.AggressiveInlining)]
    public static void Scale(float scale, float* x, float* y, int n) => Lanes.AddScaled(x, scale, y, n, false);

    [MethodImpl(MethodImplOptions.AggressiveInlining)]
    public static void Copy(float* x, float* y, int n) => Unsafe.CopyBlock(y, x, (uint)n * sizeof(float));

    [MethodImpl(MethodImplOptions.AggressiveInlining)]
    public static void Zero(float* x, int n) => Unsafe.InitBlock(x, 0, (uint)n * sizeof(float));
}
