namespace Loci.Numerics;

/// <summary>
/// How the rows of a batch divide into sequences. A batch is a matrix of tokens, one row each; sequences lie one after another and never see each
/// other: convolutions, rotary positions, attention and memories start afresh at each. B rows of T tokens are B sequences of length T; packed documents give more.
/// </summary>
public sealed class SequenceLayout
{
    private int[] _starts = new int[2];

    /// <summary>Makes an empty layout; <see cref="Set(ReadOnlySpan{int}, int)"/> fills it.</summary>
    public SequenceLayout()
    {
    }

    /// <summary>Makes a layout of <paramref name="sequences"/> sequences of equal length.</summary>
    public SequenceLayout(int sequences, int length) => Set(sequences, length);

    /// <summary>Number of sequences.</summary>
    public int Count { get; private set; }

    /// <summary>Number of rows (tokens) in all.</summary>
    public int Rows { get; private set; }

    /// <summary>Changes with every <c>Set</c>, so that what was derived from the layout knows when to be derived again.</summary>
    public int Version { get; private set; }

    /// <summary>First row of every sequence, then <see cref="Rows"/>: Count + 1 numbers.</summary>
    public ReadOnlySpan<int> Starts => _starts.AsSpan(0, Count + 1);

    /// <summary>Makes this a layout of equal sequences.</summary>
    public void Set(int sequences, int length)
    {
        ArgumentOutOfRangeException.ThrowIfNegativeOrZero(sequences);
        ArgumentOutOfRangeException.ThrowIfNegativeOrZero(length);
        Reserve(sequences);
        for (var i = 0; i <= sequences; i++)
        {
            _starts[i] = checked(i * length);
        }

        Count = sequences;
        Rows = sequences * length;
        Version++;
    }

    /// <summary>Makes this the layout with the given first rows.</summary>
    /// <param name="starts">First row of every sequence: 0 first, then rising.</param>
    /// <param name="rows">Number of rows in all.</param>
    /// <exception cref="ArgumentException">The starts do not begin with 0, do not rise, or reach <paramref name="rows"/>.</exception>
    public void Set(ReadOnlySpan<int> starts, int rows)
    {
        if (starts.IsEmpty || starts[0] != 0)
        {
            throw new ArgumentException("The first sequence must start at row 0.", nameof(starts));
        }

        for (var i = 0; i < starts.Length; i++)
        {
            var end = i + 1 < starts.Length ? starts[i + 1] : rows;
            if (end <= starts[i])
            {
                throw new ArgumentException($"Sequence {i} starts at row {starts[i]} but ends at row {end}: every sequence needs at least one row.", nameof(starts));
            }
        }

        Reserve(starts.Length);
        starts.CopyTo(_starts);
        _starts[starts.Length] = rows;
        Count = starts.Length;
        Rows = rows;
        Version++;
    }

    private void Reserve(int sequences)
    {
        if (_starts.Length < sequences + 1)
        {
            _starts = new int[Math.Max(sequences + 1, 2 * _starts.Length)];
        }
    }
}
