using System.Diagnostics;
using System.Runtime.CompilerServices;
using System.Runtime.Intrinsics;
using System.Runtime.Intrinsics.Arm;
using System.Runtime.Intrinsics.X86;

namespace Loci.Numerics.Kernels;

internal static unsafe partial class MatrixProduct
{
    /// <summary>Floats of the vector that the kernels use on this machine.</summary>
    private static int VectorWidth
    {
        [MethodImpl(MethodImplOptions.AggressiveInlining)]
        get => Vector512.IsHardwareAccelerated ? 16 : Vector256.IsHardwareAccelerated ? 8 : 4;
    }

    /// <summary>Rows of the largest tile.</summary>
    private static int TileRows
    {
        [MethodImpl(MethodImplOptions.AggressiveInlining)]
        get => Vector512.IsHardwareAccelerated ? 12 : 6;
    }

    /// <summary>Columns of the largest tile: two vectors.</summary>
    private static int TileColumns
    {
        [MethodImpl(MethodImplOptions.AggressiveInlining)]
        get => 2 * VectorWidth;
    }

    /// <summary>Width of the panel, and of the tiles, that begins where <paramref name="remaining"/> columns are left.</summary>
    [MethodImpl(MethodImplOptions.AggressiveInlining)]
    private static int PanelWidth(nint remaining) => remaining > VectorWidth ? TileColumns : VectorWidth;

    // One step of every sum in this class. Machines without a fused instruction multiply, round and add;
    // all paths share the choice, so that an element has the same bits wherever it is computed. The condition is spelled out
    // each time because only then is the other call gone before it can keep the operands out of registers.
    [MethodImpl(MethodImplOptions.AggressiveInlining)]
    private static Vector512<float> MultiplyAdd(Vector512<float> a, Vector512<float> b, Vector512<float> c) =>
        Vector512.FusedMultiplyAdd(a, b, c);

    [MethodImpl(MethodImplOptions.AggressiveInlining)]
    private static Vector256<float> MultiplyAdd(Vector256<float> a, Vector256<float> b, Vector256<float> c) =>
        Fma.IsSupported || AdvSimd.IsSupported ? Vector256.FusedMultiplyAdd(a, b, c) : (a * b) + c;

    [MethodImpl(MethodImplOptions.AggressiveInlining)]
    private static Vector128<float> MultiplyAdd(Vector128<float> a, Vector128<float> b, Vector128<float> c) =>
        Fma.IsSupported || AdvSimd.IsSupported ? Vector128.FusedMultiplyAdd(a, b, c) : (a * b) + c;

    [MethodImpl(MethodImplOptions.AggressiveInlining)]
    private static float MultiplyAdd(float a, float b, float c) =>
        Fma.IsSupported || AdvSimd.IsSupported ? MathF.FusedMultiplyAdd(a, b, c) : (a * b) + c;

    /// <summary>
    /// Computes a tile whose b panel holds <see cref="PanelWidth"/>(columns) readable columns;
    /// C beyond <paramref name="columns"/> is left alone.
    /// </summary>
    private static void ComputeTile(
        int rows, int columns, nint k, float* a, nint aRow, nint aStep, float* b, nint bStep, float* c, nint ldc, bool accumulate)
    {
        if (columns == TileColumns)
        {
            ComputeTile<TwoVectors>(rows, k, a, aRow, aStep, b, bStep, c, ldc, accumulate);
        }
        else if (columns == VectorWidth)
        {
            ComputeTile<OneVector>(rows, k, a, aRow, aStep, b, bStep, c, ldc, accumulate);
        }
        else
        {
            ComputeEdgeTile(rows, columns, k, a, aRow, aStep, b, bStep, c, ldc, accumulate);
        }
    }

