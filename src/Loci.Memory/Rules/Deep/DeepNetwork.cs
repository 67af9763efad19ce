using System.Numerics;
using System.Runtime.CompilerServices;
using Loci.Numerics.Kernels;

namespace Loci.Memory.Rules.Deep;

/// <summary>
/// The network of a deep memory and its parts on panels of rows: layer i maps In(i) to Out(i), its matrix is stored [In, Out]. The output
/// is x + gain o LN(o) of the last layer's o, or o itself at depth 1.
/// </summary>
internal unsafe struct DeepNetwork
{
    public int Depth;
    public int Width;
    public int Hidden;
    public int WeightCount;
    public bool SquaredError;
    public bool Normalizes;
    public bool IsResidual;
    public float Epsilon;
    public float Clip;

    public DeepNetwork(DeepMemoryOptions options)
    {
        Depth = options.Depth;
        Width = options.Width;
        Hidden = options.HiddenWidth;
        WeightCount = options.WeightCount;
        SquaredError = options.Loss == InnerLoss.SquaredError;
        Normalizes = options.Normalizes && options.Depth > 1;
        IsResidual = options.Depth > 1;
        Epsilon = options.NormEpsilon;
        Clip = options.GradientClip;
    }

    /// <summary>Widest layer.</summary>
    public readonly int Wide => Depth == 1 ? Width : Math.Max(Width, Hidden);

    /// <summary>Sum of all layers' outputs.</summary>
    public readonly int OutputCount => ((Depth - 1) * Hidden) + Width;

    /// <summary>Sum of the hidden layers' outputs.</summary>
    public readonly int HiddenCount => (Depth - 1) * Hidden;

    public readonly int In(int layer) => layer == 0 ? Width : Hidden;

    public readonly int Out(int layer) => layer == Depth - 1 ? Width : Hidden;

    public readonly int Offset(int layer) => layer == 0 ? 0 : (Width * Hidden) + ((layer - 1) * Hidden * Hidden);

    /// <summary>y = gelu(z) and, where given, its first and second derivative. y may be z.</summary>
    public static void Gelu(float* z, float* y, float* slope, float* curvature, int count)
    {
        var i = 0;
        for (; i <= count - Lanes.Count; i += Lanes.Count)
        {
            GeluAt(z + i, y + i, slope == null ? null : slope + i, curvature == null ? null : curvature + i, Lanes.Count);
        }

        if (i < count)
        {
            GeluAt(z + i, y + i, slope == null ? null : slope + i, curvature == null ? null : curvature + i, count - i);
        }
    }

    /// <summary>
    /// One row of the output: y = x + gain o LN(o), which becomes scale y or is added to what is there. Keeps LN(o) in place of o; returns
    /// 1 / deviation.
    /// </summary>
    public readonly float Output(float* o, float* x, float* gain, float* y)
    {
        var inverse = Normalizes ? Normalize(o) : 1;
        for (var i = 0; i < Width; i += Lanes.Count)
        {
            long left = Width - i;
            var value = Lanes.Load(o + i, left);
            if (Normalizes)
            {
                value *= Lanes.Load(gain + i, left);
            }

            if (IsResidual)
            {
                value += Lanes.Load(x + i, left);
            }

            Lanes.Store(value, y + i, left);
        }

        return inverse;
    }

    /// <summary>
    /// One row of the gradient of <see cref="Output"/>: that of o, from LN(o), 1 / deviation and dy; adds the gain's. The input's gradient
    /// of the residual path is dy and is left to the caller. d may be dy.
    /// </summary>
    public readonly void OutputBackward(float* normalized, float inverse, float* gain, float* dy, float* d, float* dGain)
    {
        if (!Normalizes)
        {
            if (d != dy)
            {
                Blas1.Copy(dy, d, Width);
            }

            return;
        }

        for (var i = 0; i < Width; i += Lanes.Count)
        {
            long left = Width - i;
            Vector<float> n = Lanes.Load(normalized + i, left), g = Lanes.Load(dy + i, left);
            if (dGain != null)
            {
                Lanes.Store(Lanes.Load(dGain + i, left) + (n * g), dGain + i, left);
            }

            Lanes.Store(g * Lanes.Load(gain + i, left), d + i, left);
        }

        NormBackward(normalized, inverse, d, d);
    }

