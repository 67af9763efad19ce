using System.Runtime.CompilerServices;
using System.Runtime.Intrinsics;
using System.Runtime.Intrinsics.X86;

namespace Loci.Numerics.Kernels;

internal static unsafe partial class MatrixProduct
{
    // Rows up to which B is read as it is stored; from more on, packing it once for all of them is faster.
    private const int FewRows = 8;

    /// <summary>Whether <see cref="MultiplyFewRows"/> computes a product: a few rows times weights as they are stored, [n, k].</summary>
    private static bool HasFewRows(in Product product) =>
        Avx512F.IsSupported && product.TransposeB && product.M <= FewRows && (!product.TransposeA || (product.M == 1 && product.Lda == 1));

    /// <summary>
    /// C = A B^T for a few rows A and B as stored [n, k]: sixteen rows of B side by side, transposed in registers by squares of sixteen, so that each
    /// element is still one chain over increasing k. Bound by the memory that B comes from.
    /// </summary>
    [SkipLocalsInit]
    [MethodImpl(MethodImplOptions.AggressiveOptimization)]
    private static void MultiplyFewRows(in Product product)
    {
        (int m, int n, nint k) = (product.M, product.N, product.K);
        nint lda = product.Lda, ldb = product.Ldb;
        nint squares = k & ~15;
        float* a = product.A;
        float* end = product.B + (n * ldb);
        float** rows = stackalloc float*[16];
        float* edge = stackalloc float[FewRows * 16];
        for (int j = 0; j < n; j += 16)
        {
            int columns = Math.Min(16, n - j);
            float* b = product.B + (j * ldb);
            for (int row = 0; row < 16; row++)
            {
                // Rows beyond the last repeat it; what they give goes nowhere.
                rows[row] = b + (Math.Min(row, columns - 1) * ldb);
            }

            float* c = columns == 16 ? product.C + j : edge;
            nint ldc = columns == 16 ? product.Ldc : 16;
            for (int i = 0; i < m; i++)
            {
                if (!product.Accumulate)
                {
                    Vector512<float>.Zero.Store(c + (i * ldc));
                }
                else if (c == edge)
                {
                    Vector512<float>.Zero.Store(c + (i * ldc));
                    new ReadOnlySpan<float>(product.C + (i * product.Ldc) + j, columns).CopyTo(new Span<float>(c + (i * ldc), columns));
                }
            }

            float* ahead = b + (16 * ldb);
            for (nint p = 0; p < squares; p += 16)
            {
                // The next sixteen rows, in the order of memory: sixteen streams at once are too many for the processor to foresee.
                if (ahead < end)
                {
                    for (int line = 0; line < 256; line += 16)
                    {
                        Sse.Prefetch1(ahead + line);
                    }

                    ahead += 256;
                }

                var (a0, a1, a2, a3) = TransposeSquares(rows, p);
                var (b0, b1, b2, b3) = TransposeSquares(rows + 4, p);
                var (c0, c1, c2, c3) = TransposeSquares(rows + 8, p);
                var (d0, d1, d2, d3) = TransposeSquares(rows + 12, p);
                (a0, b0, c0, d0) = TransposeLanes(a0, b0, c0, d0);
                (a1, b1, c1, d1) = TransposeLanes(a1, b1, c1, d1);
                (a2, b2, c2, d2) = TransposeLanes(a2, b2, c2, d2);
                (a3, b3, c3, d3) = TransposeLanes(a3, b3, c3, d3);
                for (int i = 0; i < m; i++)
                {
                    float* x = a + (i * lda) + p;
                    float* y = c + (i * ldc);
                    Vector512<float> sum = Vector512.Load(y);
                    sum = MultiplyAdd(Vector512.Create(x[0]), a0, sum);
                    sum = MultiplyAdd(Vector512.Create(x[1]), a1, sum);
                    sum = MultiplyAdd(Vector512.Create(x[2]), a2, sum);
                    sum = MultiplyAdd(Vector512.Create(x[3]), a3, sum);
                    sum = MultiplyAdd(Vector512.Create(x[4]), b0, sum);
                    sum = MultiplyAdd(Vector512.Create(x[5]), b1, sum);
                    sum = MultiplyAdd(Vector512.Create(x[6]), b2, sum);
                    sum = MultiplyAdd(Vector512.Create(x[7]), b3, sum);
                    sum = MultiplyAdd(Vector512.Create(x[8]), c0, sum);
                    sum = MultiplyAdd(Vector512.Create(x[9]), c1, sum);
                    sum = MultiplyAdd(Vector512.Create(x[10]), c2, sum);
                    sum = MultiplyAdd(Vector512.Create(x[11]), c3, sum);
                    sum = MultiplyAdd(Vector512.Create(x[12]), d0, sum);
                    sum = MultiplyAdd(Vector512.Create(x[13]), d1, sum);
                    sum = MultiplyAdd(Vector512.Create(x[14]), d2, sum);
                    sum = MultiplyAdd(Vector512.Create(x[15]), d3, sum);
                    sum.Store(y);
                }
            }

            for (int i = 0; squares < k && i < m; i++)
            {
                for (int column = 0; column < columns; column++)
                {
                    float sum = c[(i * ldc) + column];
                    for (nint p = squares; p < k; p++)
                    {
                        sum = MultiplyAdd(a[(i * lda) + p], rows[column][p], sum);
                    }

                    c[(i * ldc) + column] = sum;
                }
            }

            for (int i = 0; c == edge && i < m; i++)
            {
                new ReadOnlySpan<float>(c + (i * ldc), columns).CopyTo(new Span<float>(product.C + (i * product.Ldc) + j, columns));
            }
        }
    }

