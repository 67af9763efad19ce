using System.Diagnostics;
using Loci.Numerics.Buffers;

namespace Loci.Numerics.Kernels;

/// <summary>C = op(A) op(B), or C += op(A) op(B), in float32, row-major, where op is the identity or the transpose.</summary>
/// <remarks>
/// <para>op(A) is [m, k], op(B) is [k, n], C is [m, n]; a leading dimension is the distance in floats between stored rows.
/// C must not overlap A or B.</para>
/// <para>Every element is one chain of multiply-adds over increasing k that begins at C[i, j] or at zero. Blocks over k
/// store and reload C, which changes nothing. So the bits of C[i, j] depend only on row i of op(A), column j of op(B), k
/// and the accumulated value: not on m, n, the position, the strides, the thread count, or which method was called.</para>
/// </remarks>
internal static unsafe partial class MatrixProduct
{
    // Steps of k per block: a packed A tile of 12 x 256 floats takes 12 of the 32 KB of a first-level cache.
    private const int BlockSteps = 256;

    // Rows that MultiplySmall packs at once; with BlockSteps a quarter of a 1 MB second-level cache.
    private const int SmallRows = 240;

    // Multiply-adds below which waking a second thread costs more than it saves.
    private const long ParallelWork = 1 << 19;

    // Elements of a matrix below which its product with one vector stays on one thread.
    private const long ParallelVectorWork = 1 << 16;

    // Products with at most this many rows (or columns) are cut along the other side only.
    private const int ThinSide = 32;

    [ThreadStatic]
    private static NativeMemoryBlock? t_smallScratch;

    [ThreadStatic]
    private static NativeMemoryBlock? t_blockedScratch;

    /// <summary>One product on all threads of <paramref name="workers"/>.</summary>
    /// <param name="transposeA">A is stored [k, m] instead of [m, k].</param>
    /// <param name="transposeB">B is stored [n, k] instead of [k, n].</param>
    /// <param name="m">Rows of C.</param>
    /// <param name="n">Columns of C.</param>
    /// <param name="k">Length of the sums; 0 gives zeros, or leaves C alone when accumulating.</param>
    /// <param name="a">A.</param>
    /// <param name="lda">Leading dimension of A.</param>
    /// <param name="b">B.</param>
    /// <param name="ldb">Leading dimension of B.</param>
    /// <param name="c">C.</param>
    /// <param name="ldc">Leading dimension of C.</param>
    /// <param name="accumulate">Add to C instead of overwriting it.</param>
    /// <param name="workers">The threads to use.</param>
    /// <exception cref="ArgumentException">A size is negative or a leading dimension is shorter than a row.</exception>
    public static void Multiply(
        bool transposeA, bool transposeB, int m, int n, int k,
        float* a, int lda, float* b, int ldb, float* c, int ldc, bool accumulate, Workers workers)
    {
        Validate(transposeA, transposeB, m, n, k, a, lda, b, ldb, c, ldc);
        Product product = new(transposeA, transposeB, m, n, k, a, lda, b, ldb, c, ldc, accumulate);
        long work = (long)m * n * k;
        bool vector = (m == 1) || (n == 1 && ldc == 1);
        if (workers.ThreadCount == 1 || work < (vector ? ParallelVectorWork : ParallelWork))
        {
            MultiplySerial(product);
            return;
        }

        if (n == 1 && ldc == 1)
        {
            product = product.Transposed();
        }

        if (product.M <= ThinSide)
        {
            // Columns a task owns: enough for long reads of each row of B, few enough for many tasks.
            product.TaskSize = product.M == 1 && !product.TransposeB && product.N >= 4096 ? 512 : 128;
            workers.For(CeilingDivide(product.N, product.TaskSize), &RunColumns, &product);
        }
        else if (product.N <= ThinSide)
        {
            // Multiples of the tile and of a cache line, which matters when rows of op(A) are columns in memory.
            product.TaskSize = 96;
            workers.For(CeilingDivide(product.M, product.TaskSize), &RunRows, &product);
        }
        else
        {
            MultiplyBlocked(product, workers);
        }
    }

