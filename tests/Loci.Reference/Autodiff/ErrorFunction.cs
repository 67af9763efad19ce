namespace Loci.Reference;

/// <summary>erf in double precision.</summary>
public static class ErrorFunction
{
    /// <summary>
    /// erf(x) = 2/sqrt(pi) exp(-x^2) sum_n 2^n x^(2n+1) / (1 3 5 ... (2n+1)) (DLMF 7.6.2): all terms have one sign, so nothing cancels.
    /// </summary>
    public static double Evaluate(double x)
    {
        // 1 - erf(6) = 2e-17, less than half the spacing of doubles below 1.
        if (Math.Abs(x) > 6)
        {
            return Math.Sign(x);
        }

        double term = x;
        double sum = x;
        for (int n = 1; Math.Abs(term) > 1e-18 * Math.Abs(sum); n++)
        {
            term *= 2 * x * x / (2 * n + 1);
            sum += term;
        }

        return 2 / Math.Sqrt(Math.PI) * Math.Exp(-x * x) * sum;
    }
}
