namespace Loci.Numerics;

/// <summary>The extents of a row-major, contiguous tensor: one to four axes, outermost first.</summary>
public readonly struct Shape : IEquatable<Shape>
{
    private readonly int _first;
    private readonly int _second;
    private readonly int _third;
    private readonly int _fourth;

    private Shape(int rank, int first, int second, int third, int fourth)
    {
        if (first < 0 || second < 0 || third < 0 || fourth < 0)
        {
            throw new ArgumentOutOfRangeException(nameof(first), $"A shape's extents cannot be negative: [{first}, {second}, {third}, {fourth}].");
        }

        Rank = rank;
        _first = first;
        _second = second;
        _third = third;
        _fourth = fourth;
    }

    /// <summary>One axis.</summary>
    public Shape(int first) : this(1, first, 1, 1, 1)
    {
    }

    /// <summary>Two axes: rows and columns.</summary>
    public Shape(int first, int second) : this(2, first, second, 1, 1)
    {
    }

    /// <summary>Three axes.</summary>
    public Shape(int first, int second, int third) : this(3, first, second, third, 1)
    {
    }

    /// <summary>Four axes.</summary>
    public Shape(int first, int second, int third, int fourth) : this(4, first, second, third, fourth)
    {
    }

    /// <summary>Number of axes.</summary>
    public int Rank { get; }

    /// <summary>Number of elements.</summary>
    public long Count => (long)_first * _second * _third * _fourth;

    /// <summary>Extent of the last axis.</summary>
    public int Columns => this[Rank - 1];

    /// <summary>Product of all extents but the last.</summary>
    public int Rows => Columns == 0 ? 0 : checked((int)(Count / Columns));

    /// <summary>Extent of an axis, 0 being the outermost.</summary>
    public int this[int axis] => axis >= Rank || axis < 0
        ? throw new ArgumentOutOfRangeException(nameof(axis), $"Axis {axis} of a shape with {Rank} axes.")
        : axis switch { 0 => _first, 1 => _second, 2 => _third, _ => _fourth };

    /// <summary>Builds a shape from a list of one to four extents.</summary>
    public static Shape From(ReadOnlySpan<int> extents) => extents.Length switch
    {
        1 => new Shape(extents[0]),
        2 => new Shape(extents[0], extents[1]),
        3 => new Shape(extents[0], extents[1], extents[2]),
        4 => new Shape(extents[0], extents[1], extents[2], extents[3]),
        _ => throw new ArgumentException($"A shape has one to four axes, not {extents.Length}.", nameof(extents)),
    };

    /// <inheritdoc/>
    public bool Equals(Shape other) =>
        Rank == other.Rank && _first == other._first && _second == other._second && _third == other._third && _fourth == other._fourth;

    /// <inheritdoc/>
    public override bool Equals(object? obj) => obj is Shape other && Equals(other);

    /// <inheritdoc/>
    public override int GetHashCode() => HashCode.Combine(Rank, _first, _second, _third, _fourth);

    /// <summary>Equality of rank and every extent.</summary>
    public static bool operator ==(Shape left, Shape right) => left.Equals(right);

    /// <summary>Inequality of rank or of any extent.</summary>
    public static bool operator !=(Shape left, Shape right) => !left.Equals(right);

    /// <inheritdoc/>
    public override string ToString() => Rank switch
    {
        1 => $"[{_first}]",
        2 => $"[{_first}, {_second}]",
        3 => $"[{_first}, {_second}, {_third}]",
        4 => $"[{_first}, {_second}, {_third}, {_fourth}]",
        _ => "[]",
    };
}
