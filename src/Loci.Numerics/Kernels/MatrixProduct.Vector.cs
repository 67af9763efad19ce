using System.Runtime.CompilerServices;
using System.Runtime.Intrinsics;
using System.Runtime.Intrinsics.Arm;
using System.Runtime.Intrinsics.X86;

namespace Loci.Numerics.Kernels;

internal static unsafe partial class MatrixProduct
{
    /// <summary>c = a B for one row a and B as stored [k, n]: streams eight rows of B at a time.</summary>
    [MethodImpl(MethodImplOptions.AggressiveOptimization)]
    private static void MultiplyRow(in Product product)
    {
        float* a = product.A;
        nint aStep = product.TransposeA ? product.Lda : 1;
        nint ldb = product.Ldb;
        float* b = product.B;
        int n = product.N;
        float* c = product.C;
        if (!product.Accumulate)
        {
            new Span<float>(c, n).Clear();
        }

        int p = 0;
        for (; p + 8 <= product.K; p += 8, a += 8 * aStep, b += 8 * ldb)
        {
            float* b2 = b + (2 * ldb);
            float* b4 = b + (4 * ldb);
            float* b6 = b + (6 * ldb);
            float a0 = a[0], a1 = a[aStep], a2 = a[2 * aStep], a3 = a[3 * aStep];
            float a4 = a[4 * aStep], a5 = a[5 * aStep], a6 = a[6 * aStep], a7 = a[7 * aStep];
            int j = 0;
            if (Vector512.IsHardwareAccelerated)
            {
                for (; j + 16 <= n; j += 16)
                {
                    Vector512<float> sum = Vector512.Load(c + j);
                    sum = MultiplyAdd(Vector512.Create(a0), Vector512.Load(b + j), sum);
                    sum = MultiplyAdd(Vector512.Create(a1), Vector512.Load(b + ldb + j), sum);
                    sum = MultiplyAdd(Vector512.Create(a2), Vector512.Load(b2 + j), sum);
                    sum = MultiplyAdd(Vector512.Create(a3), Vector512.Load(b2 + ldb + j), sum);
                    sum = MultiplyAdd(Vector512.Create(a4), Vector512.Load(b4 + j), sum);
                    sum = MultiplyAdd(Vector512.Create(a5), Vector512.Load(b4 + ldb + j), sum);
                    sum = MultiplyAdd(Vector512.Create(a6), Vector512.Load(b6 + j), sum);
                    sum = MultiplyAdd(Vector512.Create(a7), Vector512.Load(b6 + ldb + j), sum);
                    sum.Store(c + j);
                }
            }

            if (Vector256.IsHardwareAccelerated)
            {
                for (; j + 8 <= n; j += 8)
                {
                    Vector256<float> sum = Vector256.Load(c + j);
                    sum = MultiplyAdd(Vector256.Create(a0), Vector256.Load(b + j), sum);
                    sum = MultiplyAdd(Vector256.Create(a1), Vector256.Load(b + ldb + j), sum);
                    sum = MultiplyAdd(Vector256.Create(a2), Vector256.Load(b2 + j), sum);
                    sum = MultiplyAdd(Vector256.Create(a3), Vector256.Load(b2 + ldb + j), sum);
                    sum = MultiplyAdd(Vector256.Create(a4), Vector256.Load(b4 + j), sum);
                    sum = MultiplyAdd(Vector256.Create(a5), Vector256.Load(b4 + ldb + j), sum);
                    sum = MultiplyAdd(Vector256.Create(a6), Vector256.Load(b6 + j), sum);
                    sum = MultiplyAdd(Vector256.Create(a7), Vector256.Load(b6 + ldb + j), sum);
                    sum.Store(c + j);
                }
            }

            if (Vector128.IsHardwareAccelerated)
            {
                for (; j + 4 <= n; j += 4)
                {
                    Vector128<float> sum = Vector128.Load(c + j);
                    sum = MultiplyAdd(Vector128.Create(a0), Vector128.Load(b + j), sum);
                    sum = MultiplyAdd(Vector128.Create(a1), Vector128.Load(b + ldb + j), sum);
                    sum = MultiplyAdd(Vector128.Create(a2), Vector128.Load(b2 + j), sum);
                    sum = MultiplyAdd(Vector128.Create(a3), Vector128.Load(b2 + ldb + j), sum);
                    sum = MultiplyAdd(Vector128.Create(a4), Vector128.Load(b4 + j), sum);
                    sum = MultiplyAdd(Vector128.Create(a5), Vector128.Load(b4 + ldb + j), sum);
                    sum = MultiplyAdd(Vector128.Create(a6), Vector128.Load(b6 + j), sum);
                    sum = MultiplyAdd(Vector128.Create(a7), Vector128.Load(b6 + ldb + j), sum);
                    sum.Store(c + j);
                }
            }

            for (; j < n; j++)
            {
                float sum = c[j];
                sum = MultiplyAdd(a0, b[j], sum);
                sum = MultiplyAdd(a1, b[ldb + j], sum);
                sum = MultiplyAdd(a2, b2[j], sum);
                sum = MultiplyAdd(a3, b2[ldb + j], sum);
                sum = MultiplyAdd(a4, b4[j], sum);
                sum = MultiplyAdd(a5, b4[ldb + j], sum);
                sum = MultiplyAdd(a6, b6[j], sum);
                c[j] = MultiplyAdd(a7, b6[ldb + j], sum);
            }
        }

        for (; p < product.K; p++, a += aStep, b += ldb)
        {
            int j = 0;
            if (Vector128.IsHardwareAccelerated)
            {
                Vector128<float> a0 = Vector128.Create(*a);
                for (; j + 4 <= n; j += 4)
                {
                    MultiplyAdd(a0, Vector128.Load(b + j), Vector128.Load(c + j)).Store(c + j);
                }
            }

            for (; j < n; j++)
            {
                c[j] = MultiplyAdd(*a, b[j], c[j]);
            }
        }
    }

