using Loci.Numerics.Buffers;
using Loci.Numerics.Kernels;
using Xunit;

namespace Loci.Numerics.Tests;

// The kernels of narrower machines run with, on the test executable or dotnet test,
// DOTNET_EnableAVX512=0 (before .NET 10: DOTNET_EnableAVX512F=0), DOTNET_EnableAVX2=0, DOTNET_EnableHWIntrinsic=0.
public sealed unsafe class MatrixProductTests
{
    private static readonly int[] s_sides = [0, 1, 2, 5, 11, 12, 13, 31, 32, 33, 63, 65, 100, 129];

    public static TheoryData<bool, bool> Forms => new()
    {
        { false, false },
        { false, true },
        { true, false },
        { true, true },
    };

    [Theory]
    [MemberData(nameof(Forms))]
    public void EveryEntryPointMatchesTheTripleLoop(bool transposeA, bool transposeB)
    {
        using Workers workers = new(2);
        Random random = new(7);
        for (int trial = 0; trial < 150; trial++)
        {
            int m = s_sides[random.Next(s_sides.Length)];
            int n = s_sides[random.Next(s_sides.Length)];
            int k = s_sides[random.Next(s_sides.Length)];
            using Case c = new(random, transposeA, transposeB, m, n, k, padding: random.Next(2) * random.Next(20), accumulate: random.Next(2) == 1);
            c.CheckSmall();
            c.CheckMultiply(workers);
        }
    }

    [Theory]
    [InlineData(12, 2048, 300)] // few rows
    [InlineData(1, 4200, 130)] // one row, wide tasks
    [InlineData(1, 79, 59)] // one row, remainders everywhere
    [InlineData(1000, 7, 260)] // few columns
    [InlineData(70000, 1, 3)] // one column
    [InlineData(150, 150, 1300)] // several spans of k
    [InlineData(1700, 40, 1030)] // several spans of rows
    [InlineData(290, 97, 513)]
    [InlineData(300, 100, 4)]
    [InlineData(513, 33, 257)]
    public void LargeShapesMatchTheTripleLoop(int m, int n, int k)
    {
        using Workers workers = new(2);
        Random random = new(11);
        foreach ((bool transposeA, bool transposeB) in ((bool, bool)[])[(false, false), (false, true), (true, false), (true, true)])
        {
            using Case c = new(random, transposeA, transposeB, m, n, k, padding: 0, accumulate: transposeA);
            c.CheckMultiply(workers);
            AssertSameBits(c.Run((ref Arguments x) => x.Multiply(workers)), c.Run((ref Arguments x) => x.Small()), 0, 0);
        }
    }

    [Theory]
    [MemberData(nameof(Forms))]
    public void BitsDependOnlyOnRowColumnAndSumLength(bool transposeA, bool transposeB)
    {
        using Workers one = new(1), two = new(2), three = new(3);
        Random random = new(13);
        foreach ((int m, int n, int k) in ((int, int, int)[])[(131, 117, 301), (400, 200, 70), (70, 1100, 90), (40, 65, 1200)])
        {
            using Case c = new(random, transposeA, transposeB, m, n, k, padding: 5, accumulate: random.Next(2) == 1);
            float[,] expected = c.Run((ref Arguments x) => x.Multiply(one));
            AssertSameBits(expected, c.Run((ref Arguments x) => x.Multiply(two)), 0, 0);
            AssertSameBits(expected, c.Run((ref Arguments x) => x.Multiply(three)), 0, 0);
            AssertSameBits(expected, c.Run((ref Arguments x) => x.Small()), 0, 0);
            AssertSameBits(expected, c.Run((ref Arguments x) => x.Batched(two)), 0, 0);

            for (int trial = 0; trial < 30; trial++)
            {
                (int i, int rows) = Part(random, m);
                (int j, int columns) = Part(random, n);
                using Case part = c.Block(i, j, rows, columns, padding: random.Next(30));
                AssertSameBits(expected, part.Run((ref Arguments x) => x.Small()), i, j);
                AssertSameBits(expected, part.Run((ref Arguments x) => x.Multiply(two)), i, j);
            }
        }
    }

