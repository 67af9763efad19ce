using Loci.Numerics.Kernels;

namespace Loci.Memory.Rules.Deep;

/// <summary>
/// Products with a lower triangular matrix P [rows, rows] of a chunk, in bands of rows that leave out most of the zeros. Elements of P
/// above the diagonal must be zero within 24 of it, and are not read beyond.
/// </summary>
internal static unsafe class CausalProduct
{
    // Two full tiles of the matrix product.
    private const int Band = 24;

    /// <summary>P = X H^T as far as a band needs it.</summary>
    public static void Outer(int rows, int width, float* x, int xStride, float* h, int hStride, float* p)
    {
        for (var first = 0; first < rows; first += Band)
        {
            var band = Math.Min(Band, rows - first);
            MatrixProduct.MultiplySmall(
                false, true, band, first + band, width, x + ((long)first * xStride), xStride, h, hStride, p + ((long)first * rows), rows,
                false);
        }
    }

    /// <summary>Y += P X.</summary>
    public static void Add(int rows, int width, float* p, float* x, int xStride, float* y, int yStride)
    {
        for (var first = 0; first < rows; first += Band)
        {
            var band = Math.Min(Band, rows - first);
            MatrixProduct.MultiplySmall(
                false, false, band, width, first + band, p + ((long)first * rows), rows, x, xStride, y + ((long)first * yStride), yStride,
                true);
        }
    }

    /// <summary>Y += P^T X.</summary>
    public static void AddTransposed(int rows, int width, float* p, float* x, int xStride, float* y, int yStride)
    {
        for (var first = 0; first < rows; first += Band)
        {
            var band = Math.Min(Band, rows - first);
            MatrixProduct.MultiplySmall(
                true, false, band, width, rows - first, p + ((long)first * rows) + first, rows, x + ((long)first * xStride), xStride,
                y + ((long)first * yStride), yStride, true);
        }
    }

    /// <summary>y = p o c up to the diagonal and zeros above it; y may be p.</summary>
    public static void Mask(float* c, float* p, float* y, int rows)
    {
        for (var t = 0; t < rows; t++)
        {
            var line = (long)t * rows;
            Blas1.Multiply(p + line, c + line, y + line, t + 1);
            Blas1.Zero(y + line + t + 1, rows - t - 1);
        }
    }
}
