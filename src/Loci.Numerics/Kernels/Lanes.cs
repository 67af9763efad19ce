using System.Numerics;
using System.Runtime.CompilerServices;

namespace Loci.Numerics.Kernels;

/// <summary>
/// Loads and stores of up to one vector. The end of a row goes through the same vector code as its middle, so that an element has the same bits
/// wherever in a row or buffer it lies. Hot loops run their body with the constant <see cref="Count"/> first and once more for what is left:
/// inlined, the constant takes the branch and the call out of the loop.
/// </summary>
internal static unsafe class Lanes
{
    /// <summary>Floats in a vector.</summary>
    public static int Count
    {
        [MethodImpl(MethodImplOptions.AggressiveInlining)]
        get => Vector<float>.Count;
    }

    /// <summary>One vector, or the <paramref name="left"/> elements there are, followed by zeros.</summary>
    [MethodImpl(MethodImplOptions.AggressiveInlining)]
    public static Vector<float> Load(float* source, long left) => left >= Vector<float>.Count ? Vector.Load(source) : LoadPart(source, (int)left, 0);

    /// <summary>One vector, or the <paramref name="left"/> elements there are, followed by <paramref name="fill"/>.</summary>
    [MethodImpl(MethodImplOptions.AggressiveInlining)]
    public static Vector<float> Load(float* source, long left, float fill) => left >= Vector<float>.Count ? Vector.Load(source) : LoadPart(source, (int)left, fill);

    /// <summary>Stores one vector, or its first <paramref name="left"/> elements.</summary>
    [MethodImpl(MethodImplOptions.AggressiveInlining)]
    public static void Store(Vector<float> value, float* destination, long left)
    {
        if (left >= Vector<float>.Count)
        {
            value.Store(destination);
        }
        else
        {
            StorePart(value, destination, (int)left);
        }
    }

    /// <summary>Stores, or adds to what is there.</summary>
    [MethodImpl(MethodImplOptions.AggressiveInlining)]
    public static void Store(Vector<float> value, float* destination, long left, bool accumulate) =>
        Store(accumulate ? value + Load(destination, left) : value, destination, left);

    /// <summary>The largest lane.</summary>
    public static float Max(Vector<float> value)
    {
        var lanes = (float*)&value;
        var largest = lanes[0];
        for (var i = 1; i < Vector<float>.Count; i++)
        {
            largest = MathF.Max(largest, lanes[i]);
        }

        return largest;
    }

    /// <summary>sum of a[i] b[i].</summary>
    [MethodImpl(MethodImplOptions.AggressiveInlining)]
    public static float Dot(float* a, float* b, int count)
    {
        var sum = Vector<float>.Zero;
        var i = 0;
        for (; i <= count - Vector<float>.Count; i += Vector<float>.Count)
        {
            sum = Vector.MultiplyAddEstimate(Vector.Load(a + i), Vector.Load(b + i), sum);
        }

        if (i < count)
        {
            sum = Vector.MultiplyAddEstimate(LoadPart(a + i, count - i, 0), LoadPart(b + i, count - i, 0), sum);
        }

        return Vector.Sum(sum);
    }

    /// <summary>destination = or += scale * source.</summary>
    [MethodImpl(MethodImplOptions.AggressiveInlining)]
    public static void AddScaled(float* source, float scale, float* destination, long count, bool accumulate)
    {
        var factor = new Vector<float>(scale);
        long i = 0;
        for (; i <= count - Vector<float>.Count; i += Vector<float>.Count)
        {
            AddScaledAt(source + i, factor, destination + i, Vector<float>.Count, accumulate);
        }

        if (i < count)
        {
            AddScaledAt(source + i, factor, destination + i, count - i, accumulate);
        }
    }

    [MethodImpl(MethodImplOptions.AggressiveInlining)]
    private static void AddScaledAt(float* source, Vector<float> factor, float* destination, long left, bool accumulate)
    {
        var value = Load(source, left);
        value = accumulate ? Vector.MultiplyAddEstimate(value, factor, Load(destination, left)) : value * factor;
        Store(value, destination, left);
    }

    [MethodImpl(MethodImplOptions.NoInlining)]
    private static Vector<float> LoadPart(float* source, int count, float fill)
    {
        var value = new Vector<float>(fill);
        Unsafe.CopyBlockUnaligned(&value, source, (uint)(count * sizeof(float)));
        return value;
    }

    [MethodImpl(MethodImplOptions.NoInlining)]
    private static void StorePart(Vector<float> value, float* destination, int count) =>
        Unsafe.CopyBlockUnaligned(destination, &value, (uint)(count * sizeof(float)));
}
