namespace Loci.Reference;

/// <summary>Tokens Start, ..., End - 1 of a sequence.</summary>
public readonly record struct Segment(int Start, int End);

/// <summary>
/// What a token sees: the finished segments in order of time, and the start of its own segment, which goes up to the token.
/// </summary>
public sealed record VisibleSegments(IReadOnlyList<Segment> Past, int OnlineStart);

/// <summary>How a sequence is cut (method.md section 5). Depends on the token's position only, never on what follows.</summary>
public abstract record Segmentation
{
    /// <param name="position">0-based position of the token in its sequence.</param>
    public abstract VisibleSegments At(int position);
}

/// <summary>Segments of one length C.</summary>
public sealed record ConstantSegmentation(int Length) : Segmentation
{
    public int Length { get; } = Length > 0
        ? Length
        : throw new ArgumentOutOfRangeException(nameof(Length), Length, "A segment holds at least one token.");

    /// <inheritdoc/>
    public override VisibleSegments At(int position)
    {
        var past = new List<Segment>();
        int online = 0;
        while (online + Length <= position)
        {
            past.Add(new Segment(online, online + Length));
            online += Length;
        }

        return new VisibleSegments(past, online);
    }
}

/// <summary>
/// The binary expansion of the number of finished base blocks, largest first: after 37 blocks, segments of 32, 4 and 1 blocks.
/// The token itself is in the open block, which is the online segment.
/// </summary>
public sealed record LogarithmicSegmentation(int Block) : Segmentation
{
    public int Block { get; } = Block > 0
        ? Block
        : throw new ArgumentOutOfRangeException(nameof(Block), Block, "A segment holds at least one token.");

    /// <inheritdoc/>
    public override VisibleSegments At(int position)
    {
        int finished = position / Block;
        var past = new List<Segment>();
        int start = 0;
        for (int size = 1 << 30; size > 0; size /= 2)
        {
            if ((finished & size) != 0)
            {
                past.Add(new Segment(start * Block, (start + size) * Block));
                start += size;
            }
        }

        return new VisibleSegments(past, finished * Block);
    }
}
