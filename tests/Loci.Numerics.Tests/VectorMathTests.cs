using System.Numerics;
using Loci.Numerics.Kernels;
using Loci.Reference;
using Xunit;

namespace Loci.Numerics.Tests;

public sealed class VectorMathTests
{
    private delegate Vector<float> Function(Vector<float> x);

    [Fact]
    public void ExpIsWithinTwoUnits() => Check(VectorMath.Exp, Math.Exp, -110, 100, 2);

    [Fact]
    public void SigmoidIsWithinThreeUnits() => Check(VectorMath.Sigmoid, x => 1 / (1 + Math.Exp(-x)), -110, 110, 3);

    [Fact]
    public void SigmoidsDerivativeIsWithinFourUnits() =>
        Check(Derivative, x => Math.Exp(-Math.Abs(x)) / Math.Pow(1 + Math.Exp(-Math.Abs(x)), 2), -80, 80, 4);

    [Fact]
    public void SoftplusIsWithinThreeUnits() =>
        Check(VectorMath.Softplus, x => Math.Max(x, 0) + LogOnePlus(Math.Exp(-Math.Abs(x))), -110, 110, 3);

    [Fact]
    public void LogOnePlusIsWithinTwoUnits() => Check(VectorMath.LogOnePlus, LogOnePlus, 0, 1, 2);

    [Fact]
    public void NormalDistributionIsWithinSixUnitsInBothTails() =>
        Check(x => VectorMath.NormalDistribution(x, out _), Distribution, -13, 13, 6);

    [Fact]
    public void NormalDensityIsWithinFourUnits() =>
        Check(Density, x => Math.Exp(-x * x / 2) / Math.Sqrt(2 * Math.PI), -13, 13, 4);

    [Theory]
    [InlineData(float.PositiveInfinity)]
    [InlineData(float.MaxValue)]
    [InlineData(1e10f)]
    [InlineData(200f)]
    public void ExtremesHaveTheirLimits(float x)
    {
        Assert.Equal(float.PositiveInfinity, First(VectorMath.Exp, x));
        Assert.Equal(0f, First(VectorMath.Exp, -x));
        Assert.Equal(1f, First(VectorMath.Sigmoid, x));
        Assert.Equal(0f, First(VectorMath.Sigmoid, -x));
        Assert.Equal(0f, First(Derivative, x));
        Assert.Equal(0f, First(Derivative, -x));
        Assert.Equal(x, First(VectorMath.Softplus, x));
        Assert.Equal(0f, First(VectorMath.Softplus, -x));
        Assert.Equal(1f, First(value => VectorMath.NormalDistribution(value, out _), x));
        Assert.Equal(0f, First(value => VectorMath.NormalDistribution(value, out _), -x));
        Assert.Equal(0f, First(Density, x));
    }

    [Fact]
    public void NaNStaysNaN()
    {
        Assert.True(float.IsNaN(First(VectorMath.Exp, float.NaN)));
        Assert.True(float.IsNaN(First(VectorMath.Sigmoid, float.NaN)));
        Assert.True(float.IsNaN(First(VectorMath.Softplus, float.NaN)));
        Assert.True(float.IsNaN(First(x => VectorMath.NormalDistribution(x, out _), float.NaN)));
    }

    [Fact]
    public void ExpOfZeroIsOne() => Assert.Equal(1f, First(VectorMath.Exp, 0));

    private static float First(Function function, float x) => function(new Vector<float>(x))[0];

    private static Vector<float> Derivative(Vector<float> x)
    {
        VectorMath.Sigmoid(x, out var derivative);
        return derivative;
    }

    private static Vector<float> Density(Vector<float> x)
    {
        VectorMath.NormalDistribution(x, out var density);
        return density;
    }

    // double.LogP1 loses what 1 + x loses.
    private static double LogOnePlus(double x) => 2 * Math.Atanh(x / (2 + x));

    // erfc by its continued fraction where 1 - erf would cancel.
    private static double Distribution(double x)
    {
        var z = Math.Abs(x) / Math.Sqrt(2);
        double tail;
        if (z < 2)
        {
            tail = (1 - ErrorFunction.Evaluate(z)) / 2;
        }
        else
        {
            double fraction = 0;
            for (var n = 200; n >= 1; n--)
            {
                fraction = n / 2.0 / (z + fraction);
            }

            tail = Math.Exp(-z * z) / Math.Sqrt(Math.PI) / (z + fraction) / 2;
        }

        return x > 0 ? 1 - tail : tail;
    }

    private static void Check(Function function, Func<double, double> exact, double from, double to, double units)
    {
        const int Steps = 200_000;
        double worst = 0;
        var at = 0f;
        for (var i = 0; i < Steps; i += Vector<float>.Count)
        {
            var inputs = new float[Vector<float>.Count];
            for (var lane = 0; lane < inputs.Length; lane++)
            {
                inputs[lane] = (float)(from + ((to - from) * (i + lane) / Steps));
            }

            var outputs = function(new Vector<float>(inputs));
            for (var lane = 0; lane < inputs.Length; lane++)
            {
                var expected = exact(inputs[lane]);
                if (expected > float.MaxValue)
                {
                    Assert.True(outputs[lane] >= 3.4e38f);
                    continue;
                }

                // Denormal numbers have the spacing of the smallest normal one.
                var unit = Math.Max(Math.ScaleB(1, (int)Math.Floor(Math.Log2(Math.Max(Math.Abs(expected), 1.2e-38))) - 23), Math.ScaleB(1, -149));
                var error = Math.Abs(outputs[lane] - expected) / unit;
                if (!(error <= worst))
                {
                    worst = error;
                    at = inputs[lane];
                }
            }
        }

        Assert.True(worst <= units, $"{worst:F2} units off at {at:R}");
    }
}
