using System.Runtime.CompilerServices;
using System.Runtime.Intrinsics;
using System.Runtime.Intrinsics.Arm;
using System.Runtime.Intrinsics.X86;

namespace Loci.Numerics.Kernels;

internal static unsafe partial class MatrixProduct
{
    /// <summary>
    /// Packs a panel: panel[p * width + i] = operand(i, p) for i in [0, count), zero for i in [count, width), p in [0, k).
    /// </summary>
    /// <remarks>
    /// Where the sums run along memory (A as it is, B transposed), operand(i, p) = source[i * ld + p] and packing transposes;
    /// otherwise operand(i, p) = source[p * ld + i] and packing copies.
    /// </remarks>
    private static void PackPanel(bool kContiguous, int count, int width, nint k, float* source, nint ld, float* panel)
    {
        if (kContiguous)
        {
            PackTransposed(count, width, k, source, ld, panel);
        }
        else
        {
            PackCopied(count, width, k, source, ld, panel);
        }
    }

    /// <summary>target [columns, rows] = the transpose of source [rows, columns].</summary>
    public static void Transpose(int rows, int columns, float* source, float* target) => PackTransposed(rows, rows, columns, source, columns, target);

    [MethodImpl(MethodImplOptions.AggressiveOptimization)]
    private static void PackCopied(int count, int width, nint k, float* source, nint ld, float* panel)
    {
        if (Vector512.IsHardwareAccelerated && count == 32)
        {
            for (nint p = 0; p < k; p++, source += ld, panel += width)
            {
                Vector512.Load(source).Store(panel);
                Vector512.Load(source + 16).Store(panel + 16);
            }

            return;
        }

        if (count == width && width % 4 == 0)
        {
            for (nint p = 0; p < k; p++, source += ld, panel += width)
            {
                for (int i = 0; i < width; i += 4)
                {
                    Vector128.Load(source + i).Store(panel + i);
                }
            }

            return;
        }

        for (nint p = 0; p < k; p++, source += ld, panel += width)
        {
            int i = 0;
            for (; i < count; i++)
            {
                panel[i] = source[i];
            }

            for (; i < width; i++)
            {
                panel[i] = 0;
            }
        }
    }

    [MethodImpl(MethodImplOptions.AggressiveOptimization)]
    private static void PackTransposed(int count, int width, nint k, float* source, nint ld, float* panel)
    {
        int i = 0;
        if (Sse.IsSupported || AdvSimd.Arm64.IsSupported)
        {
            for (; i + 4 <= count; i += 4)
            {
                float* row0 = source + (i * ld);
                float* row1 = row0 + ld;
                float* row2 = row1 + ld;
                float* row3 = row2 + ld;
                float* target = panel + i;
                nint p = 0;
                for (; p + 4 <= k; p += 4)
                {
                    Vector128<float> r0 = Vector128.Load(row0 + p);
                    Vector128<float> r1 = Vector128.Load(row1 + p);
                    Vector128<float> r2 = Vector128.Load(row2 + p);
                    Vector128<float> r3 = Vector128.Load(row3 + p);
                    Vector128<float> low02 = InterleaveLow(r0, r2);
                    Vector128<float> low13 = InterleaveLow(r1, r3);
                    Vector128<float> high02 = InterleaveHigh(r0, r2);
                    Vector128<float> high13 = InterleaveHigh(r1, r3);
                    InterleaveLow(low02, low13).Store(target);
                    InterleaveHigh(low02, low13).Store(target + width);
                    InterleaveLow(high02, high13).Store(target + (2 * width));
                    InterleaveHigh(high02, high13).Store(target + (3 * width));
                    target += 4 * width;
                }

                for (; p < k; p++, target += width)
                {
                    target[0] = row0[p];
                    target[1] = row1[p];
                    target[2] = row2[p];
                    target[3] = row3[p];
                }
            }
        }

        for (; i < count; i++)
        {
            float* row = source + (i * ld);
            float* target = panel + i;
            for (nint p = 0; p < k; p++, target += width)
            {
                *target = row[p];
            }
        }

        if (count < width)
        {
            float* target = panel;
            for (nint p = 0; p < k; p++, target += width)
            {
                new Span<float>(target + count, width - count).Clear();
            }
        }
    }

    [MethodImpl(MethodImplOptions.AggressiveInlining)]
    private static Vector128<float> InterleaveLow(Vector128<float> a, Vector128<float> b) =>
        Sse.IsSupported ? Sse.UnpackLow(a, b) : AdvSimd.Arm64.ZipLow(a, b);

    [MethodImpl(MethodImplOptions.AggressiveInlining)]
    private static Vector128<float> InterleaveHigh(Vector128<float> a, Vector128<float> b) =>
        Sse.IsSupported ? Sse.UnpackHigh(a, b) : AdvSimd.Arm64.ZipHigh(a, b);
}