    [SkipLocalsInit]
    private static void ComputeEdgeTile(
        int rows, int columns, nint k, float* a, nint aRow, nint aStep, float* b, nint bStep, float* c, nint ldc, bool accumulate)
    {
        int width = PanelWidth(columns);
        float* tile = stackalloc float[TileRows * TileColumns];
        if (accumulate)
        {
            for (int i = 0; i < rows; i++)
            {
                float* row = tile + (i * width);
                for (int j = 0; j < columns; j++)
                {
                    row[j] = c[(i * ldc) + j];
                }

                new Span<float>(row + columns, width - columns).Clear();
            }
        }

        if (width == TileColumns)
        {
            ComputeTile<TwoVectors>(rows, k, a, aRow, aStep, b, bStep, tile, width, accumulate);
        }
        else
        {
            ComputeTile<OneVector>(rows, k, a, aRow, aStep, b, bStep, tile, width, accumulate);
        }

        for (int i = 0; i < rows; i++)
        {
            float* row = tile + (i * width);
            for (int j = 0; j < columns; j++)
            {
                c[(i * ldc) + j] = row[j];
            }
        }
    }

    private static void ComputeTile<TColumns>(
        int rows, nint k, float* a, nint aRow, nint aStep, float* b, nint bStep, float* c, nint ldc, bool accumulate)
        where TColumns : struct, ITileColumns
    {
        Debug.Assert(k > 0 && rows >= 1 && rows <= TileRows);
        if (Vector512.IsHardwareAccelerated)
        {
            switch (rows)
            {
                case 1: Tile512<Rows1, TColumns>(k, a, aRow, aStep, b, bStep, c, ldc, accumulate); break;
                case 2: Tile512<Rows2, TColumns>(k, a, aRow, aStep, b, bStep, c, ldc, accumulate); break;
                case 3: Tile512<Rows3, TColumns>(k, a, aRow, aStep, b, bStep, c, ldc, accumulate); break;
                case 4: Tile512<Rows4, TColumns>(k, a, aRow, aStep, b, bStep, c, ldc, accumulate); break;
                case 5: Tile512<Rows5, TColumns>(k, a, aRow, aStep, b, bStep, c, ldc, accumulate); break;
                case 6: Tile512<Rows6, TColumns>(k, a, aRow, aStep, b, bStep, c, ldc, accumulate); break;
                case 7: Tile512<Rows7, TColumns>(k, a, aRow, aStep, b, bStep, c, ldc, accumulate); break;
                case 8: Tile512<Rows8, TColumns>(k, a, aRow, aStep, b, bStep, c, ldc, accumulate); break;
                case 9: Tile512<Rows9, TColumns>(k, a, aRow, aStep, b, bStep, c, ldc, accumulate); break;
                case 10: Tile512<Rows10, TColumns>(k, a, aRow, aStep, b, bStep, c, ldc, accumulate); break;
                case 11: Tile512<Rows11, TColumns>(k, a, aRow, aStep, b, bStep, c, ldc, accumulate); break;
                default: Tile512<Rows12, TColumns>(k, a, aRow, aStep, b, bStep, c, ldc, accumulate); break;
            }
        }
        else if (Vector256.IsHardwareAccelerated)
        {
            switch (rows)
            {
                case 1: Tile256<Rows1, TColumns>(k, a, aRow, aStep, b, bStep, c, ldc, accumulate); break;
                case 2: Tile256<Rows2, TColumns>(k, a, aRow, aStep, b, bStep, c, ldc, accumulate); break;
                case 3: Tile256<Rows3, TColumns>(k, a, aRow, aStep, b, bStep, c, ldc, accumulate); break;
                case 4: Tile256<Rows4, TColumns>(k, a, aRow, aStep, b, bStep, c, ldc, accumulate); break;
                case 5: Tile256<Rows5, TColumns>(k, a, aRow, aStep, b, bStep, c, ldc, accumulate); break;
                default: Tile256<Rows6, TColumns>(k, a, aRow, aStep, b, bStep, c, ldc, accumulate); break;
            }
        }
        else if (Vector128.IsHardwareAccelerated)
        {
            switch (rows)
            {
                case 1: Tile128<Rows1, TColumns>(k, a, aRow, aStep, b, bStep, c, ldc, accumulate); break;
                case 2: Tile128<Rows2, TColumns>(k, a, aRow, aStep, b, bStep, c, ldc, accumulate); break;
                case 3: Tile128<Rows3, TColumns>(k, a, aRow, aStep, b, bStep, c, ldc, accumulate); break;
                case 4: Tile128<Rows4, TColumns>(k, a, aRow, aStep, b, bStep, c, ldc, accumulate); break;
                case 5: Tile128<Rows5, TColumns>(k, a, aRow, aStep, b, bStep, c, ldc, accumulate); break;
                default: Tile128<Rows6, TColumns>(k, a, aRow, aStep, b, bStep, c, ldc, accumulate); break;
            }
        }
        else
        {
            TileScalar<TColumns>(rows, k, a, aRow, aStep, b, bStep, c, ldc, accumulate);
        }
    }