    /// <summary>Four rows of sixteen floats as four squares: result i holds columns i, 4 + i, 8 + i and 12 + i of the four rows.</summary>
    [MethodImpl(MethodImplOptions.AggressiveInlining)]
    private static (Vector512<float> S0, Vector512<float> S1, Vector512<float> S2, Vector512<float> S3) TransposeSquares(float** rows, nint p)
    {
        Vector512<float> r0 = Vector512.Load(rows[0] + p);
        Vector512<float> r1 = Vector512.Load(rows[1] + p);
        Vector512<float> r2 = Vector512.Load(rows[2] + p);
        Vector512<float> r3 = Vector512.Load(rows[3] + p);
        Vector512<float> low02 = Avx512F.UnpackLow(r0, r2);
        Vector512<float> low13 = Avx512F.UnpackLow(r1, r3);
        Vector512<float> high02 = Avx512F.UnpackHigh(r0, r2);
        Vector512<float> high13 = Avx512F.UnpackHigh(r1, r3);
        return (Avx512F.UnpackLow(low02, low13), Avx512F.UnpackHigh(low02, low13), Avx512F.UnpackLow(high02, high13), Avx512F.UnpackHigh(high02, high13));
    }

    /// <summary>Quarters as a matrix of four by four, transposed: result i holds quarter i of each argument.</summary>
    [MethodImpl(MethodImplOptions.AggressiveInlining)]
    private static (Vector512<float> Q0, Vector512<float> Q1, Vector512<float> Q2, Vector512<float> Q3) TransposeLanes(
        Vector512<float> a, Vector512<float> b, Vector512<float> c, Vector512<float> d)
    {
        Vector512<float> ab01 = Avx512F.Shuffle4x128(a, b, 0x44);
        Vector512<float> cd01 = Avx512F.Shuffle4x128(c, d, 0x44);
        Vector512<float> ab23 = Avx512F.Shuffle4x128(a, b, 0xEE);
        Vector512<float> cd23 = Avx512F.Shuffle4x128(c, d, 0xEE);
        return (
            Avx512F.Shuffle4x128(ab01, cd01, 0x88), Avx512F.Shuffle4x128(ab01, cd01, 0xDD),
            Avx512F.Shuffle4x128(ab23, cd23, 0x88), Avx512F.Shuffle4x128(ab23, cd23, 0xDD));
    }
}
