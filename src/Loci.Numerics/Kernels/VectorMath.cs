using System.Numerics;
using System.Runtime.CompilerServices;

namespace Loci.Numerics.Kernels;

/// <summary>
/// Functions of vectors of float32, within three units in the last place where not said otherwise. Results of a lane depend on that lane only. NaN in gives NaN out;
/// no other input of any of them gives NaN.
/// </summary>
internal static class VectorMath
{
    // Adding and subtracting 1.5 * 2^23 rounds to the nearest integer, which then sits in the low bits.
    private const float RoundingMagic = 12582912f;

    /// <summary>e^x: 0 below -104, infinity above 88.7, denormal results included.</summary>
    [MethodImpl(MethodImplOptions.AggressiveInlining)]
    public static Vector<float> Exp(Vector<float> x)
    {
        // The order of the arguments lets NaN through.
        x = Vector.MaxNative(new Vector<float>(-104f), Vector.MinNative(new Vector<float>(89f), x));
        var magic = new Vector<float>(RoundingMagic);
        var shifted = Vector.MultiplyAddEstimate(x, new Vector<float>(1.44269504f), magic);
        var n = shifted - magic;

        // r = x - n ln 2 in two steps: the first constant has few bits, so its product is exact.
        var r = Vector.MultiplyAddEstimate(n, new Vector<float>(-0.693359375f), x);
        r = Vector.MultiplyAddEstimate(n, new Vector<float>(2.12194440e-4f), r);

        // The Taylor series: |r| <= ln(2) / 2 leaves an error of 5e-9.
        var p = new Vector<float>(1f / 5040);
        p = Vector.MultiplyAddEstimate(p, r, new Vector<float>(1f / 720));
        p = Vector.MultiplyAddEstimate(p, r, new Vector<float>(1f / 120));
        p = Vector.MultiplyAddEstimate(p, r, new Vector<float>(1f / 24));
        p = Vector.MultiplyAddEstimate(p, r, new Vector<float>(1f / 6));
        p = Vector.MultiplyAddEstimate(p, r, new Vector<float>(0.5f));
        p = Vector.MultiplyAddEstimate(p, r, Vector<float>.One);
        p = Vector.MultiplyAddEstimate(p, r, Vector<float>.One);

        // 2^n as a product of two powers, so that both ends of the range round once.
        var exponent = Vector.AsVectorInt32(shifted) - Vector.AsVectorInt32(magic);
        var half = Vector.ShiftRightArithmetic(exponent, 1);
        return p * PowerOfTwo(half) * PowerOfTwo(exponent - half);
    }

    /// <summary>1 / (1 + e^-x).</summary>
    [MethodImpl(MethodImplOptions.AggressiveInlining)]
    public static Vector<float> Sigmoid(Vector<float> x) => Sigmoid(x, out _);

    /// <summary>1 / (1 + e^-x) and its derivative, both precise far out on either side.</summary>
    [MethodImpl(MethodImplOptions.AggressiveInlining)]
    public static Vector<float> Sigmoid(Vector<float> x, out Vector<float> derivative)
    {
        var e = Exp(-Vector.Abs(x));
        var inverse = Vector<float>.One / (Vector<float>.One + e);
        var small = e * inverse;
        derivative = small * inverse;
        return Vector.ConditionalSelect(Vector.GreaterThan(x, Vector<float>.Zero), inverse, small);
    }

    /// <summary>log(1 + e^x).</summary>
    [MethodImpl(MethodImplOptions.AggressiveInlining)]
    public static Vector<float> Softplus(Vector<float> x) =>
        Vector.MaxNative(Vector<float>.Zero, x) + LogOnePlus(Exp(-Vector.Abs(x)));