    /// <summary>
    /// c = a B^T for one row a and B as stored [n, k]: reads sixteen rows of B side by side and transposes squares of four in
    /// registers, so that each element is still one chain over increasing k.
    /// </summary>
    [MethodImpl(MethodImplOptions.AggressiveOptimization)]
    private static void MultiplyRowTransposed(in Product product)
    {
        float* a = product.A;
        nint aStep = product.TransposeA ? product.Lda : 1;
        nint ldb = product.Ldb;
        float* b = product.B;
        float* c = product.C;
        int n = product.N;
        nint k = product.K;
        if (!product.Accumulate)
        {
            new Span<float>(c, n).Clear();
        }

        nint begun = 0;
        int j = 0;
        if (Sse.IsSupported || AdvSimd.Arm64.IsSupported)
        {
            begun = k & ~3;
            for (; j + 16 <= n; j += 16)
            {
                float* b0 = b + (j * ldb);
                float* b1 = b0 + (4 * ldb);
                float* b2 = b1 + (4 * ldb);
                float* b3 = b2 + (4 * ldb);
                Vector128<float> c0 = Vector128.Load(c + j);
                Vector128<float> c1 = Vector128.Load(c + j + 4);
                Vector128<float> c2 = Vector128.Load(c + j + 8);
                Vector128<float> c3 = Vector128.Load(c + j + 12);
                nint p = 0;
                float* ap = a;
                for (; p + 16 <= k; p += 16, ap += 16 * aStep)
                {
                    // A whole cache line of eight rows before the next eight: sixteen rows may share one set of eight lines.
                    MultiplyAddLines(ap, aStep, b0 + p, b1 + p, ldb, ref c0, ref c1);
                    MultiplyAddLines(ap, aStep, b2 + p, b3 + p, ldb, ref c2, ref c3);
                }

                for (; p < begun; p += 4, ap += 4 * aStep)
                {
                    c0 = MultiplyAddSquare(ap, aStep, b0 + p, ldb, c0);
                    c1 = MultiplyAddSquare(ap, aStep, b1 + p, ldb, c1);
                    c2 = MultiplyAddSquare(ap, aStep, b2 + p, ldb, c2);
                    c3 = MultiplyAddSquare(ap, aStep, b3 + p, ldb, c3);
                }

                c0.Store(c + j);
                c1.Store(c + j + 4);
                c2.Store(c + j + 8);
                c3.Store(c + j + 12);
            }

            for (; j + 4 <= n; j += 4)
            {
                float* b0 = b + (j * ldb);
                Vector128<float> c0 = Vector128.Load(c + j);
                float* ap = a;
                for (nint p = 0; p < begun; p += 4, ap += 4 * aStep)
                {
                    c0 = MultiplyAddSquare(ap, aStep, b0 + p, ldb, c0);
                }

                c0.Store(c + j);
            }
        }

        // The last steps of the rows above, and all steps of the rows below j.
        for (int row = begun < k ? 0 : j; row < n; row++)
        {
            float* bRow = b + (row * ldb);
            float sum = c[row];
            for (nint p = row < j ? begun : 0; p < k; p++)
            {
                sum = MultiplyAdd(a[p * aStep], bRow[p], sum);
            }

            c[row] = sum;
        }
    }

