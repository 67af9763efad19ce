namespace Loci.Reference;

/// <summary>Which two columns of a head make the pair that is turned.</summary>
public enum RotaryLayout
{
    /// <summary>Columns i and i + d/2 (Llama in Hugging Face form, "rotate_half").</summary>
    HalfSplit,

    /// <summary>Columns 2i and 2i + 1 (the original form).</summary>
    Interleaved,
}

/// <summary>Rotary position embedding: pair i of a head turned by the angle position / base^(2i/d).</summary>
public static class Rotary
{
    /// <param name="x">[rows, heads d]</param>
    /// <param name="heads">Number of consecutive blocks of columns.</param>
    /// <param name="sequenceStarts">First row of every sequence; that row's position is <paramref name="firstPosition"/>.</param>
    /// <param name="frequencyBase">The base of the frequencies.</param>
    /// <param name="layout">Which columns make a pair.</param>
    /// <param name="firstPosition">Position of the first token of every sequence.</param>
    public static Real[,] Forward(
        Real[,] x, int heads, int[] sequenceStarts, double frequencyBase = 10000, RotaryLayout layout = RotaryLayout.HalfSplit, int firstPosition = 0)
    {
        int size = x.GetLength(1) / heads;
        Shape.Require(size * heads == x.GetLength(1) && size % 2 == 0, $"{x.GetLength(1)} columns in {heads} heads of even size");
        var y = new Real[x.GetLength(0), x.GetLength(1)];
        foreach ((int start, int end) in Sequences.Ranges(sequenceStarts, x.GetLength(0)))
        {
            for (int row = start; row < end; row++)
            {
                for (int head = 0; head < heads; head++)
                {
                    for (int pair = 0; pair < size / 2; pair++)
                    {
                        double angle = (firstPosition + row - start) / Math.Pow(frequencyBase, 2.0 * pair / size);
                        int first = head * size + (layout == RotaryLayout.HalfSplit ? pair : 2 * pair);
                        int second = head * size + (layout == RotaryLayout.HalfSplit ? pair + size / 2 : 2 * pair + 1);
                        y[row, first] = x[row, first] * Math.Cos(angle) - x[row, second] * Math.Sin(angle);
                        y[row, second] = x[row, first] * Math.Sin(angle) + x[row, second] * Math.Cos(angle);
                    }
                }
            }
        }

        return y;
    }
}