    [Fact]
    public void SplittingTheSumAndAccumulatingChangesNoBit()
    {
        Random random = new(17);
        using Case whole = new(random, false, false, 37, 45, 600, padding: 0, accumulate: false);
        float[,] expected = whole.Run((ref Arguments x) => x.Small());
        float[,] parts = whole.Run((ref Arguments x) =>
        {
            Arguments first = x with { K = 123 };
            first.Small();
            Arguments second = x with { K = 477, A = x.A + 123, B = x.B + (123 * x.Ldb), Accumulate = true };
            second.Small();
        });
        AssertSameBits(expected, parts, 0, 0);
    }

    [Theory]
    [MemberData(nameof(Forms))]
    public void BatchesEqualTheirProductsOneByOne(bool transposeA, bool transposeB)
    {
        using Workers workers = new(3);
        Random random = new(19);
        foreach ((int m, int n, int k, int batch) in ((int, int, int, int)[])[(64, 64, 64, 9), (13, 33, 20, 50), (1, 16, 64, 5), (5, 6, 0, 3), (300, 260, 260, 3)])
        {
            int aSize = m * k, bSize = k * n, cSize = m * n;
            using NativeMemoryBlock a = Fill(random, aSize * batch), b = Fill(random, bSize * batch), c = new(), d = new();
            float* together = c.Reserve((nuint)(cSize * batch));
            float* apart = d.Reserve((nuint)(cSize * batch));
            MatrixProduct.MultiplyBatched(
                transposeA, transposeB, m, n, k, a.Reserve(0), transposeA ? m : k, aSize, b.Reserve(0), transposeB ? k : n, bSize, together, n, cSize, batch, false, workers);
            for (int i = 0; i < batch; i++)
            {
                MatrixProduct.MultiplySmall(
                    transposeA, transposeB, m, n, k, a.Reserve(0) + (i * aSize), transposeA ? m : k, b.Reserve(0) + (i * bSize), transposeB ? k : n, apart + (i * cSize), n, false);
            }

            Assert.True(new ReadOnlySpan<uint>(together, cSize * batch).SequenceEqual(new ReadOnlySpan<uint>(apart, cSize * batch)));
        }
    }

    [Fact]
    public void ProductsAllocateNoManagedMemoryAfterTheFirst()
    {
        using Workers workers = new(2);
        Random random = new(23);
        using NativeMemoryBlock a = Fill(random, 300 * 300), b = Fill(random, 300 * 300), c = Fill(random, 300 * 300);
        float* ap = a.Reserve(0), bp = b.Reserve(0), cp = c.Reserve(0);
        long before = 0;
        for (int round = 0; round < 3; round++)
        {
            before = GC.GetAllocatedBytesForCurrentThread();
            MatrixProduct.Multiply(false, true, 300, 300, 300, ap, 300, bp, 300, cp, 300, true, workers);
            MatrixProduct.Multiply(false, true, 3, 300, 300, ap, 300, bp, 300, cp, 300, true, workers);
            MatrixProduct.MultiplySmall(true, true, 64, 64, 64, ap, 300, bp, 300, cp, 300, true);
            MatrixProduct.MultiplyBatched(true, false, 20, 20, 20, ap, 20, 400, bp, 20, 400, cp, 20, 400, 100, true, workers);
        }

        Assert.Equal(0, GC.GetAllocatedBytesForCurrentThread() - before);
    }

    [Theory]
    [InlineData(-1, 2, 3, 3, 2, 2)]
    [InlineData(4, -2, 3, 3, 2, 2)]
    [InlineData(4, 2, -3, 3, 2, 2)]
    [InlineData(4, 2, 3, 2, 2, 2)]
    [InlineData(4, 2, 3, 3, 1, 2)]
    [InlineData(4, 2, 3, 3, 2, 1)]
    public void ShapesThatCannotBeAreRefused(int m, int n, int k, int lda, int ldb, int ldc)
    {
        float* memory = stackalloc float[64];
        ArgumentException thrown = Assert.Throws<ArgumentException>(
            () => MatrixProduct.MultiplySmall(false, false, m, n, k, memory, lda, memory, ldb, memory, ldc, false));
        Assert.Contains($"[{m}, {k}] x [{k}, {n}]", thrown.Message, StringComparison.Ordinal);
    }

