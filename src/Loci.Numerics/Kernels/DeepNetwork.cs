using System.Numerics;
using System.Runtime.CompilerServices;
using Loci.Numerics.Operations;

namespace Loci.Numerics.Kernels;

/// <summary>
/// The network of a deep memory and its parts on panels of rows: layer i maps In(i) to Out(i), its matrix is stored [In, Out]. The output is
/// x + gain o LN(o) of the last layer's o, or o itself at depth 1.
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

    /// <summary>One row of the output: y = x + gain o LN(o), which becomes scale y or is added to what is there. Keeps LN(o) in place of o; returns 1 / deviation.</summary>
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
    /// One row of the gradient of <see cref="Output"/>: that of o, from LN(o), 1 / deviation and dy; adds the gain's. The input's gradient of the residual path is dy and is left to the caller.
    /// d may be dy.
    /// </summary>
    public readonly void OutputBackward(float* normalized, float inverse, float* gain, float* dy, float* d, float* dGain)
    {
        if (!Normalizes)
        {
            if (d != dy)
            {
                MemoryVector.Copy(dy, d, Width);
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
    /// One row of the inner gradient: delta, the gradient of the loss with respect to the last layer's o. o becomes LN(o); returns 1 / deviation.
    /// </summary>
    public readonly float LossGradient(float* o, float* k, float* v, float* gain, float* delta)
    {
        var inverse = Normalizes ? Normalize(o) : 1;
        for (var i = 0; i < Width; i += Lanes.Count)
        {
            long left = Width - i;
            var dy = OutputGradient(o, k, v, gain, i, left);
            Lanes.Store(Normalizes ? dy * Lanes.Load(gain + i, left) : dy, delta + i, left);
        }

        if (Normalizes)
        {
            NormBackward(o, inverse, delta, delta);
        }

        return inverse;
    }

    /// <summary>
    /// One row of the gradient of <see cref="LossGradient"/>, which is itself a gradient: from that of delta those of o, k, v and the gain. scratch: 2 widths.
    /// </summary>
    public readonly void LossGradientBackward(
        float* normalized, float inverse, float* k, float* v, float* gain, float* dDelta, float* dO, float* dK, float* dV, float* dGain, float* scratch)
    {
        int d = Width;
        float* dn = scratch, dm = scratch + d; // gain o dy; gradient of dn
        if (!Normalizes)
        {
            MemoryVector.Copy(dDelta, dm, d);
            MemoryVector.Zero(dO, d);
        }
        else
        {
            // delta = r (dn - mean(dn) - n mean(dn n))
            for (var i = 0; i < d; i += Lanes.Count)
            {
                long left = d - i;
                Lanes.Store(OutputGradient(normalized, k, v, gain, i, left) * Lanes.Load(gain + i, left), dn + i, left);
            }

            var along = MemoryVector.Dot(dn, normalized, d) / d;
            var turned = MemoryVector.Dot(dDelta, normalized, d) / d;
            float mean = Sum(dn) / d, meanGradient = Sum(dDelta) / d;

            // sum of dDelta o delta, by which r enters
            var radial = inverse * (MemoryVector.Dot(dDelta, dn, d) - (mean * meanGradient * d) - (along * turned * d));
            Vector<float> vAlong = new(-inverse * along), vTurned = new(-inverse * turned);
            for (var i = 0; i < d; i += Lanes.Count)
            {
                long left = d - i;
                var g = Lanes.Load(dDelta + i, left);

                // the gradient of n, as it stands in the formula
                Lanes.Store((vAlong * g) + (vTurned * Lanes.Load(dn + i, left)), dO + i, left);
            }

            MemoryVector.Copy(dDelta, dm, d);
            NormBackward(normalized, inverse, dm, dm);
            AddOutputPath(normalized, k, v, gain, dm, dO, dGain);
            NormBackward(normalized, inverse, dO, dO);
            MemoryVector.AddScaled(-inverse * radial / d, normalized, dO, d);
        }

        // dy = 2 (y - v) or -v
        for (var i = 0; i < d; i += Lanes.Count)
        {
            long left = d - i;
            var g = Lanes.Load(dm + i, left);
            if (Normalizes)
            {
                g *= Lanes.Load(gain + i, left);
            }

            if (SquaredError)
            {
                g += g;
                if (IsResidual)
                {
                    Lanes.Store(Lanes.Load(dK + i, left) + g, dK + i, left);
                }

                if (!Normalizes)
                {
                    Lanes.Store(g, dO + i, left);
                }
            }

            Lanes.Store(Lanes.Load(dV + i, left) - g, dV + i, left);
        }
    }

    [MethodImpl(MethodImplOptions.AggressiveInlining)]
    private static void GeluAt(float* z, float* y, float* slope, float* curvature, int left)
    {
        var x = Lanes.Load(z, left);
        var phi = VectorMath.NormalDistribution(x, out var density);
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

    /// <summary>dm is the gradient of gain o dy: adds what reaches the gain and LN(o) through dy.</summary>
    private readonly void AddOutputPath(float* normalized, float* k, float* v, float* gain, float* dm, float* dNormalized, float* dGain)
    {
        for (var i = 0; i < Width; i += Lanes.Count)
        {
            long left = Width - i;
            Vector<float> m = Lanes.Load(dm + i, left), n = Lanes.Load(normalized + i, left), weight = Lanes.Load(gain + i, left);
            var gradient = m * OutputGradient(normalized, k, v, gain, i, left);
            if (SquaredError)
            {
                var dy = m * weight;
                dy += dy;
                gradient += dy * n;
                Lanes.Store(Lanes.Load(dNormalized + i, left) + (dy * weight), dNormalized + i, left);
            }

            if (dGain != null)
            {
                Lanes.Store(Lanes.Load(dGain + i, left) + gradient, dGain + i, left);
            }
        }
    }

    /// <summary>dy of the inner loss: 2 (y - v) or -v.</summary>
    [MethodImpl(MethodImplOptions.AggressiveInlining)]
    private readonly Vector<float> OutputGradient(float* o, float* k, float* v, float* gain, int i, long left)
    {
        var target = Lanes.Load(v + i, left);
        if (!SquaredError)
        {
            return -target;
        }

        var y = Lanes.Load(o + i, left);
        if (Normalizes)
        {
            y *= Lanes.Load(gain + i, left);
        }

        if (IsResidual)
        {
            y += Lanes.Load(k + i, left);
        }

        y -= target;
        return y + y;
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
        MemoryVector.Scale(inverse, o, o, Width);
        return inverse;
    }

    /// <summary>d = r (dn - mean(dn) - n mean(dn n)); d may be dn.</summary>
    private readonly void NormBackward(float* n, float inverse, float* dn, float* d)
    {
        var along = new Vector<float>(MemoryVector.Dot(dn, n, Width) / Width);
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
