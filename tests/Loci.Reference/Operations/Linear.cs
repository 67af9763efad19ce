namespace Loci.Reference;

/// <summary>y = x W^T + b.</summary>
public static class Linear
{
    /// <param name="x">[rows, inputs]</param>
    /// <param name="weight">[outputs, inputs]</param>
    /// <param name="bias">[outputs]</param>
    /// <returns>[rows, outputs]</returns>
    public static Real[,] Forward(Real[,] x, Real[,] weight, Real[]? bias = null)
    {
        Real[,] y = Matrix.Product(x, Matrix.Transpose(weight));
        if (bias is not null)
        {
            for (int row = 0; row < y.GetLength(0); row++)
            {
                for (int output = 0; output < y.GetLength(1); output++)
                {
                    y[row, output] += bias[output];
                }
            }
        }

        return y;
    }
}
