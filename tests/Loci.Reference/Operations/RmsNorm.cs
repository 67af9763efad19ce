namespace Loci.Reference;

/// <summary>x / sqrt(mean(x^2) + eps) * gain.</summary>
public static class RmsNorm
{
    /// <param name="x">[rows, D]</param>
    /// <param name="gain">[D]; null = 1</param>
    /// <param name="epsilon">Added to the mean square.</param>
    public static Real[,] Forward(Real[,] x, Real[]? gain, double epsilon) => PerHead(x, gain, 1, epsilon);

    /// <summary>Every head's block of columns on its own.</summary>
    /// <param name="x">[rows, heads d]</param>
    /// <param name="gain">[heads d], or [d] for all heads; null = 1</param>
    /// <param name="heads">Number of consecutive blocks of columns.</param>
    /// <param name="epsilon">Added to the mean square.</param>
    public static Real[,] PerHead(Real[,] x, Real[]? gain, int heads, double epsilon)
    {
        int size = x.GetLength(1) / heads;
        Shape.Require(size * heads == x.GetLength(1), $"{x.GetLength(1)} columns in {heads} heads");
        Shape.Require(gain is null || gain.Length == size || gain.Length == size * heads, $"a gain for {Shape.Of(x)}");
        var y = new Real[x.GetLength(0), x.GetLength(1)];
        for (int row = 0; row < x.GetLength(0); row++)
        {
            for (int head = 0; head < heads; head++)
            {
                Real squares = 0;
                for (int i = 0; i < size; i++)
                {
                    squares += x[row, head * size + i] * x[row, head * size + i];
                }

                Real root = Real.Sqrt(squares / size + epsilon);
                for (int i = 0; i < size; i++)
                {
                    int column = head * size + i;
                    y[row, column] = x[row, column] / root;
                    if (gain is not null)
                    {
                        y[row, column] *= gain[column % gain.Length];
                    }
                }
            }
        }

        return y;
    }
}
