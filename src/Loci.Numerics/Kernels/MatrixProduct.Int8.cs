using System.Runtime.CompilerServices;
using System.Runtime.Intrinsics;
using System.Runtime.Intrinsics.X86;

namespace Loci.Numerics.Kernels;

internal static unsafe partial class MatrixProduct
{
    // How far ahead of the arithmetic the integers are asked for, in bytes.
    private const int Int8Ahead = 4096;

    /// <summary>c = a B^T for one row a and B in blocks of integers, four vectors of columns at a time, each element one chain over increasing k.</summary>
    [SkipLocalsInit]
    private static void MultiplyRowInt8(in Product product)
    {
        int n = product.N;
        float* sums = stackalloc float[Int8Blocks.PanelColumns];
        for (int j = 0; j < n; j += Int8Blocks.PanelColumns)
        {
            int columns = Math.Min(Int8Blocks.PanelColumns, n - j);
            float* c = product.C + j;
            float* target = columns == Int8Blocks.PanelColumns ? c : sums;
            if (!product.Accumulate)
            {
                new Span<float>(target, Int8Blocks.PanelColumns).Clear();
            }
            else if (target == sums)
            {
                new Span<float>(sums, Int8Blocks.PanelColumns).Clear();
                new ReadOnlySpan<float>(c, columns).CopyTo(new Span<float>(sums, columns));
            }

            byte* block = product.Blocks.BlockAt(0, j);
            if (Vector512.IsHardwareAccelerated)
            {
                AddPanel512(product.A, product.K, block, target);
            }
            else if (Vector256.IsHardwareAccelerated)
            {
                AddColumns256(product.A, product.K, block, 0, target);
                AddColumns256(product.A, product.K, block, 32, target);
            }
            else
            {
                for (int first = 0; first < Int8Blocks.PanelColumns; first += 16)
                {
                    AddColumns128(product.A, product.K, block, first, target);
                }
            }

            if (target == sums)
            {
                new ReadOnlySpan<float>(sums, columns).CopyTo(new Span<float>(c, columns));
            }
        }
    }

    [MethodImpl(MethodImplOptions.AggressiveOptimization)]
    private static void AddPanel512(float* a, int k, byte* block, float* c)
    {
        Vector512<float> c0 = Vector512.Load(c), c1 = Vector512.Load(c + 16), c2 = Vector512.Load(c + 32), c3 = Vector512.Load(c + 48);
        for (int p = 0; p < k; p += Int8Blocks.Length, block = Int8Blocks.Next(block))
        {
            ushort* scales = (ushort*)block;
            Vector512<float> s0 = Int8Blocks.Scales512(scales), s1 = Int8Blocks.Scales512(scales + 16);
            Vector512<float> s2 = Int8Blocks.Scales512(scales + 32), s3 = Int8Blocks.Scales512(scales + 48);
            sbyte* integers = Int8Blocks.Integers(block);
            int steps = Math.Min(Int8Blocks.Length, k - p);
            for (int i = 0; i < steps; i++, integers += Int8Blocks.PanelColumns)
            {
                Sse.Prefetch0(integers + Int8Ahead);
                Vector512<float> ai = Vector512.Create(a[p + i]);
                c0 = MultiplyAdd(ai, Int8Blocks.Integers512(integers) * s0, c0);
                c1 = MultiplyAdd(ai, Int8Blocks.Integers512(integers + 16) * s1, c1);
                c2 = MultiplyAdd(ai, Int8Blocks.Integers512(integers + 32) * s2, c2);
                c3 = MultiplyAdd(ai, Int8Blocks.Integers512(integers + 48) * s3, c3);
            }
        }

        c0.Store(c);
        c1.Store(c + 16);
        c2.Store(c + 32);
        c3.Store(c + 48);
    }

    /// <summary>Thirty-two columns of a panel.</summary>
    [MethodImpl(MethodImplOptions.AggressiveOptimization)]
    private static void AddColumns256(float* a, int k, byte* block, int first, float* c)
    {
        c += first;
        Vector256<float> c0 = Vector256.Load(c), c1 = Vector256.Load(c + 8), c2 = Vector256.Load(c + 16), c3 = Vector256.Load(c + 24);
        for (int p = 0; p < k; p += Int8Blocks.Length, block = Int8Blocks.Next(block))
        {
            ushort* scales = (ushort*)block + first;
            Vector256<float> s0 = Int8Blocks.Scales256(scales), s1 = Int8Blocks.Scales256(scales + 8);
            Vector256<float> s2 = Int8Blocks.Scales256(scales + 16), s3 = Int8Blocks.Scales256(scales + 24);
            sbyte* integers = Int8Blocks.Integers(block) + first;
            int steps = Math.Min(Int8Blocks.Length, k - p);
            for (int i = 0; i < steps; i++, integers += Int8Blocks.PanelColumns)
            {
                Vector256<float> ai = Vector256.Create(a[p + i]);
                c0 = MultiplyAdd(ai, Int8Blocks.Integers256(integers) * s0, c0);
                c1 = MultiplyAdd(ai, Int8Blocks.Integers256(integers + 8) * s1, c1);
                c2 = MultiplyAdd(ai, Int8Blocks.Integers256(integers + 16) * s2, c2);
                c3 = MultiplyAdd(ai, Int8Blocks.Integers256(integers + 24) * s3, c3);
            }
        }

        c0.Store(c);
        c1.Store(c + 8);
        c2.Store(c + 16);
        c3.Store(c + 24);
    }

    /// <summary>Sixteen columns of a panel.</summary>
    [MethodImpl(MethodImplOptions.AggressiveOptimization)]
    private static void AddColumns128(float* a, int k, byte* block, int first, float* c)
    {
        c += first;
        Vector128<float> c0 = Vector128.Load(c), c1 = Vector128.Load(c + 4), c2 = Vector128.Load(c + 8), c3 = Vector128.Load(c + 12);
        for (int p = 0; p < k; p += Int8Blocks.Length, block = Int8Blocks.Next(block))
        {
            ushort* scales = (ushort*)block + first;
            Vector128<float> s0 = Int8Blocks.Scales128(scales), s1 = Int8Blocks.Scales128(scales + 4);
            Vector128<float> s2 = Int8Blocks.Scales128(scales + 8), s3 = Int8Blocks.Scales128(scales + 12);
            sbyte* integers = Int8Blocks.Integers(block) + first;
            int steps = Math.Min(Int8Blocks.Length, k - p);
            for (int i = 0; i < steps; i++, integers += Int8Blocks.PanelColumns)
            {
                Vector128<float> ai = Vector128.Create(a[p + i]);
                c0 = MultiplyAdd(ai, Int8Blocks.Integers128(integers) * s0, c0);
                c1 = MultiplyAdd(ai, Int8Blocks.Integers128(integers + 4) * s1, c1);
                c2 = MultiplyAdd(ai, Int8Blocks.Integers128(integers + 8) * s2, c2);
                c3 = MultiplyAdd(ai, Int8Blocks.Integers128(integers + 12) * s3, c3);
            }
        }

        c0.Store(c);
        c1.Store(c + 4);
        c2.Store(c + 8);
        c3.Store(c + 12);
    }
}
