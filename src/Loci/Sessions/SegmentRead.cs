namespace Loci.Sessions;

/// <summary>What some consecutive tokens read in one block; valid during the call it is given to.</summary>
public readonly ref struct SegmentRead
{
    /// <summary>Number of the block.</summary>
    public required int Layer { get; init; }

    /// <summary>Position of the first token.</summary>
    public required int Position { get; init; }

    /// <summary>Number of tokens.</summary>
    public required int Tokens { get; init; }

    /// <summary>H.</summary>
    public required int Heads { get; init; }

    /// <summary>Tokens of the cached segments that they could read, oldest first; the online segment follows them.</summary>
    public required IReadOnlyList<int> Segments { get; init; }

    /// <summary>
    /// How much each of them counted, [H, tokens, segments + 1], the online segment last; the gates of a head and token add up to 1, and a segment that was not chosen has 0. Empty where cached
    /// states are read without gates (Residual, log-linear attention).
    /// </summary>
    public required ReadOnlySpan<float> Gates { get; init; }
}

/// <summary>Is told what tokens read.</summary>
/// <param name="read">What they read.</param>
public delegate void SegmentReadHandler(SegmentRead read);