    /// <summary>One product on the calling thread, with little overhead for sides of 16 to 256; parameters as in <see cref="Multiply"/>.</summary>
    /// <exception cref="ArgumentException">A size is negative or a leading dimension is shorter than a row.</exception>
    public static void MultiplySmall(
        bool transposeA, bool transposeB, int m, int n, int k,
        float* a, int lda, float* b, int ldb, float* c, int ldc, bool accumulate)
    {
        Validate(transposeA, transposeB, m, n, k, a, lda, b, ldb, c, ldc);
        MultiplySerial(new(transposeA, transposeB, m, n, k, a, lda, b, ldb, c, ldc, accumulate));
    }

    /// <summary>
    /// <paramref name="batch"/> independent products of one shape on all threads of <paramref name="workers"/>: product i uses
    /// a + i * aStride, b + i * bStride and c + i * cStride; the other parameters as in <see cref="Multiply"/>.
    /// </summary>
    /// <remarks>A stride of 0 shares an operand. The results must not overlap, so cStride is never 0 for more than one product.</remarks>
    /// <exception cref="ArgumentException">A size is negative or a leading dimension is shorter than a row.</exception>
    public static void MultiplyBatched(
        bool transposeA, bool transposeB, int m, int n, int k,
        float* a, int lda, nint aStride, float* b, int ldb, nint bStride, float* c, int ldc, nint cStride,
        int batch, bool accumulate, Workers workers)
    {
        Validate(transposeA, transposeB, m, n, k, a, lda, b, ldb, c, ldc);
        ArgumentOutOfRangeException.ThrowIfNegative(batch);
        Debug.Assert(cStride != 0 || batch <= 1);
        long work = Math.Max(1, (long)m * n * k);
        if (work >= 32 * ParallelWork && batch < 64)
        {
            for (int i = 0; i < batch; i++)
            {
                Multiply(
                    transposeA, transposeB, m, n, k,
                    a + (i * aStride), lda, b + (i * bStride), ldb, c + (i * cStride), ldc, accumulate, workers);
            }

            return;
        }

        Product product = new(transposeA, transposeB, m, n, k, a, lda, b, ldb, c, ldc, accumulate)
        {
            AStride = aStride,
            BStride = bStride,
            CStride = cStride,
            Batch = batch,
            TaskSize = (int)Math.Clamp(ParallelWork / work, 1, Math.Max(1, batch)),
        };
        workers.For(CeilingDivide(batch, product.TaskSize), &RunBatch, &product);
    }

    /// <summary>
    /// C = A B^T or C += A B^T where B [n, k] is in blocks of eight-bit integers: every weight is one rounded product of integer and scale, so the bits are those of
    /// <see cref="Multiply"/> with these weights.
    /// </summary>
    /// <exception cref="ArgumentException">A size is negative or a leading dimension is shorter than a row.</exception>
    public static void MultiplyInt8(int m, int n, int k, float* a, int lda, byte* b, float* c, int ldc, bool accumulate, Workers workers)
    {
        Validate(false, true, m, n, k, a, lda, (float*)b, k, c, ldc);
        Product product = new(false, true, m, n, k, a, lda, null, 0, c, ldc, accumulate) { Blocks = new Int8Blocks(b, k) };
        long work = (long)m * n * k;
        if (workers.ThreadCount == 1 || work < (m == 1 ? ParallelVectorWork : ParallelWork))
        {
            MultiplySerial(product);
        }
        else if (m <= ThinSide)
        {
            product.TaskSize = n > 8192 ? 4 * Int8Blocks.PanelColumns : Int8Blocks.PanelColumns;
            workers.For(CeilingDivide(n, product.TaskSize), &RunColumns, &product);
        }
        else
        {
            MultiplyBlocked(product, workers);
        }
    }

    private static void RunColumns(void* state, int index, int worker)
    {
        Product* product = (Product*)state;
        int first = index * product->TaskSize;
        MultiplySerial(product->Columns(first, Math.Min(product->TaskSize, product->N - first)));
    }

    private static void RunRows(void* state, int index, int worker)
    {
        Product* product = (Product*)state;
        int first = index * product->TaskSize;
        MultiplySerial(product->Rows(first, Math.Min(product->TaskSize, product->M - first)));
    }

