using System.Runtime.CompilerServices;
using System.Runtime.Intrinsics;

namespace Loci.Numerics.Kernels;

internal static unsafe partial class MatrixProduct
{
    /// <summary>
    /// One tile of <typeparamref name="TRows"/> rows and one or two Vector128 of columns:
    /// C[i, j] = (accumulate ? C[i, j] : 0) + sum over k of A[i, k] B[k, j], k increasing, one fused step each.
    /// </summary>
    /// <remarks>
    /// A[i, k] is read at a[i * aRow + k * aStep] and B[k, ...] at b[k * bStep], so packed panels and
    /// unpacked operands run through the same code. Branches on TRows and TColumns are resolved when the
    /// kernel is compiled; the largest form keeps all its 12 accumulators in registers.
    /// </remarks>
    [SkipLocalsInit]
    [MethodImpl(MethodImplOptions.AggressiveOptimization)]
    private static void Tile128<TRows, TColumns>(
        nint k, float* a, nint aRow, nint aStep, float* b, nint bStep, float* c, nint ldc, bool accumulate)
        where TRows : struct, ITileRows
        where TColumns : struct, ITileColumns
    {
        Vector128<float> c0l = Vector128<float>.Zero, c0r = Vector128<float>.Zero;
        Vector128<float> c1l = Vector128<float>.Zero, c1r = Vector128<float>.Zero;
        Vector128<float> c2l = Vector128<float>.Zero, c2r = Vector128<float>.Zero;
        Vector128<float> c3l = Vector128<float>.Zero, c3r = Vector128<float>.Zero;
        Vector128<float> c4l = Vector128<float>.Zero, c4r = Vector128<float>.Zero;
        Vector128<float> c5l = Vector128<float>.Zero, c5r = Vector128<float>.Zero;

        if (accumulate)
        {
            float* row = c;
            c0l = Vector128.Load(row);
            c0r = TColumns.Two ? Vector128.Load(row + 4) : c0r;
            if (TRows.Count > 1)
            {
                row += ldc;
                c1l = Vector128.Load(row);
                c1r = TColumns.Two ? Vector128.Load(row + 4) : c1r;
            }

            if (TRows.Count > 2)
            {
                row += ldc;
                c2l = Vector128.Load(row);
                c2r = TColumns.Two ? Vector128.Load(row + 4) : c2r;
            }

            if (TRows.Count > 3)
            {
                row += ldc;
                c3l = Vector128.Load(row);
                c3r = TColumns.Two ? Vector128.Load(row + 4) : c3r;
            }

            if (TRows.Count > 4)
            {
                row += ldc;
                c4l = Vector128.Load(row);
                c4r = TColumns.Two ? Vector128.Load(row + 4) : c4r;
            }

            if (TRows.Count > 5)
            {
                row += ldc;
                c5l = Vector128.Load(row);
                c5r = TColumns.Two ? Vector128.Load(row + 4) : c5r;
            }
        }

        // Three rows share a pointer: base, base + aRow, base + 2 aRow.
        nint aRow2 = 2 * aRow;
        float* a1 = a + 3 * aRow;
        do
        {
            Vector128<float> bl = Vector128.Load(b);
            Vector128<float> br = TColumns.Two ? Vector128.Load(b + 4) : bl;

            Vector128<float> ai = Vector128.Create(a[0]);
            c0l = MultiplyAdd(ai, bl, c0l);
            if (TColumns.Two)
            {
                c0r = MultiplyAdd(ai, br, c0r);
            }

            if (TRows.Count > 1)
            {
                ai = Vector128.Create(a[aRow]);
                c1l = MultiplyAdd(ai, bl, c1l);
                if (TColumns.Two)
                {
                    c1r = MultiplyAdd(ai, br, c1r);
                }
            }

            if (TRows.Count > 2)
            {
                ai = Vector128.Create(a[aRow2]);
                c2l = MultiplyAdd(ai, bl, c2l);
                if (TColumns.Two)
                {
                    c2r = MultiplyAdd(ai, br, c2r);
                }
            }

            if (TRows.Count > 3)
            {
                ai = Vector128.Create(a1[0]);
                c3l = MultiplyAdd(ai, bl, c3l);
                if (TColumns.Two)
                {
                    c3r = MultiplyAdd(ai, br, c3r);
                }
            }

            if (TRows.Count > 4)
            {
                ai = Vector128.Create(a1[aRow]);
                c4l = MultiplyAdd(ai, bl, c4l);
                if (TColumns.Two)
                {
                    c4r = MultiplyAdd(ai, br, c4r);
                }
            }

            if (TRows.Count > 5)
            {
                ai = Vector128.Create(a1[aRow2]);
                c5l = MultiplyAdd(ai, bl, c5l);
                if (TColumns.Two)
                {
                    c5r = MultiplyAdd(ai, br, c5r);
                }
            }

            a += aStep;
            a1 += aStep;
            b += bStep;
        }
        while (--k > 0);

        c0l.Store(c);
        if (TColumns.Two)
        {
            c0r.Store(c + 4);
        }

        if (TRows.Count > 1)
        {
            c += ldc;
            c1l.Store(c);
            if (TColumns.Two)
            {
                c1r.Store(c + 4);
            }
        }

        if (TRows.Count > 2)
        {
            c += ldc;
            c2l.Store(c);
            if (TColumns.Two)
            {
                c2r.Store(c + 4);
            }
        }

        if (TRows.Count > 3)
        {
            c += ldc;
            c3l.Store(c);
            if (TColumns.Two)
            {
                c3r.Store(c + 4);
            }
        }

        if (TRows.Count > 4)
        {
            c += ldc;
            c4l.Store(c);
            if (TColumns.Two)
            {
                c4r.Store(c + 4);
            }
        }

        if (TRows.Count > 5)
        {
            c += ldc;
            c5l.Store(c);
            if (TColumns.Two)
            {
                c5r.Store(c + 4);
            }
        }
    }
}
