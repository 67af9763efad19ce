namespace Loci.Reference;

/// <summary>
/// Causal depthwise convolution: y_t = sum_j kernel[:, j] x_(t - width + 1 + j), the last tap on the token itself.
/// Rows before the start of a sequence are zero.
/// </summary>
public static class CausalConvolution
{
    /// <param name="x">[rows, D]</param>
    /// <param name="kernel">[D, width]</param>
    /// <param name="sequenceStarts">First row of every sequence.</param>
    /// <param name="bias">[D]; null = 0</param>
    public static Real[,] Forward(Real[,] x, Real[,] kernel, int[] sequenceStarts, Real[]? bias = null)
    {
        int rows = x.GetLength(0);
        int width = kernel.GetLength(1);
        Shape.Require(kernel.GetLength(0) == x.GetLength(1), $"kernel {Shape.Of(kernel)} on {Shape.Of(x)}");
        var y = new Real[rows, x.GetLength(1)];
        foreach ((int start, int end) in Sequences.Ranges(sequenceStarts, rows))
        {
            for (int row = start; row < end; row++)
            {
                for (int channel = 0; channel < x.GetLength(1); channel++)
                {
                    Real sum = bias is null ? 0 : bias[channel];
                    for (int tap = 0; tap < width; tap++)
                    {
                        int source = row - width + 1 + tap;
                        if (source >= start)
                        {
                            sum += kernel[channel, tap] * x[source, channel];
                        }
                    }

                    y[row, channel] = sum;
                }
            }
        }

        return y;
    }
}
