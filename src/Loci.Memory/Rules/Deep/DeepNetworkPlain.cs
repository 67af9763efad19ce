namespace Loci.Reference;

/// <summary>
/// M(x) = x + LN(W_1 gelu(W_2 gelu(... W_n x))), and the gradients of an inner loss, written out so that they are differentiable
/// themselves. Depth 1 without residual and norm is a matrix, M(x) = W_1 x.
/// </summary>
public static class DeepNetwork
{
    /// <param name="weights">W_1 [d, hidden], ..., W_n [hidden, d]; at depth 1 W_1 [d, d].</param>
    /// <param name="gain">[d], of LN; null = 1</param>
    /// <param name="x">[d]</param>
    /// <param name="options">Norm, residual and GELU.</param>
    public static Real[] Forward(Real[][,] weights, Real[]? gain, Real[] x, DeepMemoryOptions options)
    {
        Real[] output = x;
        for (int i = weights.Length - 1; i >= 0; i--)
        {
            output = Matrix.Product(weights[i], output);
            if (i > 0)
            {
                output = Array.ConvertAll(output, z => Gelu(z, options));
            }
        }

        if (options.Normalize)
        {
            output = Gain(LayerNorm.Normalize(output, options.NormalizationEpsilon).Normalized, gain);
        }

        return options.Residual ? Add(x, output) : output;
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

    /// <summary>The gradients of l(M(k), v) with respect to W_1, ..., W_n, each clipped.</summary>
    public static Real[][,] Gradient(Real[][,] weights, Real[]? gain, Real[] k, Real[] v, DeepMemoryOptions options)
    {
        int depth = weights.Length;
        var inputs = new Real[depth][]; // of W_i
        var z = new Real[depth][]; // W_i times its input
        inputs[depth - 1] = k;
        for (int i = depth - 1; i >= 0; i--)
        {
            z[i] = Matrix.Product(weights[i], inputs[i]);
            if (i > 0)
            {
                inputs[i - 1] = Array.ConvertAll(z[i], x => Gelu(x, options));
            }
        }

        Real[] y = Forward(weights, gain, k, options); // [d]
        Real[] dy = options.Loss == InnerLoss.InnerProduct
            ? Array.ConvertAll(v, x => -x)
            : Array.ConvertAll(Subtract(y, v), error => 2 * error); // [d]
        Real[] delta = options.Normalize ? NormBackward(z[0], Gain(dy, gain), options.NormalizationEpsilon) : dy;
        var gradients = new Real[depth][,];
        for (int i = 0; i < depth; i++)
        {
            gradients[i] = Clip(Outer(delta, inputs[i]), options.GradientClip);
            if (i < depth - 1)
            {
                delta = Matrix.Product(Matrix.Transpose(weights[i]), delta);
                for (int j = 0; j < delta.Length; j++)
                {
                    delta[j] *= options.ApproximateGelu ? Real.GeluTanhDerivative(z[i + 1][j]) : Real.GeluDerivative(z[i + 1][j]);
                }
            }
        }

        return gradients;
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
