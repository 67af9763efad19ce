namespace Loci.Reference;

/// <summary>Kept entries divided by the probability of keeping, the others zero.</summary>
public static class Dropout
{
    /// <param name="x">[rows, D]</param>
    /// <param name="kept">[rows, D]</param>
    /// <param name="rate">Probability of dropping, in [0, 1).</param>
    public static Real[,] Forward(Real[,] x, bool[,] kept, double rate)
    {
        var y = new Real[x.GetLength(0), x.GetLength(1)];
        for (int row = 0; row < x.GetLength(0); row++)
        {
            for (int column = 0; column < x.GetLength(1); column++)
            {
                y[row, column] = kept[row, column] ? x[row, column] / (1 - rate) : 0;
            }
        }

        return y;
    }
}
