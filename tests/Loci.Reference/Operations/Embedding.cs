namespace Loci.Reference;

/// <summary>One row of a table per token.</summary>
public static class Embedding
{
    /// <param name="table">[vocabulary, D]</param>
    /// <param name="tokens">[rows]</param>
    /// <returns>[rows, D]</returns>
    public static Real[,] Forward(Real[,] table, int[] tokens)
    {
        var y = new Real[tokens.Length, table.GetLength(1)];
        for (int row = 0; row < tokens.Length; row++)
        {
            for (int i = 0; i < table.GetLength(1); i++)
            {
                y[row, i] = table[tokens[row], i];
            }
        }

        return y;
    }
}
