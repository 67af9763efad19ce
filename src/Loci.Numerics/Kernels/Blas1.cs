using System.Runtime.CompilerServices;

namespace Loci.Numerics.Kernels;

/// <summary>Vector loops of a few hundred or thousand elements, on the calling thread.</summary>
internal static unsafe class Blas1
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

    /// <summary>y = a o b; y may be either.</summary>
    public static void Multiply(float* a, float* b, float* y, int n)
    {
        var i = 0;
        for (; i <= n - Lanes.Count; i += Lanes.Count)
        {
            Lanes.Store(Lanes.Load(a + i, Lanes.Count) * Lanes.Load(b + i, Lanes.Count), y + i, Lanes.Count);
        }

        if (i < n)
        {
            Lanes.Store(Lanes.Load(a + i, n - i) * Lanes.Load(b + i, n - i), y + i, n - i);
        }
    }

    /// <summary>y = e^x; y may be x.</summary>
    public static void Exp(float* x, float* y, int n)
    {
        for (var i = 0; i < n; i += Lanes.Count)
        {
            Lanes.Store(VectorMath.Exp(Lanes.Load(x + i, n - i)), y + i, n - i);
        }
    }

    /// <summary>Rows y_t = scale factor_t x_t of n elements; y may be x.</summary>
    public static void ScaleRows(float* factors, float* x, int xStride, float* y, int yStride, int rows, int n, float scale = 1)
    {
        for (var t = 0; t < rows; t++)
        {
            Scale(scale * factors[t], x + ((long)t * xStride), y + ((long)t * yStride), n);
        }
    }

    /// <summary>One element, written or added to what is there; nothing where there is no destination.</summary>
    [MethodImpl(MethodImplOptions.AggressiveInlining)]
    public static void Store(float* destination, long index, float value, bool accumulate)
    {
        if (destination != null)
        {
            destination[index] = accumulate ? destination[index] + value : value;
        }
    }

    [MethodImpl(MethodImplOptions.AggressiveInlining)]
    public static void Copy(float* x, float* y, int n) => Unsafe.CopyBlock(y, x, (uint)n * sizeof(float));

    [MethodImpl(MethodImplOptions.AggressiveInlining)]
    public static void Zero(float* x, int n) => Unsafe.InitBlock(x, 0, (uint)n * sizeof(float));
}
