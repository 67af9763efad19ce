namespace Loci.Reference;

/// <summary>Between flat row-major arrays and matrices of <see cref="Real"/>, and the few matrix operations the equations use.</summary>
public static class Matrix
{
    public static Real[,] FromRows(ReadOnlySpan<Real> values, int rows, int columns)
    {
        if (values.Length != rows * columns)
        {
            throw new ArgumentException($"[{rows}, {columns}] needs {rows * columns} values, not {values.Length}.", nameof(values));
        }

        var matrix = new Real[rows, columns];
        for (int row = 0; row < rows; row++)
        {
            for (int column = 0; column < columns; column++)
            {
                matrix[row, column] = values[row * columns + column];
            }
        }

        return matrix;
    }

    /// <summary>A matrix of constants.</summary>
    public static Real[,] Constants(ReadOnlySpan<double> values, int rows, int columns)
    {
        var constants = new Real[values.Length];
        for (int i = 0; i < values.Length; i++)
        {
            constants[i] = values[i];
        }

        return FromRows(constants, rows, columns);
    }

    /// <inheritdoc cref="Constants(ReadOnlySpan{double}, int, int)"/>
    public static Real[,] Constants(ReadOnlySpan<float> values, int rows, int columns)
    {
        var constants = new Real[values.Length];
        for (int i = 0; i < values.Length; i++)
        {
            constants[i] = (double)values[i];
        }

        return FromRows(constants, rows, columns);
    }

    public static Real[] Flatten(Real[,] matrix)
    {
        int columns = matrix.GetLength(1);
        var flat = new Real[matrix.Length];
        for (int i = 0; i < flat.Length; i++)
        {
            flat[i] = matrix[i / columns, i % columns];
        }

        return flat;
    }

    /// <summary>The values, row by row.</summary>
    public static double[] Values(Real[,] matrix) => Values(Flatten(matrix));

    public static double[] Values(Real[] vector) => Array.ConvertAll(vector, x => x.Value);

    public static Real[,] Map(Real[,] x, Func<Real, Real> function)
    {
        var y = new Real[x.GetLength(0), x.GetLength(1)];
        for (int row = 0; row < x.GetLength(0); row++)
        {
            for (int column = 0; column < x.GetLength(1); column++)
            {
                y[row, column] = function(x[row, column]);
            }
        }

        return y;
    }

    public static Real[,] Add(Real[,] a, Real[,] b) => Zip(a, b, (x, y) => x + y);

    /// <summary>Elementwise product.</summary>
    public static Real[,] Multiply(Real[,] a, Real[,] b) => Zip(a, b, (x, y) => x * y);

    /// <summary>A B.</summary>
    public static Real[,] Product(Real[,] a, Real[,] b)
    {
        Shape.Require(a.GetLength(1) == b.GetLength(0), $"{Shape.Of(a)} times {Shape.Of(b)}");
        var product = new Real[a.GetLength(0), b.GetLength(1)];
        for (int row = 0; row < a.GetLength(0); row++)
        {
            for (int column = 0; column < b.GetLength(1); column++)
            {
                Real sum = 0;
                for (int i = 0; i < a.GetLength(1); i++)
                {
                    sum += a[row, i] * b[i, column];
                }

                product[row, column] = sum;
            }
        }

        return product;
    }

    public static Real[,] Transpose(Real[,] a)
    {
        var transposed = new Real[a.GetLength(1), a.GetLength(0)];
        for (int row = 0; row < a.GetLength(0); row++)
        {
            for (int column = 0; column < a.GetLength(1); column++)
            {
                transposed[column, row] = a[row, column];
            }
        }

        return transposed;
    }

    /// <summary>A x.</summary>
    public static Real[] Product(Real[,] a, Real[] x)
    {
        Shape.Require(a.GetLength(1) == x.Length, $"{Shape.Of(a)} times a vector of {x.Length}");
        var product = new Real[a.GetLength(0)];
        for (int row = 0; row < product.Length; row++)
        {
            Real sum = 0;
            for (int i = 0; i < x.Length; i++)
            {
                sum += a[row, i] * x[i];
            }

            product[row] = sum;
        }

        return product;
    }

    public static Real Dot(Real[] a, Real[] b)
    {
        Shape.Require(a.Length == b.Length, $"the inner product of vectors of {a.Length} and {b.Length}");
        Real sum = 0;
        for (int i = 0; i < a.Length; i++)
        {
            sum += a[i] * b[i];
        }

        return sum;
    }

    private static Real[,] Zip(Real[,] a, Real[,] b, Func<Real, Real, Real> function)
    {
        Shape.Require(a.GetLength(0) == b.GetLength(0) && a.GetLength(1) == b.GetLength(1), $"{Shape.Of(a)} with {Shape.Of(b)}");
        var result = new Real[a.GetLength(0), a.GetLength(1)];
        for (int row = 0; row < a.GetLength(0); row++)
        {
            for (int column = 0; column < a.GetLength(1); column++)
            {
                result[row, column] = function(a[row, column], b[row, column]);
            }
        }

        return result;
    }
}
