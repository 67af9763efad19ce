using Loci.Memory.Segments;


namespace Loci.Sessions;

/// <summary>How much a segment was read by the tokens that could read it.</summary>
/// <param name="Segment">The segment; null stands for the online one.</param>
/// <param name="Readers">How many tokens could.</param>
/// <param name="MeanGate">Mean of their gates, over heads too.</param>
/// <param name="Chosen">Part of their reads, one a head, in which the gate was above 0: 1 but for sparse selective caching. NaN for the online segment, which is always read.</param>
/// <param name="Largest">Part of their reads in which no other cached segment had a larger gate. NaN for the online segment.</param>
public sealed record SegmentUse(SegmentSpan? Segment, int Readers, double MeanGate, double Chosen, double Largest);

/// <summary>What tokens read in one block, or on average over blocks: gates, averaged over heads; those of a token add up to 1.</summary>
public sealed class SegmentReads
{
    internal SegmentReads(int? layer, int start, IReadOnlyList<SegmentSpan> segments, float[] gates, IReadOnlyList<(double Chosen, double Largest)> shares)
    {
        Layer = layer;
        Start = start;
        Segments = segments;
        Gates = gates;
        Shares = shares;
        Uses = [.. Enumerable.Range(0, segments.Count + 1).Select(Use)];
    }

    /// <summary>Number of the block; null for the mean over blocks.</summary>
    public int? Layer { get; }

    /// <summary>Position of the first token.</summary>
    public int Start { get; }

    /// <summary>Number of tokens.</summary>
    public int Tokens => Gates.Length / (Segments.Count + 1);

    /// <summary>All cached segments that any of the tokens could read, by place. Logarithmic segments merge as the text goes on, so some may lie within others.</summary>
    public IReadOnlyList<SegmentSpan> Segments { get; }

    /// <summary>How much each of the segments was read, and last the online one.</summary>
    public IReadOnlyList<SegmentUse> Uses { get; }

    internal float[] Gates { get; } // [tokens, segments + 1], NaN for what could not be read

    internal IReadOnlyList<(double Chosen, double Largest)> Shares { get; }

    /// <summary>The gates of a token: one for each of <see cref="Segments"/>, NaN where it could not be read, and last that of the online segment.</summary>
    /// <param name="token">The token, counted from <see cref="Start"/>.</param>
    public ReadOnlySpan<float> GatesOf(int token)
    {
        ArgumentOutOfRangeException.ThrowIfNegative(token);
        ArgumentOutOfRangeException.ThrowIfGreaterThanOrEqual(token, Tokens);
        return Gates.AsSpan(token * (Segments.Count + 1), Segments.Count + 1);
    }

    private SegmentUse Use(int place)
    {
        var (sum, readers) = (0.0, 0);
        for (var i = place; i < Gates.Length; i += Segments.Count + 1)
        {
            if (!float.IsNaN(Gates[i]))
            {
                sum += Gates[i];
                readers++;
            }
        }

        var isOnline = place == Segments.Count;
        return new SegmentUse(
            isOnline ? null : Segments[place], readers, readers == 0 ? double.NaN : sum / readers, isOnline ? double.NaN : Shares[place].Chosen, isOnline ? double.NaN : Shares[place].Largest);
    }
}
