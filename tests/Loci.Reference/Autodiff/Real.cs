namespace Loci.Reference;

/// <summary>
/// A double that remembers how it was computed, so that a <see cref="RealTape"/> can differentiate it.
/// A constant (any double, and <c>default</c> = 0) carries no node and takes no place on the tape.
/// </summary>
public readonly struct Real
{
    private readonly int node;

    private Real(double value)
    {
        Value = value;
        Tape = null;
        node = -1;
    }

    internal Real(double value, RealTape tape, int node)
    {
        Value = value;
        Tape = tape;
        this.node = node;
    }

    public double Value { get; }

    /// <summary>The tape that holds this number's node, or null for a constant.</summary>
    internal RealTape? Tape { get; }

    internal int Node => Tape is null ? -1 : node;

    public bool IsConstant => Tape is null;

    public static implicit operator Real(double value) => new(value);

    public static Real operator +(Real a, Real b) => Binary(a.Value + b.Value, a, 1, b, 1);

    public static Real operator -(Real a, Real b) => Binary(a.Value - b.Value, a, 1, b, -1);

    public static Real operator *(Real a, Real b) => Binary(a.Value * b.Value, a, b.Value, b, a.Value);

    public static Real operator /(Real a, Real b)
    {
        double quotient = a.Value / b.Value;
        return Binary(quotient, a, 1 / b.Value, b, -quotient / b.Value);
    }

    public static Real operator -(Real a) => Unary(-a.Value, a, -1);

    public static Real Exp(Real x)
    {
        double value = Math.Exp(x.Value);
        return Unary(value, x, value);
    }

    public static Real Log(Real x) => Unary(Math.Log(x.Value), x, 1 / x.Value);

    public static Real Sqrt(Real x)
    {
        double value = Math.Sqrt(x.Value);
        return Unary(value, x, 0.5 / value);
    }

    public static Real Tanh(Real x)
    {
        double value = Math.Tanh(x.Value);
        return Unary(value, x, 1 - value * value);
    }

    public static Real Erf(Real x) =>
        Unary(ErrorFunction.Evaluate(x.Value), x, 2 / Math.Sqrt(Math.PI) * Math.Exp(-x.Value * x.Value));

    public static Real Sigmoid(Real x)
    {
        double value = LogisticSigmoid(x.Value);
        return Unary(value, x, value * (1 - value));
    }

    /// <summary>log(1 + exp(x)).</summary>
    public static Real Softplus(Real x) =>
        Unary(Math.Max(x.Value, 0) + double.LogP1(Math.Exp(-Math.Abs(x.Value))), x, LogisticSigmoid(x.Value));

    /// <summary>x sigmoid(x).</summary>
    public static Real Silu(Real x) => x * Sigmoid(x);

    /// <summary>The exact GELU, x Phi(x) with the normal distribution function Phi.</summary>
    public static Real Gelu(Real x) => x * (0.5 * (1 + Erf(x / Math.Sqrt(2))));

    /// <summary>d Gelu / dx = Phi(x) + x phi(x), itself differentiable.</summary>
    public static Real GeluDerivative(Real x) =>
        0.5 * (1 + Erf(x / Math.Sqrt(2))) + x * Exp(-0.5 * (x * x)) / Math.Sqrt(2 * Math.PI);

    /// <summary>The tanh approximation of GELU: x/2 (1 + tanh(sqrt(2/pi) (x + 0.044715 x^3))).</summary>
    public static Real GeluTanh(Real x) =>
        0.5 * x * (1 + Tanh(Math.Sqrt(2 / Math.PI) * (x + 0.044715 * (x * x * x))));

    /// <summary>d GeluTanh / dx, itself differentiable.</summary>
    public static Real GeluTanhDerivative(Real x)
    {
        Real tanh = Tanh(Math.Sqrt(2 / Math.PI) * (x + 0.044715 * (x * x * x)));
        Real inner = Math.Sqrt(2 / Math.PI) * (1 + 3 * 0.044715 * (x * x));
        return 0.5 * (1 + tanh) + 0.5 * x * (1 - tanh * tanh) * inner;
    }

    /// <summary>The larger of two numbers; the derivative goes to the larger one, and to the first of two equal ones.</summary>
    public static Real Max(Real a, Real b) => a.Value >= b.Value ? a : b;

    public override string ToString() => Value.ToString("R");

    private static double LogisticSigmoid(double x)
    {
        if (x >= 0)
        {
            return 1 / (1 + Math.Exp(-x));
        }

        double exponential = Math.Exp(x);
        return exponential / (1 + exponential);
    }

    private static Real Unary(double value, Real x, double partial) =>
        x.Tape is null ? new Real(value) : x.Tape.Record(value, x.node, partial, -1, 0);

    private static Real Binary(double value, Real a, double partialA, Real b, double partialB)
    {
        if (a.Tape is null)
        {
            return Unary(value, b, partialB);
        }

        if (b.Tape is null)
        {
            return Unary(value, a, partialA);
        }

        if (a.Tape != b.Tape)
        {
            throw new InvalidOperationException("Two numbers of different tapes meet in one operation; make every variable on one tape.");
        }

        return a.Tape.Record(value, a.node, partialA, b.node, partialB);
    }
}