    [Fact]
    public void SpecialValuesPropagateAndStayInTheirRowAndColumn()
    {
        Random random = new(29);
        using Case c = new(random, false, true, 29, 45, 40, padding: 3, accumulate: false);
        c.SetA(13, 7, float.NaN);
        c.SetB(9, 44, float.PositiveInfinity);
        float[,] result = c.Run((ref Arguments x) => x.Small());
        for (int i = 0; i < 29; i++)
        {
            for (int j = 0; j < 45; j++)
            {
                Assert.Equal(i == 13, float.IsNaN(result[i, j]));
                Assert.Equal(i != 13 && j == 44, float.IsInfinity(result[i, j]));
            }
        }
    }

    private static (int First, int Count) Part(Random random, int length)
    {
        int count = random.Next(3) switch { 0 => 1, 1 => 1 + random.Next(Math.Min(40, length)), _ => 1 + random.Next(length) };
        return (random.Next(length - count + 1), count);
    }

    private static void AssertSameBits(float[,] expected, float[,] actual, int firstRow, int firstColumn)
    {
        for (int i = 0; i < actual.GetLength(0); i++)
        {
            for (int j = 0; j < actual.GetLength(1); j++)
            {
                if (BitConverter.SingleToUInt32Bits(expected[firstRow + i, firstColumn + j]) != BitConverter.SingleToUInt32Bits(actual[i, j]))
                {
                    Assert.Fail($"[{i}, {j}] of a block [{actual.GetLength(0)}, {actual.GetLength(1)}] at [{firstRow}, {firstColumn}]: " +
                        $"{actual[i, j]:R} instead of {expected[firstRow + i, firstColumn + j]:R}.");
                }
            }
        }
    }

    private static NativeMemoryBlock Fill(Random random, int count)
    {
        NativeMemoryBlock block = new();
        float* values = block.Reserve((nuint)count);
        for (int i = 0; i < count; i++)
        {
            values[i] = (random.NextSingle() * 2) - 1;
        }

        return block;
    }

    private delegate void Call(ref Arguments arguments);

    private struct Arguments
    {
        public bool TransposeA;
        public bool TransposeB;
        public bool Accumulate;
        public int M;
        public int N;
        public int K;
        public int Lda;
        public int Ldb;
        public int Ldc;
        public float* A;
        public float* B;
        public float* C;

        public readonly void Multiply(Workers workers) =>
            MatrixProduct.Multiply(TransposeA, TransposeB, M, N, K, A, Lda, B, Ldb, C, Ldc, Accumulate, workers);

        public readonly void Small() =>
            MatrixProduct.MultiplySmall(TransposeA, TransposeB, M, N, K, A, Lda, B, Ldb, C, Ldc, Accumulate);

        public readonly void Batched(Workers workers) =>
            MatrixProduct.MultiplyBatched(TransposeA, TransposeB, M, N, K, A, Lda, 0, B, Ldb, 0, C, Ldc, 0, 1, Accumulate, workers);
    }

    /// <summary>Operands between guard zones, with rows longer than needed, and what C held before.</summary>
    private sealed class Case : IDisposable
    {
        private const int Guard = 64;
        private const float GuardValue = 1e30f;
        private readonly NativeMemoryBlock _a;
        private readonly NativeMemoryBlock _b;
        private readonly NativeMemoryBlock _c = new();
        private readonly float[] _before;
        private Arguments _arguments;

        public Case(Random random, bool transposeA, bool transposeB, int m, int n, int k, int padding, bool accumulate)
        {
            _arguments = new()
            {
                TransposeA = transposeA,
                TransposeB = transposeB,
                Accumulate = accumulate,
                M = m,
                N = n,
                K = k,
                Lda = Math.Max(1, transposeA ? m : k) + padding,
                Ldb = Math.Max(1, transposeB ? k : n) + padding,
                Ldc = Math.Max(1, n) + padding,
            };
            _a = Fill(random, (transposeA ? k : m) * _arguments.Lda);
            _b = Fill(random, (transposeB ? n : k) * _arguments.Ldb);
            _before = new float[m * _arguments.Ldc];
            for (int i = 0; i < _before.Length; i++)
            {
                _before[i] = i % _arguments.Ldc < n ? (random.NextSingle() * 2) - 1 : GuardValue;
            }

            _arguments.A = _a.Reserve(0);
            _arguments.B = _b.Reserve(0);
        }