    private static void RunBatch(void* state, int index, int worker)
    {
        Product* product = (Product*)state;
        int first = index * product->TaskSize;
        int end = Math.Min(first + product->TaskSize, product->Batch);
        for (int i = first; i < end; i++)
        {
            Product item = *product;
            item.A += i * product->AStride;
            item.B += i * product->BStride;
            item.C += i * product->CStride;
            MultiplySerial(item);
        }
    }

    private static void MultiplySerial(in Product product)
    {
        if (product.M == 0 || product.N == 0)
        {
            return;
        }

        if (product.K == 0)
        {
            if (!product.Accumulate)
            {
                for (int i = 0; i < product.M; i++)
                {
                    new Span<float>(product.C + (i * product.Ldc), product.N).Clear();
                }
            }
        }
        else if (product.Blocks.Memory != null && product.M == 1)
        {
            MultiplyRowInt8(product);
        }
        else if (product.Blocks.Memory == null && HasFewRows(product))
        {
            MultiplyFewRows(product);
        }
        else if (product.M == 1)
        {
            if (product.TransposeB)
            {
                MultiplyRowTransposed(product);
            }
            else
            {
                MultiplyRow(product);
            }
        }
        else if (product.N == 1 && product.Ldc == 1 && product.Blocks.Memory == null)
        {
            MultiplySerial(product.Transposed());
        }
        else if (product.M > SmallRows && product.N > 2 * ThinSide)
        {
            MultiplyBlocked(product, null);
        }
        else
        {
            MultiplyUnblocked(product);
        }
    }

    /// <summary>Few rows or few columns: B is packed one panel at a time, or not at all, and A only where that pays.</summary>
    private static void MultiplyUnblocked(in Product product)
    {
        (int m, int n, int k) = (product.M, product.N, product.K);
        float* scratch = (t_smallScratch ??= new()).Reserve((SmallRows + 32) * BlockSteps);
        float* panel = scratch;
        float* packedRows = scratch + (32 * BlockSteps);
        bool packRows = !product.TransposeA && PackingRowsPays(product);
        int kBlock = EvenBlock(k, BlockSteps, 4);

        for (int p = 0; p < k; p += kBlock)
        {
            int steps = Math.Min(kBlock, k - p);
            bool accumulate = product.Accumulate || p > 0;
            for (int i0 = 0; i0 < m; i0 += SmallRows)
            {
                int rows = Math.Min(SmallRows, m - i0);
                if (packRows)
                {
                    PackRows(product, i0, rows, p, steps, packedRows);
                }

                for (int j = 0; j < n; j += TileColumns)
                {
                    int columns = Math.Min(TileColumns, n - j);
                    int width = PanelWidth(columns);
                    float* b = panel;
                    nint bStep = width;
                    if (product.TransposeB || columns != width)
                    {
                        PackColumns(product, p, steps, j, columns, panel);
                    }
                    else
                    {
                        b = product.BAt(p, j);
                        bStep = product.Ldb;
                    }

                    for (int i = 0; i < rows; i += TileRows)
                    {
                        int tileRows = Math.Min(TileRows, rows - i);
                        float* c = product.C + ((i0 + i) * product.Ldc) + j;
                        if (packRows)
                        {
                            ComputeTile(tileRows, columns, steps, packedRows + (i * steps), 1, tileRows, b, bStep, c, product.Ldc, accumulate);
                        }
                        else if (product.TransposeA)
                        {
                            ComputeTile(tileRows, columns, steps, product.AAt(i0 + i, p), 1, product.Lda, b, bStep, c, product.Ldc, accumulate);
                        }
                        else
                        {
                            ComputeTile(tileRows, columns, steps, product.AAt(i0 + i, p), product.Lda, 1, b, bStep, c, product.Ldc, accumulate);
                        }
                    }
                }
            }
        }
    }

    private static bool PackingRowsPays(in Product product) =>
        product.N > 4 * TileColumns || (product.Lda % 1024 == 0 && product.N > TileColumns);

