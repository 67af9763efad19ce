using System.Numerics;
using System.Runtime.CompilerServices;

namespace Loci.Numerics.Kernels;

/// <summary>Short vector loops of the memory kernels, over a head's width.</summary>
internal static unsafe class MemoryVector
{
    /// <summary>sum_i a_i b_i.</summary>
    [MethodImpl(MethodImplOptions.AggressiveInlining)]
    public static float Dot(float* a, float* b, int n)
    {
        var sum = Vector<float>.Zero;
        var i = 0;
        for (; i <= n - Vector<float>.Count; i += Vector<float>.Count)
        {
            sum = Vector.FusedMultiplyAdd(Vector.Load(a + i), Vector.Load(b + i), sum);
        }

        var total = Vector.Sum(sum);
        for (; i < n; i++)
        {
            total += a[i] * b[i];
        }

        return total;
    }

    /// <summary>y += scale x.</summary>
    [MethodImpl(MethodImplOptions.AggressiveInlining)]
    public static void AddScaled(float scale, float* x, float* y, int n)
    {
        var factor = new Vector<float>(scale);
        var i = 0;
        for (; i <= n - Vector<float>.Count; i += Vector<float>.Count)
        {
            Vector.Store(Vector.FusedMultiplyAdd(factor, Vector.Load(x + i), Vector.Load(y + i)), y + i);
        }

        for (; i < n; i++)
        {
            y[i] = MathF.FusedMultiplyAdd(scale, x[i], y[i]);
        }
    }

    /// <summary>y = scale x; x may be y.</summary>
    [MethodImpl(MethodImplOptions.AggressiveInlining)]
    public static void Scale(float scale, float* x, float* y, int n)
    {
        var factor = new Vector<float>(scale);
        var i = 0;
        for (; i <= n - Vector<float>.Count; i += Vector<float>.Count)
        {
            Vector.Store(factor * Vector.Load(x + i), y + i);
        }

        for (; i < n; i++)
        {
            y[i] = scale * x[i];
        }
    }

    [MethodImpl(MethodImplOptions.AggressiveInlining)]
    public static void Copy(float* x, float* y, int n) => Unsafe.CopyBlock(y, x, (uint)n * sizeof(float));

    [MethodImpl(MethodImplOptions.AggressiveInlining)]
    public static void Zero(float* x, int n) => Unsafe.InitBlock(x, 0, (uint)n * sizeof(float));
}
