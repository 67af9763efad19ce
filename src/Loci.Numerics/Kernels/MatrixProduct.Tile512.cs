using System.Runtime.CompilerServices;
using System.Runtime.Intrinsics;

namespace Loci.Numerics.Kernels;

internal static unsafe partial class MatrixProduct
{
    /// <summary>
    /// One tile of <typeparamref name="TRows"/> rows and one or two Vector512 of columns:
    /// C[i, j] = (accumulate ? C[i, j] : 0) + sum over k of A[i, k] B[k, j], k increasing, one fused step each.
    /// </summary>
    /// <remarks>
    /// A[i, k] is read at a[i * aRow + k * aStep] and B[k, ...] at b[k * bStep], so packed panels and
    /// unpacked operands run through the same code. Branches on TRows and TColumns are resolved when the
    /// kernel is compiled; the largest form keeps all its 24 accumulators in registers.
    /// </remarks>
    [SkipLocalsInit]
    [MethodImpl(MethodImplOptions.AggressiveOptimization)]
    private static void Tile512<TRows, TColumns>(
        nint k, float* a, nint aRow, nint aStep, float* b, nint bStep, float* c, nint ldc, bool accumulate)
        where TRows : struct, ITileRows
        where TColumns : struct, ITileColumns
    {
        Vector512<float> c0l = Vector512<float>.Zero, c0r = Vector512<float>.Zero;
        Vector512<float> c1l = Vector512<float>.Zero, c1r = Vector512<float>.Zero;
        Vector512<float> c2l = Vector512<float>.Zero, c2r = Vector512<float>.Zero;
        Vector512<float> c3l = Vector512<float>.Zero, c3r = Vector512<float>.Zero;
        Vector512<float> c4l = Vector512<float>.Zero, c4r = Vector512<float>.Zero;
        Vector512<float> c5l = Vector512<float>.Zero, c5r = Vector512<float>.Zero;
        Vector512<float> c6l = Vector512<float>.Zero, c6r = Vector512<float>.Zero;
        Vector512<float> c7l = Vector512<float>.Zero, c7r = Vector512<float>.Zero;
        Vector512<float> c8l = Vector512<float>.Zero, c8r = Vector512<float>.Zero;
        Vector512<float> c9l = Vector512<float>.Zero, c9r = Vector512<float>.Zero;
        Vector512<float> c10l = Vector512<float>.Zero, c10r = Vector512<float>.Zero;
        Vector512<float> c11l = Vector512<float>.Zero, c11r = Vector512<float>.Zero;

        if (accumulate)
        {
            float* row = c;
            c0l = Vector512.Load(row);
            c0r = TColumns.Two ? Vector512.Load(row + 16) : c0r;
            if (TRows.Count > 1)
            {
                row += ldc;
                c1l = Vector512.Load(row);
                c1r = TColumns.Two ? Vector512.Load(row + 16) : c1r;
            }

            if (TRows.Count > 2)
            {
                row += ldc;
                c2l = Vector512.Load(row);
                c2r = TColumns.Two ? Vector512.Load(row + 16) : c2r;
            }

            if (TRows.Count > 3)
            {
                row += ldc;
                c3l = Vector512.Load(row);
                c3r = TColumns.Two ? Vector512.Load(row + 16) : c3r;
            }

            if (TRows.Count > 4)
            {
                row += ldc;
                c4l = Vector512.Load(row);
                c4r = TColumns.Two ? Vector512.Load(row + 16) : c4r;
            }

            if (TRows.Count > 5)
            {
                row += ldc;
                c5l = Vector512.Load(row);
                c5r = TColumns.Two ? Vector512.Load(row + 16) : c5r;
            }

            if (TRows.Count > 6)
            {
                row += ldc;
                c6l = Vector512.Load(row);
                c6r = TColumns.Two ? Vector512.Load(row + 16) : c6r;
            }

            if (TRows.Count > 7)
            {
                row += ldc;
                c7l = Vector512.Load(row);
                c7r = TColumns.Two ? Vector512.Load(row + 16) : c7r;
            }

            if (TRows.Count > 8)
            {
                row += ldc;
                c8l = Vector512.Load(row);
                c8r = TColumns.Two ? Vector512.Load(row + 16) : c8r;
            }

            if (TRows.Count > 9)
            {
                row += ldc;
                c9l = Vector512.Load(row);
                c9r = TColumns.Two ? Vector512.Load(row + 16) : c9r;
            }

            if (TRows.Count > 10)
            {
                row += ldc;
                c10l = Vector512.Load(row);
                c10r = TColumns.Two ? Vector512.Load(row + 16) : c10r;
            }

            if (TRows.Count > 11)
            {
                row += ldc;
                c11l = Vector512.Load(row);
                c11r = TColumns.Two ? Vector512.Load(row + 16) : c11r;
            }
        }

        // Three rows share a pointer: base, base + aRow, base + 2 aRow.
        nint aRow2 = 2 * aRow;
        float* a1 = a + 3 * aRow;
        float* a2 = a + 6 * aRow;
        float* a3 = a + 9 * aRow;
        do
        {
            Vector512<float> bl = Vector512.Load(b);
            Vector512<float> br = TColumns.Two ? Vector512.Load(b + 16) : bl;

            Vector512<float> ai = Vector512.Create(a[0]);
            c0l = MultiplyAdd(ai, bl, c0l);
            if (TColumns.Two)
            {
                c0r = MultiplyAdd(ai, br, c0r);
            }

            if (TRows.Count > 1)
            {
                ai = Vector512.Create(a[aRow]);
                c1l = MultiplyAdd(ai, bl, c1l);
                if (TColumns.Two)
                {
                    c1r = MultiplyAdd(ai, br, c1r);
                }
            }

            if (TRows.Count > 2)
            {
                ai = Vector512.Create(a[aRow2]);
                c2l = MultiplyAdd(ai, bl, c2l);
                if (TColumns.Two)
                {
                    c2r = MultiplyAdd(ai, br, c2r);
                }
            }

            if (TRows.Count > 3)
            {
                ai = Vector512.Create(a1[0]);
                c3l = MultiplyAdd(ai, bl, c3l);
                if (TColumns.Two)
                {
                    c3r = MultiplyAdd(ai, br, c3r);
                }
            }

            if (TRows.Count > 4)
            {
                ai = Vector512.Create(a1[aRow]);
                c4l = MultiplyAdd(ai, bl, c4l);
                if (TColumns.Two)
                {
                    c4r = MultiplyAdd(ai, br, c4r);
                }
            }

            if (TRows.Count > 5)
            {
                ai = Vector512.Create(a1[aRow2]);
                c5l = MultiplyAdd(ai, bl, c5l);
                if (TColumns.Two)
                {
                    c5r = MultiplyAdd(ai, br, c5r);
                }
            }

            if (TRows.Count > 6)
            {
                ai = Vector512.Create(a2[0]);
                c6l = MultiplyAdd(ai, bl, c6l);
                if (TColumns.Two)
                {
                    c6r = MultiplyAdd(ai, br, c6r);
                }
            }

            if (TRows.Count > 7)
            {
                ai = Vector512.Create(a2[aRow]);
                c7l = MultiplyAdd(ai, bl, c7l);
                if (TColumns.Two)
                {
                    c7r = MultiplyAdd(ai, br, c7r);
                }
            }

            if (TRows.Count > 8)
            {
                ai = Vector512.Create(a2[aRow2]);
                c8l = MultiplyAdd(ai, bl, c8l);
                if (TColumns.Two)
                {
                    c8r = MultiplyAdd(ai, br, c8r);
                }
            }

            if (TRows.Count > 9)
            {
                ai = Vector512.Create(a3[0]);
                c9l = MultiplyAdd(ai, bl, c9l);
                if (TColumns.Two)
                {
                    c9r = MultiplyAdd(ai, br, c9r);
                }
            }

            if (TRows.Count > 10)
            {
                ai = Vector512.Create(a3[aRow]);
                c10l = MultiplyAdd(ai, bl, c10l);
                if (TColumns.Two)
                {
                    c10r = MultiplyAdd(ai, br, c10r);
                }
            }

            if (TRows.Count > 11)
            {
                ai = Vector512.Create(a3[aRow2]);
                c11l = MultiplyAdd(ai, bl, c11l);
                if (TColumns.Two)
                {
                    c11r = MultiplyAdd(ai, br, c11r);
                }
            }

            a += aStep;
            a1 += aStep;
            a2 += aStep;
            a3 += aStep;
            b += bStep;
        }
        while (--k > 0);

        c0l.Store(c);
        if (TColumns.Two)
        {
            c0r.Store(c + 16);
        }

        if (TRows.Count > 1)
        {
            c += ldc;
            c1l.Store(c);
            if (TColumns.Two)
            {
                c1r.Store(c + 16);
            }
        }

        if (TRows.Count > 2)
        {
            c += ldc;
            c2l.Store(c);
            if (TColumns.Two)
            {
                c2r.Store(c + 16);
            }
        }

        if (TRows.Count > 3)
        {
            c += ldc;
            c3l.Store(c);
            if (TColumns.Two)
            {
                c3r.Store(c + 16);
            }
        }

        if (TRows.Count > 4)
        {
            c += ldc;
            c4l.Store(c);
            if (TColumns.Two)
            {
                c4r.Store(c + 16);
            }
        }

        if (TRows.Count > 5)
        {
            c += ldc;
            c5l.Store(c);
            if (TColumns.Two)
            {
                c5r.Store(c + 16);
            }
        }

        if (TRows.Count > 6)
        {
            c += ldc;
            c6l.Store(c);
            if (TColumns.Two)
            {
                c6r.Store(c + 16);
            }
        }

        if (TRows.Count > 7)
        {
            c += ldc;
            c7l.Store(c);
            if (TColumns.Two)
            {
                c7r.Store(c + 16);
            }
        }

        if (TRows.Count > 8)
        {
            c += ldc;
            c8l.Store(c);
            if (TColumns.Two)
            {
                c8r.Store(c + 16);
            }
        }

        if (TRows.Count > 9)
        {
            c += ldc;
            c9l.Store(c);
            if (TColumns.Two)
            {
                c9r.Store(c + 16);
            }
        }

        if (TRows.Count > 10)
        {
            c += ldc;
            c10l.Store(c);
            if (TColumns.Two)
            {
                c10r.Store(c + 16);
            }
        }

        if (TRows.Count > 11)
        {
            c += ldc;
            c11l.Store(c);
            if (TColumns.Two)
            {
                c11r.Store(c + 16);
            }
        }
    }
}
