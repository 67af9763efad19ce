namespace Loci.Tests.Independent;

/// <summary>Vectors and matrices of doubles, the plain way.</summary>
internal static class Algebra
{
    public static double[,] Matrix(double[] values, int begin, int rows, int columns)
    {
        var matrix = new double[rows, columns];
        for (var i = 0; i < rows * columns; i++)
        {
            matrix[i / columns, i % columns] = values[begin + i];
        }

        return matrix;
    }

    public static double[] Row(double[,] matrix, int row) =>
        [.. Enumerable.Range(0, matrix.GetLength(1)).Select(column => matrix[row, column])];

    public static double Dot(double[] a, double[] b) => a.Zip(b, (x, y) => x * y).Sum();

    public static double[] Product(double[,] matrix, double[] x) =>
        [.. Enumerable.Range(0, matrix.GetLength(0)).Select(row => Dot(Row(matrix, row), x))];

    public static double[,] Transposed(double[,] matrix) =>
        Map(new double[matrix.GetLength(1), matrix.GetLength(0)], (row, column, _) => matrix[column, row]);

    public static double[] Times(double scale, double[] x) => [.. x.Select(value => scale * value)];

    public static double[] Times(double[] x, double[] y) => [.. x.Zip(y, (a, b) => a * b)];

    public static double[] Plus(double[] x, double[] y) => [.. x.Zip(y, (a, b) => a + b)];

    public static double[] Minus(double[] x, double[] y) => [.. x.Zip(y, (a, b) => a - b)];

    public static double[] Sum(IEnumerable<double[]> vectors) => vectors.Aggregate(Plus);

    public static double[,] Outer(double[] a, double[] b) => Map(new double[a.Length, b.Length], (row, column, _) => a[row] * b[column]);

    public static double[,] Map(double[,] matrix, Func<int, int, double, double> function)
    {
        var result = new double[matrix.GetLength(0), matrix.GetLength(1)];
        for (var row = 0; row < result.GetLength(0); row++)
        {
            for (var column = 0; column < result.GetLength(1); column++)
            {
                result[row, column] = function(row, column, matrix[row, column]);
            }
        }

        return result;
    }

    public static double[,] Times(double scale, double[,] matrix) => Map(matrix, (_, _, value) => scale * value);

    public static double[,] Plus(double[,] a, double[,] b) => Map(a, (row, column, value) => value + b[row, column]);

    public static double Sigmoid(double z) => 1 / (1 + Math.Exp(-z));

    public static double Softplus(double z) => Math.Max(z, 0) + Math.Log(1 + Math.Exp(-Math.Abs(z)));

    public static double Silu(double z) => z * Sigmoid(z);

    public static double[] Softmax(double[] z)
    {
        var weights = z.Select(value => Math.Exp(value - z.Max())).ToArray();
        return Times(1 / weights.Sum(), weights);
    }

    /// <summary>erf by its series, which converges everywhere; cut where it is 1 to the last digit.</summary>
    public static double Erf(double x)
    {
        if (Math.Abs(x) > 6)
        {
            return Math.Sign(x);
        }

        // erf(x) = 2 / sqrt(pi) exp(-x^2) (x + 2 x^3 / 3 + 4 x^5 / 15 + ...): all terms of one sign.
        double term = x, sum = x;
        for (var n = 1; n < 200; n++)
        {
            term *= 2 * x * x / ((2 * n) + 1);
            sum += term;
        }

        return 2 / Math.Sqrt(Math.PI) * Math.Exp(-x * x) * sum;
    }
}
