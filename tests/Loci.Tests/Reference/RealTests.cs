using Loci.Reference;
using Xunit;

namespace Loci.Tests.ReferenceTests;

public sealed class RealTests
{
    public static TheoryData<string, Func<Real, Real>, double[]> Functions { get; } = new()
    {
        { "exp", Real.Exp, [-3, 0, 1.5] },
        { "log", Real.Log, [0.2, 1, 7] },
        { "sqrt", Real.Sqrt, [0.3, 1, 9] },
        { "tanh", Real.Tanh, [-2, 0, 0.7] },
        { "erf", Real.Erf, [-2, 0, 0.4, 3] },
        { "sigmoid", Real.Sigmoid, [-30, -1, 0, 2, 30] },
        { "softplus", Real.Softplus, [-30, -1, 0, 2, 30] },
        { "silu", Real.Silu, [-4, 0, 2] },
        { "gelu", Real.Gelu, [-4, -0.5, 0, 2] },
        { "gelu'", Real.GeluDerivative, [-4, -0.5, 0, 2] },
        { "gelu tanh", Real.GeluTanh, [-4, -0.5, 0, 2] },
        { "gelu tanh'", Real.GeluTanhDerivative, [-4, -0.5, 0, 2] },
        { "negate", x => -x, [-4, 2] },
        { "square", x => x * x, [-4, 0, 2] },
        { "quotient of itself and more", x => (x + 2) / (x * x + 1) - 3 / (x + 9), [-4, 0, 2] },
        { "max", x => Real.Max(x * x, x + 1), [-4, 0, 2] },
    };

    [Theory]
    [MemberData(nameof(Functions), DisableDiscoveryEnumeration = true)]
    public void Derivatives_match_finite_differences(string name, Func<Real, Real> function, double[] points)
    {
        Assert.NotEmpty(name);
        foreach (double point in points)
        {
            FiniteDifferences.Check([point], x => function(x[0]), tolerance: 1e-9);
        }
    }

    [Fact]
    public void Both_sides_of_every_operator_get_their_derivative() =>
        FiniteDifferences.Check([1.3, -0.7, 2.1], x => (x[0] + x[1]) * (x[1] - x[2]) / (x[0] * x[2] + 3) + 2 * x[1] - 4 / x[0]);

    [Theory]
    [InlineData(0, 0)]
    [InlineData(0.1, 0.11246291601828489)]
    [InlineData(0.5, 0.52049987781304654)]
    [InlineData(1, 0.84270079294971487)]
    [InlineData(2, 0.99532226501895273)]
    [InlineData(3.5, 0.99999925690162766)]
    [InlineData(7, 1)]
    public void Error_function_has_its_known_values(double x, double expected)
    {
        Assert.Equal(expected, ErrorFunction.Evaluate(x), 2e-15);
        Assert.Equal(-expected, ErrorFunction.Evaluate(-x), 2e-15);
    }

    [Fact]
    public void Gelu_has_its_known_values()
    {
        Assert.Equal(0.84134474606854293, Real.Gelu(1).Value, 1e-15);
        Assert.Equal(-0.15865525393145707, Real.Gelu(-1).Value, 1e-15);
        Assert.Equal(0.84119199060827, Real.GeluTanh(1).Value, 1e-13);
    }

    [Theory]
    [InlineData(-1.4)]
    [InlineData(0.3)]
    [InlineData(2.2)]
    public void Gelu_derivatives_are_those_of_gelu(double point)
    {
        var tape = new RealTape();
        Real x = tape.Variable(point);
        Assert.Equal(tape.Gradient(Real.Gelu(x))[x], Real.GeluDerivative(point).Value, 1e-14);
        Assert.Equal(tape.Gradient(Real.GeluTanh(x))[x], Real.GeluTanhDerivative(point).Value, 1e-14);
    }

    [Fact]
    public void Constants_take_no_place_on_the_tape()
    {
        var tape = new RealTape();
        Real constant = Real.Exp((Real)2 * 3 + default(Real));
        Assert.True(constant.IsConstant);
        Real x = tape.Variable(2);
        Assert.Equal(1, tape.Count);
        Assert.Equal(constant.Value, tape.Gradient(constant * x)[x]);
        Assert.Throws<ArgumentException>(() => tape.Gradient(x)[constant]);
    }

    [Fact]
    public void Numbers_of_two_tapes_do_not_mix()
    {
        Real a = new RealTape().Variable(1);
        Real b = new RealTape().Variable(1);
        Assert.Throws<InvalidOperationException>(() => a + b);
        Assert.Throws<ArgumentException>(() => new RealTape().Gradient(a));
    }

    [Fact]
    public void Seeds_weigh_outputs()
    {
        var tape = new RealTape();
        Real[,] x = tape.Variables([1.0, 2.0, 3.0, 4.0], 2, 2);
        Real[,] y = Matrix.Multiply(x, x);
        Assert.Equal([2.0, -4, 0, 80], tape.Gradient(y, [1.0, -1.0, 0.0, 10.0]).Of(x));
        Assert.Throws<ArgumentException>(() => tape.Gradient(y, [1.0]));
    }

    [Fact]
    public void Ten_million_nodes()
    {
        const int Count = 10_000_000;
        var tape = new RealTape();
        Real x = tape.Variable(0.5);
        Real y = x;
        for (int i = 0; i < Count; i++)
        {
            y += x;
        }

        Assert.Equal(Count + 1, tape.Count);
        Assert.Equal(Count + 1, tape.Gradient(y)[x]);
    }
}
