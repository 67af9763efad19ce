namespace Loci.Reference;

/// <summary>Mean over the counted targets of -log softmax(logits)[target].</summary>
public static class CrossEntropy
{
    /// <summary>A target that does not count.</summary>
    public const int Ignored = -1;

    /// <param name="logits">[rows, vocabulary]</param>
    /// <param name="targets">[rows]; -1 = ignored</param>
    /// <returns>The mean in nats; 0 when no target counts.</returns>
    public static Real Forward(Real[,] logits, int[] targets)
    {
        Shape.Require(logits.GetLength(0) == targets.Length, $"{targets.Length} targets for logits {Shape.Of(logits)}");
        Real sum = 0;
        int counted = 0;
        for (int row = 0; row < targets.Length; row++)
        {
            if (targets[row] == Ignored)
            {
                continue;
            }

            Real largest = logits[row, 0];
            for (int i = 0; i < logits.GetLength(1); i++)
            {
                largest = Real.Max(largest, logits[row, i]);
            }

            Real exponentials = 0;
            for (int i = 0; i < logits.GetLength(1); i++)
            {
                exponentials += Real.Exp(logits[row, i] - largest);
            }

            sum += Real.Log(exponentials) + largest - logits[row, targets[row]];
            counted++;
        }

        return counted == 0 ? 0 : sum / counted;
    }
}
