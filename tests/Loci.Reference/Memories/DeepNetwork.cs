namespace Loci.Reference;

/// <summary>M(x) = x + LN(W_1 gelu(W_2 x)), and the gradients of an inner loss, written out so that they are differentiable themselves.</summary>
public static class DeepNetwork
{
    /// <param name="w1">[d, hidden]</param>
    /// <param name="w2">[hidden, d]</param>
    /// <param name="gain">[d], of LN; null = 1</param>
    /// <param name="x">[d]</param>
    /// <param name="options">Norm and GELU.</param>
    public static Real[] Forward(Real[,] w1, Real[,] w2, Real[]? gain, Real[] x, DeepMemoryOptions options)
    {
        Real[] output = Matrix.Product(w1, Array.ConvertAll(Matrix.Product(w2, x), z => Gelu(z, options)));
        if (options.Normalize)
        {
            output = Gain(LayerNorm.Normalize(output, options.NormalizationEpsilon).Normalized, gain);
        }

        return Add(x, output);
    }

    /// <summary>l(M(k), v).</summary>
    public static Real Loss(Real[] y, Real[] v, InnerLoss loss)
    {
        if (loss == InnerLoss.InnerProduct)
        {
            return -Matrix.Dot(y, v);
        }

        Real[] error = Subtract(y, v);
        return Matrix.Dot(error, error);
    }

    /// <summary>The gradients of l(M(k), v) with respect to W_1 and W_2, each clipped.</summary>
    public static (Real[,] W1, Real[,] W2) Gradient(Real[,] w1, Real[,] w2, Real[]? gain, Real[] k, Real[] v, DeepMemoryOptions options)
    {
        Real[] z = Matrix.Product(w2, k); // [hidden]
        Real[] a = Array.ConvertAll(z, x => Gelu(x, options)); // [hidden]
        Real[] o = Matrix.Product(w1, a); // [d]
        Real[] y = Forward(w1, w2, gain, k, options); // [d]
        Real[] dy = options.Loss == InnerLoss.InnerProduct
            ? Array.ConvertAll(v, x => -x)
            : Array.ConvertAll(Subtract(y, v), error => 2 * error); // [d]
        Real[] dOutput = options.Normalize ? NormBackward(o, Gain(dy, gain), options.NormalizationEpsilon) : dy; // [d]
        Real[] da = Matrix.Product(Matrix.Transpose(w1), dOutput); // [hidden]
        var dz = new Real[z.Length]; // [hidden]
        for (int i = 0; i < dz.Length; i++)
        {
            dz[i] = da[i] * (options.ApproximateGelu ? Real.GeluTanhDerivative(z[i]) : Real.GeluDerivative(z[i]));
        }

        return (Clip(Outer(dOutput, a), options.GradientClip), Clip(Outer(dz, k), options.GradientClip));
    }

    private static Real Gelu(Real x, DeepMemoryOptions options) => options.ApproximateGelu ? Real.GeluTanh(x) : Real.Gelu(x);

    /// <summary>n = (o - mean) / deviation: do = (dn - mean(dn) - n mean(dn n)) / deviation.</summary>
    private static Real[] NormBackward(Real[] o, Real[] dn, double epsilon)
    {
        (Real[] n, Real deviation) = LayerNorm.Normalize(o, epsilon);
        Real mean = 0;
        foreach (Real x in dn)
        {
            mean += x / dn.Length;
        }

        Real along = Matrix.Dot(dn, n) / dn.Length;
        var gradient = new Real[o.Length];
        for (int i = 0; i < o.Length; i++)
        {
            gradient[i] = (dn[i] - mean - n[i] * along) / deviation;
        }

        return gradient;
    }

    private static Real[,] Clip(Real[,] gradient, double? limit)
    {
        Real squares = 0;
        foreach (Real x in gradient)
        {
            squares += x * x;
        }

        if (limit is not double most || squares.Value <= most * most)
        {
            return gradient;
        }

        Real norm = Real.Sqrt(squares);
        return Matrix.Map(gradient, x => x * most / norm);
    }

    private static Real[] Gain(Real[] x, Real[]? gain)
    {
        var y = (Real[])x.Clone();
        for (int i = 0; gain is not null && i < y.Length; i++)
        {
            y[i] *= gain[i];
        }

        return y;
    }

    private static Real[] Add(Real[] a, Real[] b)
    {
        var sum = new Real[a.Length];
        for (int i = 0; i < sum.Length; i++)
        {
            sum[i] = a[i] + b[i];
        }

        return sum;
    }

    private static Real[] Subtract(Real[] a, Real[] b) => Add(a, Array.ConvertAll(b, x => -x));

    private static Real[,] Outer(Real[] a, Real[] b)
    {
        var product = new Real[a.Length, b.Length];
        for (int i = 0; i < a.Length; i++)
        {
            for (int j = 0; j < b.Length; j++)
            {
                product[i, j] = a[i] * b[j];
            }
        }

        return product;
    }
}