    /// <summary>Sixteen steps of twice four chains.</summary>
    [MethodImpl(MethodImplOptions.AggressiveInlining)]
    private static void MultiplyAddLines(
        float* a, nint aStep, float* b0, float* b1, nint ldb, ref Vector128<float> sums0, ref Vector128<float> sums1)
    {
        Vector128<float> c0 = sums0, c1 = sums1;
        c0 = MultiplyAddSquare(a, aStep, b0, ldb, c0);
        c1 = MultiplyAddSquare(a, aStep, b1, ldb, c1);
        a += 4 * aStep;
        c0 = MultiplyAddSquare(a, aStep, b0 + 4, ldb, c0);
        c1 = MultiplyAddSquare(a, aStep, b1 + 4, ldb, c1);
        a += 4 * aStep;
        c0 = MultiplyAddSquare(a, aStep, b0 + 8, ldb, c0);
        c1 = MultiplyAddSquare(a, aStep, b1 + 8, ldb, c1);
        a += 4 * aStep;
        sums0 = MultiplyAddSquare(a, aStep, b0 + 12, ldb, c0);
        sums1 = MultiplyAddSquare(a, aStep, b1 + 12, ldb, c1);
    }

    /// <summary>Four steps of four chains: sums[r] += a[0] b[r, 0], then a[1] b[r, 1], a[2] b[r, 2], a[3] b[r, 3].</summary>
    [MethodImpl(MethodImplOptions.AggressiveInlining)]
    private static Vector128<float> MultiplyAddSquare(float* a, nint aStep, float* b, nint ldb, Vector128<float> sums)
    {
        Vector128<float> r0 = Vector128.Load(b);
        Vector128<float> r1 = Vector128.Load(b + ldb);
        Vector128<float> r2 = Vector128.Load(b + (2 * ldb));
        Vector128<float> r3 = Vector128.Load(b + (3 * ldb));
        Vector128<float> low02 = InterleaveLow(r0, r2);
        Vector128<float> low13 = InterleaveLow(r1, r3);
        Vector128<float> high02 = InterleaveHigh(r0, r2);
        Vector128<float> high13 = InterleaveHigh(r1, r3);
        sums = MultiplyAdd(Vector128.Create(a[0]), InterleaveLow(low02, low13), sums);
        sums = MultiplyAdd(Vector128.Create(a[aStep]), InterleaveHigh(low02, low13), sums);
        sums = MultiplyAdd(Vector128.Create(a[2 * aStep]), InterleaveLow(high02, high13), sums);
        return MultiplyAdd(Vector128.Create(a[3 * aStep]), InterleaveHigh(high02, high13), sums);
    }
}