        private Case(Case whole, int firstRow, int firstColumn, int rows, int columns, int padding)
            : this(new Random(1), whole._arguments.TransposeA, whole._arguments.TransposeB, rows, columns, whole._arguments.K, padding, whole._arguments.Accumulate)
        {
            for (int p = 0; p < _arguments.K; p++)
            {
                for (int i = 0; i < rows; i++)
                {
                    SetA(i, p, whole.A(firstRow + i, p));
                }

                for (int j = 0; j < columns; j++)
                {
                    SetB(p, j, whole.B(p, firstColumn + j));
                }
            }

            for (int i = 0; i < rows; i++)
            {
                for (int j = 0; j < columns; j++)
                {
                    _before[(i * _arguments.Ldc) + j] = whole._before[((firstRow + i) * whole._arguments.Ldc) + firstColumn + j];
                }
            }
        }

        public Case Block(int firstRow, int firstColumn, int rows, int columns, int padding) =>
            new(this, firstRow, firstColumn, rows, columns, padding);

        public void SetA(int i, int p, float value) => *AAt(i, p) = value;

        public void SetB(int p, int j, float value) => *BAt(p, j) = value;

        public void CheckSmall() => Check(Run((ref Arguments x) => x.Small()));

        public void CheckMultiply(Workers workers) => Check(Run((ref Arguments x) => x.Multiply(workers)));

        public float[,] Run(Call call)
        {
            float* memory = _c.Reserve((nuint)(_before.Length + (2 * Guard)));
            new Span<float>(memory, _before.Length + (2 * Guard)).Fill(GuardValue);
            _before.CopyTo(new Span<float>(memory + Guard, _before.Length));
            _arguments.C = memory + Guard;
            call(ref _arguments);

            float[,] result = new float[_arguments.M, _arguments.N];
            for (int i = -Guard; i < _before.Length + Guard; i++)
            {
                int row = Math.DivRem(i, _arguments.Ldc, out int column);
                if (i >= 0 && i < _before.Length && column < _arguments.N)
                {
                    result[row, column] = _arguments.C[i];
                }
                else if (_arguments.C[i] != GuardValue)
                {
                    Assert.Fail($"Wrote outside C at {i} of a product [{_arguments.M}, {_arguments.N}, {_arguments.K}].");
                }
            }

            return result;
        }

        public void Dispose()
        {
            _a.Dispose();
            _b.Dispose();
            _c.Dispose();
        }

        private void Check(float[,] result)
        {
            // All of a small result; of a large one, elements spread by a stride without common factors with the tiles.
            long elements = (long)_arguments.M * _arguments.N;
            long stride = elements * _arguments.K > 4_000_000 ? 1009 : 1;
            for (long element = 0; element < elements; element += stride)
            {
                (int i, int j) = ((int)(element / _arguments.N), (int)(element % _arguments.N));
                double sum = _arguments.Accumulate ? _before[(i * _arguments.Ldc) + j] : 0;
                double size = Math.Abs(sum);
                float* a = AAt(i, 0);
                float* b = BAt(0, j);
                int aStep = _arguments.TransposeA ? _arguments.Lda : 1;
                int bStep = _arguments.TransposeB ? 1 : _arguments.Ldb;
                for (int p = 0; p < _arguments.K; p++, a += aStep, b += bStep)
                {
                    double term = (double)*a * *b;
                    sum += term;
                    size += Math.Abs(term);
                }

                // Rounding errors of a chain of k steps mostly cancel; a term left out or counted twice is far outside.
                double tolerance = size * 6e-8 * (2 + Math.Sqrt(_arguments.K));
                if (!(Math.Abs(sum - result[i, j]) <= tolerance))
                {
                    Assert.Fail($"C[{i}, {j}] is {result[i, j]:R} instead of {sum:R} in [{_arguments.M}, {_arguments.N}, {_arguments.K}], " +
                        $"transposed {_arguments.TransposeA} {_arguments.TransposeB}, accumulating {_arguments.Accumulate}.");
                }
            }
        }

        private float A(int i, int p) => *AAt(i, p);

        private float B(int p, int j) => *BAt(p, j);

        private float* AAt(int i, int p) => _arguments.A + (_arguments.TransposeA ? (p * _arguments.Lda) + i : (i * _arguments.Lda) + p);

        private float* BAt(int p, int j) => _arguments.B + (_arguments.TransposeB ? (j * _arguments.Ldb) + p : (p * _arguments.Ldb) + j);
    }
}