    /// <summary>log(1 + x) for x in [0, 1].</summary>
    [MethodImpl(MethodImplOptions.AggressiveInlining)]
    public static Vector<float> LogOnePlus(Vector<float> x)
    {
        // 2 artanh(s), s = x / (2 + x) <= 1/3, by its series in s^2 <= 1/9: the first term left out is 1.4e-9.
        var s = x / (x + new Vector<float>(2f));
        var z = s * s;
        var p = new Vector<float>(2f / 15);
        p = Vector.MultiplyAddEstimate(p, z, new Vector<float>(2f / 13));
        p = Vector.MultiplyAddEstimate(p, z, new Vector<float>(2f / 11));
        p = Vector.MultiplyAddEstimate(p, z, new Vector<float>(2f / 9));
        p = Vector.MultiplyAddEstimate(p, z, new Vector<float>(2f / 7));
        p = Vector.MultiplyAddEstimate(p, z, new Vector<float>(2f / 5));
        p = Vector.MultiplyAddEstimate(p, z, new Vector<float>(2f / 3));
        return Vector.MultiplyAddEstimate(p * z, s, s + s);
    }

    /// <summary>The normal distribution function and its density: Phi(x) = (1 + erf(x / sqrt(2))) / 2, to six units in the far negative tail too.</summary>
    [MethodImpl(MethodImplOptions.AggressiveInlining)]
    public static Vector<float> NormalDistribution(Vector<float> x, out Vector<float> density) => NormalDistribution(x, true, out density);

    /// <summary>The same without the care for the far tails: both results within 1e-7 of the exact ones.</summary>
    [MethodImpl(MethodImplOptions.AggressiveInlining)]
    public static Vector<float> NormalDistributionNear(Vector<float> x, out Vector<float> density) => NormalDistribution(x, false, out density);

    [MethodImpl(MethodImplOptions.AggressiveInlining)]
    private static Vector<float> NormalDistribution(Vector<float> x, bool isTailExact, out Vector<float> density)
    {
        // Phi(-a) = exp(-a^2 / 2) Q(a); (a + 3.75) Q(a) is nearly constant, and a polynomial in (a - 3.75) / (a + 3.75),
        // fitted at Chebyshev nodes of [0, 14.6], gives it to 2e-8. Beyond, Phi(-a) is below the smallest float.
        var a = Vector.MinNative(new Vector<float>(14.6f), Vector.Abs(x));
        var square = a * a;

        var e = Exp(square * new Vector<float>(-0.5f));
        if (isTailExact)
        {
            // What rounding took from the square, by halves whose products are exact (Dekker, 1971): it counts where the square is large.
            var high = Vector.AsVectorSingle(Vector.AsVectorInt32(a) & new Vector<int>(unchecked((int)0xFFFFF000)));
            var low = a - high;
            var error = ((high * high) - square) + ((high + high) * low) + (low * low);
            e = Vector.MultiplyAddEstimate(e * error, new Vector<float>(-0.5f), e);
        }

        density = e * new Vector<float>(0.398942280f);
        var centre = new Vector<float>(3.75f);
        var inverse = Vector<float>.One / (a + centre);
        var u = (a - centre) * inverse;
        var p = new Vector<float>(0.000441136449f);
        p = Vector.MultiplyAddEstimate(p, u, new Vector<float>(0.000506714717f));
        p = Vector.MultiplyAddEstimate(p, u, new Vector<float>(-0.00416744573f));
        p = Vector.MultiplyAddEstimate(p, u, new Vector<float>(0.00120254702f));
        p = Vector.MultiplyAddEstimate(p, u, new Vector<float>(0.0374922205f));
        p = Vector.MultiplyAddEstimate(p, u, new Vector<float>(-0.151521435f));
        p = Vector.MultiplyAddEstimate(p, u, new Vector<float>(0.352939622f));
        p = Vector.MultiplyAddEstimate(p, u, new Vector<float>(-0.588188241f));
        p = Vector.MultiplyAddEstimate(p, u, new Vector<float>(0.750294074f));
        var tail = e * (p * inverse);
        return Vector.ConditionalSelect(Vector.GreaterThan(x, Vector<float>.Zero), Vector<float>.One - tail, tail);
    }

    [MethodImpl(MethodImplOptions.AggressiveInlining)]
    private static Vector<float> PowerOfTwo(Vector<int> exponent) =>
        Vector.AsVectorSingle(Vector.ShiftLeft(exponent + new Vector<int>(127), 23));
}
