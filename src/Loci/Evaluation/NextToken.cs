namespace Loci.Evaluation;

/// <summary>How a model's logits foretell a token.</summary>
internal static class NextToken
{
    /// <summary>-ln p of a token, and whether it is the most likely one; a tie with another is not.</summary>
    public static (double Loss, bool IsGreatest) Judge(ReadOnlySpan<float> logits, int target)
    {
        var greatest = float.NegativeInfinity;
        var isGreatest = true;
        for (var token = 0; token < logits.Length; token++)
        {
            greatest = Math.Max(greatest, logits[token]);
            isGreatest &= token == target || logits[token] < logits[target];
        }

        var sum = 0.0;
        foreach (var logit in logits)
        {
            sum += Math.Exp(logit - greatest);
        }

        return (Math.Log(sum) + greatest - logits[target], isGreatest);
    }
}
