namespace Loci.Reference;

/// <summary>exp(x_i) / sum_j exp(x_j).</summary>
public static class Softmax
{
    public static Real[] Forward(Real[] logits)
    {
        Real largest = logits[0];
        foreach (Real logit in logits)
        {
            largest = Real.Max(largest, logit);
        }

        Real[] exponentials = Array.ConvertAll(logits, logit => Real.Exp(logit - largest));
        Real sum = 0;
        foreach (Real exponential in exponentials)
        {
            sum += exponential;
        }

        return Array.ConvertAll(exponentials, exponential => exponential / sum);
    }
}
