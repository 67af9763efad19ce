namespace Loci.Reference;

/// <summary>Weights rounded to eight bits: every 32 consecutive inputs of an output are integers from -127 to 127 times one scale.</summary>
public static class Int8Weights
{
    private const int BlockLength = 32;

    /// <summary>The weights that the rounded ones stand for.</summary>
    /// <param name="weight">[outputs, inputs]</param>
    /// <returns>[outputs, inputs]</returns>
    public static double[,] Round(double[,] weight)
    {
        int outputs = weight.GetLength(0), inputs = weight.GetLength(1);
        var rounded = new double[outputs, inputs];
        for (int output = 0; output < outputs; output++)
        {
            for (int first = 0; first < inputs; first += BlockLength)
            {
                int end = Math.Min(first + BlockLength, inputs);
                double largest = 0;
                for (int i = first; i < end; i++)
                {
                    largest = Math.Max(largest, Math.Abs(weight[output, i]));
                }

                if (largest > 0)
                {
                    double scale = RoundUp((float)largest / 127);
                    for (int i = first; i < end; i++)
                    {
                        rounded[output, i] = Math.Round(weight[output, i] / scale) * scale;
                    }
                }
            }
        }

        return rounded;
    }

    /// <summary>The next number of eight binary digits, as bfloat16 has them.</summary>
    private static double RoundUp(double value)
    {
        double digit = Math.ScaleB(1, Math.ILogB(value) - 7);
        return Math.Ceiling(value / digit) * digit;
    }
}