    /// <summary>
    /// One row of the inner gradient: delta, the gradient of the loss with respect to the last layer's o. o becomes LN(o); returns 1 /
    /// deviation.
    /// </summary>
    public readonly float LossGradient(float* o, float* k, float* v, float* gain, float* delta)
    {
        if (!Normalizes)
        {
            for (var i = 0; i < Width; i += Lanes.Count)
            {
                Lanes.Store(OutputGradient(Lanes.Load(o + i, Width - i), k, v, i, Width - i), delta + i, Width - i);
            }

            return 1;
        }

        // dn = gain o dy; delta = r (dn - mean(dn) - n mean(dn n))
        var inverse = Normalize(o);
        Vector<float> sum = Vector<float>.Zero, along = Vector<float>.Zero;
        for (var i = 0; i < Width; i += Lanes.Count)
        {
            long left = Width - i;
            Vector<float> n = Lanes.Load(o + i, left), weight = Lanes.Load(gain + i, left);
            var dn = OutputGradient(n * weight, k, v, i, left) * weight;
            Lanes.Store(dn, delta + i, left);
            sum += dn;
            along += dn * n;
        }

        Vector<float> mean = new(Vector.Sum(sum) / Width), slope = new(Vector.Sum(along) / Width), scale = new(inverse);
        for (var i = 0; i < Width; i += Lanes.Count)
        {
            long left = Width - i;
            Lanes.Store(scale * (Lanes.Load(delta + i, left) - mean - (Lanes.Load(o + i, left) * slope)), delta + i, left);
        }

        return inverse;
    }

    /// <summary>
    /// One row of the gradient of <see cref="LossGradient"/>, which is itself a gradient: from that of delta, D, those of o, k, v and the
    /// gain.
    /// </summary>
    public readonly void LossGradientBackward(
        float* normalized, float inverse, float* k, float* v, float* gain, float* dDelta, float* dO, float* dK, float* dV, float* dGain)
    {
        if (!Normalizes)
        {
            for (var i = 0; i < Width; i += Lanes.Count)
            {
                long left = Width - i;
                Lanes.Store(OutputGradientBackward(Lanes.Load(dDelta + i, left), dK, dV, i, left), dO + i, left);
            }

            return;
        }

        // delta = r (dn - mean(dn) - n mean(dn n)) with dn = gain o dy: the sums that tie the elements together come first.
        Vector<float> sumDn = default, sumD = default, dnN = default, dN = default, dDn = default;
        for (var i = 0; i < Width; i += Lanes.Count)
        {
            long left = Width - i;
            Vector<float> n = Lanes.Load(normalized + i, left), weight = Lanes.Load(gain + i, left), d = Lanes.Load(dDelta + i, left);
            var dn = OutputGradient(n * weight, k, v, i, left) * weight;
            sumDn += dn;
            sumD += d;
            dnN += dn * n;
            dN += d * n;
            dDn += d * dn;
        }

        float meanDn = Vector.Sum(sumDn) / Width, meanD = Vector.Sum(sumD) / Width, along = Vector.Sum(dnN) / Width;
        float turned = Vector.Sum(dN) / Width;

        // r enters by the sum of D o delta.
        var radial = inverse * (Vector.Sum(dDn) - (Width * ((meanDn * meanD) + (along * turned))));
        Vector<float> scale = new(inverse), vMeanD = new(meanD), vAlong = new(-inverse * along), vTurned = new(-inverse * turned);
        Vector<float> vTurn = new(turned);
        Vector<float> sum = default, product = default;
        for (var i = 0; i < Width; i += Lanes.Count)
        {
            long left = Width - i;
            Vector<float> n = Lanes.Load(normalized + i, left), weight = Lanes.Load(gain + i, left), d = Lanes.Load(dDelta + i, left);
            var dy = OutputGradient(n * weight, k, v, i, left);

            // of dn, then of dy; what reaches n as it stands in the formula and through y = k + gain o n
            var dm = scale * (d - vMeanD - (n * vTurn));
            var dOutput = OutputGradientBackward(dm * weight, dK, dV, i, left);
            var gradient = (vAlong * d) + (vTurned * dy * weight) + (dOutput * weight);
            if (dGain != null)
            {
                Lanes.Store(Lanes.Load(dGain + i, left) + (dm * dy) + (dOutput * n), dGain + i, left);
            }

            Lanes.Store(gradient, dO + i, left);
            sum += gradient;
            product += gradient * n;
        }

        Vector<float> mean = new(Vector.Sum(sum) / Width), slope = new((Vector.Sum(product) + radial) / Width);
        for (var i = 0; i < Width; i += Lanes.Count)
        {
            long left = Width - i;
            Lanes.Store(scale * (Lanes.Load(dO + i, left) - mean - (Lanes.Load(normalized + i, left) * slope)), dO + i, left);
        }
    }

