namespace Loci.Reference;

/// <summary>x / sqrt(sum x^2 + eps), every head on its own.</summary>
public static class L2Norm
{
    /// <param name="x">[rows, heads d]</param>
    /// <param name="heads">Number of consecutive blocks of columns.</param>
    /// <param name="epsilon">Added to the sum of squares.</param>
    public static Real[,] Forward(Real[,] x, int heads, double epsilon)
    {
        int rows = x.GetLength(0);
        int size = x.GetLength(1) / heads;
        var y = new Real[rows, x.GetLength(1)];
        for (int head = 0; head < heads; head++)
        {
            Real[][] vectors = Sequences.Head(x, heads, head, 0, rows);
            for (int row = 0; row < rows; row++)
            {
                Real[] normalized = Normalize(vectors[row], epsilon);
                for (int i = 0; i < size; i++)
                {
                    y[row, head * size + i] = normalized[i];
                }
            }
        }

        return y;
    }

    public static Real[] Normalize(Real[] x, double epsilon)
    {
        Real norm = Real.Sqrt(Matrix.Dot(x, x) + epsilon);
        return Array.ConvertAll(x, value => value / norm);
    }
}