    private static void PackRows(in Product product, int first, int rows, int p, int steps, float* target)
    {
        for (int i = 0; i < rows; i += TileRows)
        {
            int tileRows = Math.Min(TileRows, rows - i);
            PackPanel(!product.TransposeA, tileRows, tileRows, steps, product.AAt(first + i, p), product.Lda, target + (i * steps));
        }
    }

    /// <summary>Packs a panel of op(B): <paramref name="columns"/> of it from <paramref name="j"/> on, padded to <see cref="PanelWidth"/>.</summary>
    private static void PackColumns(in Product product, int p, int steps, int j, int columns, float* target)
    {
        if (product.Blocks.Memory != null)
        {
            product.Blocks.Unpack(p, steps, j, PanelWidth(columns), target);
        }
        else
        {
            PackPanel(product.TransposeB, columns, PanelWidth(columns), steps, product.BAt(p, j), product.Ldb, target);
        }
    }

    private static int CeilingDivide(int value, int divisor) => (int)(((long)value + divisor - 1) / divisor);

    /// <summary>The size of equal blocks, at most about <paramref name="largest"/>, in multiples of <paramref name="unit"/>.</summary>
    private static int EvenBlock(int length, int largest, int unit)
    {
        int blocks = CeilingDivide(length, largest);
        return CeilingDivide(CeilingDivide(length, blocks), unit) * unit;
    }

    private static void Validate(
        bool transposeA, bool transposeB, int m, int n, int k, float* a, int lda, float* b, int ldb, float* c, int ldc)
    {
        if (m < 0 || n < 0 || k < 0 || lda < (transposeA ? m : k) || ldb < (transposeB ? k : n) || ldc < n)
        {
            ThrowBadShape(transposeA, transposeB, m, n, k, lda, ldb, ldc);
        }

        Debug.Assert(a != null || m == 0 || k == 0);
        Debug.Assert(b != null || n == 0 || k == 0);
        Debug.Assert(c != null || m == 0 || n == 0);
    }

    private static void ThrowBadShape(bool transposeA, bool transposeB, int m, int n, int k, int lda, int ldb, int ldc) =>
        throw new ArgumentException(
            $"A matrix product [{m}, {k}] x [{k}, {n}] needs sizes of at least 0 and leading dimensions of at least " +
            $"{(transposeA ? m : k)} (A), {(transposeB ? k : n)} (B) and {n} (C), but they are {lda}, {ldb} and {ldc}.");

    /// <summary>One product, or a batch of them; <see cref="TaskSize"/> says how much of it an index of a loop stands for.</summary>
    private struct Product(
        bool transposeA, bool transposeB, int m, int n, int k,
        float* a, nint lda, float* b, nint ldb, float* c, nint ldc, bool accumulate)
    {
        public bool TransposeA = transposeA;
        public bool TransposeB = transposeB;
        public bool Accumulate = accumulate;

        /// <summary>B where it is quantised; otherwise its memory is null.</summary>
        public Int8Blocks Blocks;

        public int M = m;
        public int N = n;
        public int K = k;
        public float* A = a;
        public float* B = b;
        public float* C = c;
        public nint Lda = lda;
        public nint Ldb = ldb;
        public nint Ldc = ldc;
        public nint AStride;
        public nint BStride;
        public nint CStride;
        public int Batch;
        public int TaskSize;

        public readonly float* AAt(int i, int p) => TransposeA ? A + (p * Lda) + i : A + (i * Lda) + p;

        public readonly float* BAt(int p, int j) => TransposeB ? B + (j * Ldb) + p : B + (p * Ldb) + j;

        public readonly Product Rows(int first, int count) => this with { M = count, A = AAt(first, 0), C = C + (first * Ldc) };

        public readonly Product Columns(int first, int count) => this with { N = count, B = BAt(0, first), Blocks = Blocks.From(0, first), C = C + first };

        /// <summary>The same sums as C^T = op(B)^T op(A)^T, for one contiguous column C.</summary>
        public readonly Product Transposed() =>
            new(!TransposeB, !TransposeA, N, M, K, B, Ldb, A, Lda, C, M, Accumulate);
    }
}
