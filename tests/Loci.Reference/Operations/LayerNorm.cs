namespace Loci.Reference;

/// <summary>(x - mean) / sqrt(variance + eps) * gain + bias, with the variance over all entries (not n - 1).</summary>
public static class LayerNorm
{
    /// <param name="x">[rows, D]</param>
    /// <param name="gain">[D]; null = 1</param>
    /// <param name="bias">[D]; null = 0</param>
    /// <param name="epsilon">Added to the variance.</param>
    public static Real[,] Forward(Real[,] x, Real[]? gain, Real[]? bias, double epsilon)
    {
        int size = x.GetLength(1);
        var y = new Real[x.GetLength(0), size];
        for (int row = 0; row < x.GetLength(0); row++)
        {
            var vector = new Real[size];
            for (int i = 0; i < size; i++)
            {
                vector[i] = x[row, i];
            }

            Real[] normalized = Normalize(vector, epsilon).Normalized;
            for (int i = 0; i < size; i++)
            {
                y[row, i] = normalized[i];
                if (gain is not null)
                {
                    y[row, i] *= gain[i];
                }

                if (bias is not null)
                {
                    y[row, i] += bias[i];
                }
            }
        }

        return y;
    }

    /// <summary>One vector without gain, and the standard deviation (with eps) it was divided by.</summary>
    public static (Real[] Normalized, Real Deviation) Normalize(Real[] x, double epsilon)
    {
        Real mean = 0;
        for (int i = 0; i < x.Length; i++)
        {
            mean += x[i] / x.Length;
        }

        Real variance = 0;
        for (int i = 0; i < x.Length; i++)
        {
            variance += (x[i] - mean) * (x[i] - mean) / x.Length;
        }

        Real deviation = Real.Sqrt(variance + epsilon);
        return (Array.ConvertAll(x, value => (value - mean) / deviation), deviation);
    }
}
