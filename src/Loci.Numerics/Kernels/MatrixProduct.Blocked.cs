using System.Runtime.CompilerServices;
using Loci.Numerics.Buffers;

namespace Loci.Numerics.Kernels;

internal static unsafe partial class MatrixProduct
{
    [ThreadStatic]
    private static NativeMemoryBlock? t_taskScratch;

    // Bounds on the packed copies of A and B, in floats: 8 MB and 16 MB.
    private const int PackedRowsLimit = 1 << 21;
    private const int PackedColumnsLimit = 1 << 22;
    private const int SpanSteps = 4 * BlockSteps;

    // A tile of a task starts at 144 x 512 (its packed operands fit a 1 MB second-level cache) and shrinks until there are
    // enough tasks to keep many threads equally busy.
    private const int TaskRowPanels = 12;
    private const int TaskColumnPanels = 16;
    private const int EnoughTasks = 32;
    private const int PackRowPanels = 8;
    private const int PackColumnPanels = 4;

    /// <summary>Packs spans of both operands, then computes tiles of C from the packed panels; the bounds depend on m, n and k only.</summary>
    private static void MultiplyBlocked(in Product product, Workers? workers)
    {
        (int m, int n, int k) = (product.M, product.N, product.K);
        int kSpan = EvenBlock(k, SpanSteps, BlockSteps);
        int mSpan = EvenBlock(m, PackedRowsLimit / Math.Min(k, kSpan), TileRows);
        int nSpan = EvenBlock(n, PackedColumnsLimit / Math.Min(k, kSpan), TileColumns);
        nuint packedRows = (nuint)Math.Min(mSpan, m) * (nuint)Math.Min(kSpan, k);
        packedRows = n <= TaskColumnPanels * TileColumns ? 0 : (packedRows + 15) & ~(nuint)15;
        nuint packedColumns = (nuint)nSpan * (nuint)Math.Min(kSpan, k);
        float* scratch = (t_blockedScratch ??= new()).Reserve(packedRows + packedColumns);

        BlockedProduct blocked = default;
        blocked.PackedA = scratch;
        blocked.PackedB = scratch + packedRows;
        for (int j = 0; j < n; j += nSpan)
        {
            for (int p = 0; p < k; p += kSpan)
            {
                for (int i = 0; i < m; i += mSpan)
                {
                    blocked.Span = product with
                    {
                        M = Math.Min(mSpan, m - i),
                        N = Math.Min(nSpan, n - j),
                        K = Math.Min(kSpan, k - p),
                        A = product.AAt(i, p),
                        B = product.BAt(p, j),
                        Blocks = product.Blocks.From(p, j),
                        C = product.C + (i * product.Ldc) + j,
                        Accumulate = product.Accumulate || p > 0,
                    };
                    blocked.Plan();
                    int packTasks = blocked.KBlocks * (blocked.RowPackGroups + (i == 0 ? blocked.ColumnPackGroups : 0));
                    if (workers is null)
                    {
                        for (int index = 0; index < packTasks; index++)
                        {
                            RunPack(&blocked, index, 0);
                        }

                        for (int index = 0; index < blocked.RowTasks * blocked.ColumnTasks; index++)
                        {
                            RunTile(&blocked, index, 0);
                        }
                    }
                    else
                    {
                        workers.For(packTasks, &RunPack, &blocked);
                        workers.For(blocked.RowTasks * blocked.ColumnTasks, &RunTile, &blocked);
                    }
                }
            }
        }
    }

    private static void RunPack(void* state, int index, int worker)
    {
        BlockedProduct* blocked = (BlockedProduct*)state;
        Product* span = &blocked->Span;
        int group = Math.DivRem(index, blocked->KBlocks, out int kBlock);
        int p = kBlock * blocked->KBlock;
        int steps = Math.Min(blocked->KBlock, span->K - p);
        if (group < blocked->RowPackGroups)
        {
            int first = group * PackRowPanels * TileRows;
            int rows = Math.Min(PackRowPanels * TileRows, span->M - first);
            PackRows(*span, first, rows, p, steps, blocked->PackedA + ((nint)p * span->M) + ((nint)first * steps));
            return;
        }

        int begin = (group - blocked->RowPackGroups) * PackColumnPanels * TileColumns;
        int end = Math.Min(begin + (PackColumnPanels * TileColumns), span->N);
        float* target = blocked->PackedB + ((nint)p * blocked->PaddedColumns);
        for (int j = begin; j < end; j += TileColumns)
        {
            int columns = Math.Min(TileColumns, end - j);
            PackColumns(*span, p, steps, j, columns, target + ((nint)j * steps));
        }
    }

