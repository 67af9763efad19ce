namespace Loci.Reference;

/// <summary>Scores of segments: r_t^(i) = &lt;u_t, p^(i)&gt;, where p^(i) describes segment i by its keys.</summary>
public static class Router
{
    /// <summary>p of tokens start, ..., end - 1. For the online segment of token t, end = t + 1.</summary>
    public static Real[] Describe(Real[][] keys, int start, int end, CachedMemoryOptions options)
    {
        int count = end - start;
        var p = new Real[keys[0].Length];
        for (int token = start; token < end; token++)
        {
            Real[] key = options.Description == SegmentDescription.NormalizedMean && options.NormalizeKeys
                ? L2Norm.Normalize(keys[token], options.NormalizationEpsilon)
                : keys[token];
            for (int i = 0; i < p.Length; i++)
            {
                p[i] += key[i];
            }
        }

        return options.Description switch
        {
            SegmentDescription.NormalizedMean => Array.ConvertAll(p, x => x / count * Math.Sqrt(count)),
            SegmentDescription.Mean => Array.ConvertAll(p, x => x / count),
            _ => p,
        };
    }

    /// <summary>The logits of one token in one head, past segments in order and the online segment last, without the online bias.</summary>
    /// <param name="keys">The head's keys, [tokens][dk].</param>
    /// <param name="u">The token's router vector, [dk].</param>
    /// <param name="position">The token's position.</param>
    /// <param name="visible">What the token sees.</param>
    /// <param name="temperature">tau of the head.</param>
    /// <param name="options">Which description to use.</param>
    public static Real[] Logits(
        Real[][] keys, Real[] u, int position, VisibleSegments visible, Real temperature, CachedMemoryOptions options)
    {
        var logits = new Real[visible.Past.Count + 1];
        for (int i = 0; i < visible.Past.Count; i++)
        {
            logits[i] = temperature * Matrix.Dot(u, Describe(keys, visible.Past[i].Start, visible.Past[i].End, options));
        }

        logits[^1] = temperature * Matrix.Dot(u, Describe(keys, visible.OnlineStart, position + 1, options));
        return logits;
    }
}