    private static void TileScalar<TColumns>(
        int rows, nint k, float* a, nint aRow, nint aStep, float* b, nint bStep, float* c, nint ldc, bool accumulate)
        where TColumns : struct, ITileColumns
    {
        for (int i = 0; i < rows; i++)
        {
            for (int j = 0; j < (TColumns.Two ? 8 : 4); j += 4)
            {
                float* row = c + (i * ldc) + j;
                float c0 = 0, c1 = 0, c2 = 0, c3 = 0;
                if (accumulate)
                {
                    (c0, c1, c2, c3) = (row[0], row[1], row[2], row[3]);
                }

                float* ai = a + (i * aRow);
                float* bj = b + j;
                for (nint p = 0; p < k; p++, ai += aStep, bj += bStep)
                {
                    c0 = MultiplyAdd(*ai, bj[0], c0);
                    c1 = MultiplyAdd(*ai, bj[1], c1);
                    c2 = MultiplyAdd(*ai, bj[2], c2);
                    c3 = MultiplyAdd(*ai, bj[3], c3);
                }

                (row[0], row[1], row[2], row[3]) = (c0, c1, c2, c3);
            }
        }
    }

    /// <summary>Number of rows of a tile, known when the kernel is compiled.</summary>
    private interface ITileRows
    {
        static abstract int Count { get; }
    }

    /// <summary>Whether a tile has two vectors of columns or one, known when the kernel is compiled.</summary>
    private interface ITileColumns
    {
        static abstract bool Two { get; }
    }

    private readonly struct Rows1 : ITileRows
    {
        public static int Count => 1;
    }

    private readonly struct Rows2 : ITileRows
    {
        public static int Count => 2;
    }

    private readonly struct Rows3 : ITileRows
    {
        public static int Count => 3;
    }

    private readonly struct Rows4 : ITileRows
    {
        public static int Count => 4;
    }

    private readonly struct Rows5 : ITileRows
    {
        public static int Count => 5;
    }

    private readonly struct Rows6 : ITileRows
    {
        public static int Count => 6;
    }

    private readonly struct Rows7 : ITileRows
    {
        public static int Count => 7;
    }

    private readonly struct Rows8 : ITileRows
    {
        public static int Count => 8;
    }

    private readonly struct Rows9 : ITileRows
    {
        public static int Count => 9;
    }

    private readonly struct Rows10 : ITileRows
    {
        public static int Count => 10;
    }

    private readonly struct Rows11 : ITileRows
    {
        public static int Count => 11;
    }

    private readonly struct Rows12 : ITileRows
    {
        public static int Count => 12;
    }

    private readonly struct OneVector : ITileColumns
    {
        public static bool Two => false;
    }

    private readonly struct TwoVectors : ITileColumns
    {
        public static bool Two => true;
    }
}