    [MethodImpl(MethodImplOptions.AggressiveOptimization)]
    private static void RunTile(void* state, int index, int worker)
    {
        BlockedProduct* blocked = (BlockedProduct*)state;
        Product* span = &blocked->Span;
        int columnTask = Math.DivRem(index, blocked->RowTasks, out int rowTask);
        int rowBegin = PanelBegin(rowTask, blocked->RowTasks, blocked->RowPanels) * TileRows;
        int rowEnd = Math.Min(PanelBegin(rowTask + 1, blocked->RowTasks, blocked->RowPanels) * TileRows, span->M);
        int columnBegin = PanelBegin(columnTask, blocked->ColumnTasks, blocked->ColumnPanels) * TileColumns;
        int columnEnd = Math.Min(PanelBegin(columnTask + 1, blocked->ColumnTasks, blocked->ColumnPanels) * TileColumns, span->N);

        for (int p = 0; p < span->K; p += blocked->KBlock)
        {
            int steps = Math.Min(blocked->KBlock, span->K - p);
            bool accumulate = span->Accumulate || p > 0;
            float* packedA = blocked->PackedA + ((nint)p * span->M) + ((nint)rowBegin * steps);
            if (blocked->PacksRowsInTasks)
            {
                packedA = (t_taskScratch ??= new()).Reserve((nuint)(rowEnd - rowBegin) * (nuint)steps);
                PackRows(*span, rowBegin, rowEnd - rowBegin, p, steps, packedA);
            }

            float* packedB = blocked->PackedB + ((nint)p * blocked->PaddedColumns);
            for (int j = columnBegin; j < columnEnd; j += TileColumns)
            {
                int columns = Math.Min(TileColumns, columnEnd - j);
                float* b = packedB + ((nint)j * steps);
                int bStep = PanelWidth(columns);
                float* c = span->C + (rowBegin * span->Ldc) + j;
                for (int i = rowBegin; i < rowEnd; i += TileRows, c += TileRows * span->Ldc)
                {
                    int rows = Math.Min(TileRows, rowEnd - i);
                    ComputeTile(rows, columns, steps, packedA + ((nint)(i - rowBegin) * steps), 1, rows, b, bStep, c, span->Ldc, accumulate);
                }
            }
        }
    }

    private static int PanelBegin(int task, int tasks, int panels) => (int)((long)task * panels / tasks);

    /// <summary>
    /// A product small enough to be packed whole. Layout of both copies: blocks of k, in them panels of rows (or columns),
    /// in them steps of k; element (p, i) of a panel of width w at [p * w + i].
    /// </summary>
    private struct BlockedProduct
    {
        public Product Span;
        public float* PackedA;
        public float* PackedB;
        public int KBlock;
        public int KBlocks;
        public int RowPanels;
        public int ColumnPanels;
        public int PaddedColumns;
        public int RowPackGroups;
        public int ColumnPackGroups;
        public int RowTasks;
        public int ColumnTasks;

        // Where one task has all columns, rows are needed by it alone: it packs them itself, block by block, so that the copy stays in its second-level cache.
        public bool PacksRowsInTasks;

        public void Plan()
        {
            KBlock = EvenBlock(Span.K, BlockSteps, 4);
            KBlocks = CeilingDivide(Span.K, KBlock);
            RowPanels = CeilingDivide(Span.M, TileRows);
            ColumnPanels = CeilingDivide(Span.N, TileColumns);
            int lastPanel = Span.N - ((ColumnPanels - 1) * TileColumns);
            PaddedColumns = ((ColumnPanels - 1) * TileColumns) + PanelWidth(lastPanel);
            RowPackGroups = CeilingDivide(RowPanels, PackRowPanels);
            ColumnPackGroups = CeilingDivide(ColumnPanels, PackColumnPanels);

            int rowPanels = TaskRowPanels;
            PacksRowsInTasks = Span.N <= TaskColumnPanels * TileColumns;
            if (PacksRowsInTasks)
            {
                while (CeilingDivide(RowPanels, rowPanels) < EnoughTasks && rowPanels > 3)
                {
                    rowPanels /= 2;
                }

                RowPackGroups = 0;
                RowTasks = CeilingDivide(RowPanels, rowPanels);
                ColumnTasks = 1;
                return;
            }

            int columnPanels = TaskColumnPanels;
            while (true)
            {
                RowTasks = CeilingDivide(RowPanels, rowPanels);
                ColumnTasks = CeilingDivide(ColumnPanels, columnPanels);
                if (RowTasks * ColumnTasks >= EnoughTasks || (rowPanels <= 3 && columnPanels <= 2))
                {
                    return;
                }

                if (columnPanels > 2 && (columnPanels * 2 > rowPanels || rowPanels <= 3))
                {
                    columnPanels /= 2;
                }
                else
                {
                    rowPanels /= 2;
                }
            }
        }
    }
}