    [MethodImpl(MethodImplOptions.AggressiveInlining)]
    private static void GeluAt(float* z, float* y, float* slope, float* curvature, int left)
    {
        var x = Lanes.Load(z, left);
        var phi = VectorMath.NormalDistributionNear(x, out var density);
        Lanes.Store(x * phi, y, left);
        if (slope != null)
        {
            Lanes.Store(Vector.MultiplyAddEstimate(x, density, phi), slope, left);
        }

        if (curvature != null)
        {
            Lanes.Store(density * (new Vector<float>(2) - (x * x)), curvature, left);
        }
    }

    /// <summary>dy of the inner loss at y = input + output: 2 (y - v) or -v. The input counts where the network is residual.</summary>
    [MethodImpl(MethodImplOptions.AggressiveInlining)]
    private readonly Vector<float> OutputGradient(Vector<float> output, float* k, float* v, int i, long left)
    {
        var target = Lanes.Load(v + i, left);
        if (!SquaredError)
        {
            return -target;
        }

        var error = (IsResidual ? output + Lanes.Load(k + i, left) : output) - target;
        return error + error;
    }

    /// <summary>From the gradient of dy those of k and v, added to what is there, and of the output, returned.</summary>
    [MethodImpl(MethodImplOptions.AggressiveInlining)]
    private readonly Vector<float> OutputGradientBackward(Vector<float> gradient, float* dK, float* dV, int i, long left)
    {
        if (!SquaredError)
        {
            Lanes.Store(Lanes.Load(dV + i, left) - gradient, dV + i, left);
            return Vector<float>.Zero;
        }

        gradient += gradient;
        Lanes.Store(Lanes.Load(dV + i, left) - gradient, dV + i, left);
        if (IsResidual)
        {
            Lanes.Store(Lanes.Load(dK + i, left) + gradient, dK + i, left);
        }

        return gradient;
    }

    /// <summary>o = (o - mean) / deviation; returns 1 / deviation.</summary>
    private readonly float Normalize(float* o)
    {
        var mean = Sum(o) / Width;
        var squares = Vector<float>.Zero;
        var shift = new Vector<float>(mean);
        for (var i = 0; i < Width; i += Lanes.Count)
        {
            // Lanes past the end load the mean, and count nothing.
            var x = Lanes.Load(o + i, Width - i, mean) - shift;
            Lanes.Store(x, o + i, Width - i);
            squares = Vector.MultiplyAddEstimate(x, x, squares);
        }

        var inverse = 1 / MathF.Sqrt((Vector.Sum(squares) / Width) + Epsilon);
        Blas1.Scale(inverse, o, o, Width);
        return inverse;
    }

    /// <summary>d = r (dn - mean(dn) - n mean(dn n)); d may be dn.</summary>
    private readonly void NormBackward(float* n, float inverse, float* dn, float* d)
    {
        var along = new Vector<float>(Blas1.Dot(dn, n, Width) / Width);
        var mean = new Vector<float>(Sum(dn) / Width);
        var scale = new Vector<float>(inverse);
        for (var i = 0; i < Width; i += Lanes.Count)
        {
            long left = Width - i;
            Lanes.Store(scale * (Lanes.Load(dn + i, left) - mean - (Lanes.Load(n + i, left) * along)), d + i, left);
        }
    }

    private readonly float Sum(float* x)
    {
        var sum = Vector<float>.Zero;
        for (var i = 0; i < Width; i += Lanes.Count)
        {
            sum += Lanes.Load(x + i, Width - i);
        }

        return Vector.Sum(sum);
    }
}
