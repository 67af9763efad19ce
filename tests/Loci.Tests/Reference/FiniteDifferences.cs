using Loci.Reference;
using Xunit;

namespace Loci.Tests.ReferenceTests;

internal static class FiniteDifferences
{
    /// <summary>Compares every derivative of a scalar function with a fourth-order central difference.</summary>
    public static void Check(double[] point, Func<Real[], Real> function, double step = 1e-3, double tolerance = 1e-8)
    {
        var tape = new RealTape();
        Real[] variables = tape.Variables(point);
        double[] gradient = tape.Gradient(function(variables)).Of(variables);
        for (int i = 0; i < point.Length; i++)
        {
            double At(double offset)
            {
                Real[] moved = Array.ConvertAll(point, x => (Real)x);
                moved[i] = point[i] + offset;
                return function(moved).Value;
            }

            double difference = (8 * (At(step) - At(-step)) - (At(2 * step) - At(-2 * step))) / (12 * step);
            Assert.True(
                Math.Abs(difference - gradient[i]) <= tolerance * (1 + Math.Abs(difference)),
                $"input {i}: derivative {gradient[i]:R}, finite difference {difference:R}");
        }
    }

    /// <summary>The same for matrices in and a matrix out; the output is weighted by fixed irregular numbers.</summary>
    public static void Check((int Rows, int Columns)[] shapes, Func<Real[][,], Real[,]> function, int seed = 1, double step = 1e-3, double tolerance = 1e-8)
    {
        double[] point = Samples.Normal(shapes.Sum(shape => shape.Rows * shape.Columns), seed);
        Check(
            point,
            inputs =>
            {
                var matrices = new Real[shapes.Length][,];
                int offset = 0;
                for (int i = 0; i < shapes.Length; i++)
                {
                    int length = shapes[i].Rows * shapes[i].Columns;
                    matrices[i] = Matrix.FromRows(inputs.AsSpan(offset, length), shapes[i].Rows, shapes[i].Columns);
                    offset += length;
                }

                return WeightedSum(function(matrices));
            },
            step,
            tolerance);
    }

    public static Real WeightedSum(Real[,] y)
    {
        Real sum = 0;
        Real[] flat = Matrix.Flatten(y);
        for (int i = 0; i < flat.Length; i++)
        {
            sum += flat[i] * Math.Sin(1 + 2.7 * i);
        }

        return sum;
    }
}

internal static class Samples
{
    public static double[] Normal(int count, int seed, double scale = 1)
    {
        var random = new Random(seed);
        double[] samples = new double[count];
        for (int i = 0; i < count; i++)
        {
            samples[i] = scale * Math.Sqrt(-2 * Math.Log(1 - random.NextDouble())) * Math.Cos(2 * Math.PI * random.NextDouble());
        }

        return samples;
    }

    public static Real[,] Matrix(int rows, int columns, int seed, double scale = 1) =>
        Reference.Matrix.Constants(Normal(rows * columns, seed, scale), rows, columns);
}
