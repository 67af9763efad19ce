namespace Loci.Memory.Segments;

/// <summary>A segment of a sequence.</summary>
/// <param name="Start">Position of its first token.</param>
/// <param name="Length">Its tokens.</param>
public readonly record struct SegmentSpan(int Start, int Length) : IComparable<SegmentSpan>
{
    /// <summary>The position behind its last token.</summary>
    public int End => Start + Length;

    /// <summary>Compares by place, then by length.</summary>
    /// <param name="left">A segment.</param>
    /// <param name="right">Another one.</param>
    public static bool operator <(SegmentSpan left, SegmentSpan right) => left.CompareTo(right) < 0;

    /// <inheritdoc cref="op_LessThan"/>
    public static bool operator <=(SegmentSpan left, SegmentSpan right) => left.CompareTo(right) <= 0;

    /// <inheritdoc cref="op_LessThan"/>
    public static bool operator >(SegmentSpan left, SegmentSpan right) => left.CompareTo(right) > 0;

    /// <inheritdoc cref="op_LessThan"/>
    public static bool operator >=(SegmentSpan left, SegmentSpan right) => left.CompareTo(right) >= 0;

    /// <summary>Whether a token is in both.</summary>
    /// <param name="other">Another segment.</param>
    public bool Overlaps(SegmentSpan other) => Start < other.End && other.Start < End;

    /// <inheritdoc/>
    public int CompareTo(SegmentSpan other) => (Start, Length).CompareTo((other.Start, other.Length));
}
