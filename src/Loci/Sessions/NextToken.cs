namespace Loci.Sessions;

/// <summary>How a token was predicted.</summary>
/// <param name="Loss">-ln p, in nats.</param>
/// <param name="IsGreedy">Whether it was the most likely one; a tie with another is not.</param>
internal readonly record struct TokenScore(double Loss, bool IsGreedy);

/// <summary>How logits foretell a token.</summary>
internal static class NextToken
{
    /// <summary>-ln p of a token, and whether it is the most likely one.</summary>
    public static TokenScore Judge(ReadOnlySpan<float> logits, int token)
    {
        var own = logits[token];
        var largest = float.NegativeInfinity;
        var reaching = 0; // tokens that are as likely, itself included
        foreach (var logit in logits)
        {
            largest = MathF.Max(largest, logit);
            reaching += logit >= own ? 1 : 0;
        }

        var sum = 0.0;
        foreach (var logit in logits)
        {
            sum += Math.Exp(logit - largest);
        }

        return new TokenScore(Math.Log(sum) - (own - largest), reaching == 1);
    }
}
