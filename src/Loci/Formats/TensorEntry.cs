using System.Collections.Immutable;

namespace Loci.Formats;

/// <summary>One tensor to be written to a safetensors file: its data is asked for only when its turn comes, and no copy of it is made.</summary>
internal sealed class TensorEntry
{
    private TensorEntry(string name, TensorElementType type, ReadOnlySpan<long> shape, Action<TensorSink> write)
    {
        ArgumentException.ThrowIfNullOrEmpty(name);
        ArgumentNullException.ThrowIfNull(write);
        if (name == SafetensorsHeader.MetadataName)
        {
            throw new ArgumentException($"'{name}' is reserved by the format and cannot name a tensor.", nameof(name));
        }

        ByteLength = TensorElementTypes.Size(type);
        foreach (long dimension in shape)
        {
            ArgumentOutOfRangeException.ThrowIfNegative(dimension, nameof(shape));
            ByteLength = checked(ByteLength * dimension);
        }

        Name = name;
        Type = type;
        Shape = [.. shape];
        Write = write;
    }

    /// <summary>Its name, unique in the file.</summary>
    public string Name { get; }

    /// <summary>Its element type.</summary>
    public TensorElementType Type { get; }

    /// <summary>Its dimensions, slowest first; empty for a scalar.</summary>
    public ImmutableArray<long> Shape { get; }

    internal long ByteLength { get; }

    internal Action<TensorSink> Write { get; }

    /// <summary>A tensor of <c>F32</c> whose data <paramref name="write"/> hands over, in one span or in several.</summary>
    /// <param name="name">Its name.</param>
    /// <param name="shape">Its dimensions, slowest first; empty for a scalar.</param>
    /// <param name="write">Writes the elements, row-major, as many as the shape says.</param>
    /// <exception cref="ArgumentException">The name is empty or reserved, or a dimension is negative.</exception>
    public static TensorEntry Float32(string name, ReadOnlySpan<long> shape, Action<TensorSink> write) =>
        new(name, TensorElementType.Float32, shape, write);

    /// <summary>A tensor of <c>F32</c> held in managed memory.</summary>
    /// <param name="name">Its name.</param>
    /// <param name="shape">Its dimensions, slowest first; empty for a scalar.</param>
    /// <param name="values">The elements, row-major.</param>
    /// <exception cref="ArgumentException">The name is empty or reserved, or the shape does not have that many elements.</exception>
    public static TensorEntry Float32(string name, ReadOnlySpan<long> shape, ReadOnlyMemory<float> values) =>
        new TensorEntry(name, TensorElementType.Float32, shape, sink => sink.Write(values.Span)).Expecting(values.Length);

    /// <summary>A tensor of <c>I64</c>, such as step counts or the state of a random generator.</summary>
    /// <param name="name">Its name.</param>
    /// <param name="shape">Its dimensions, slowest first; empty for a scalar.</param>
    /// <param name="values">The elements, row-major.</param>
    /// <exception cref="ArgumentException">The name is empty or reserved, or the shape does not have that many elements.</exception>
    public static TensorEntry Int64(string name, ReadOnlySpan<long> shape, ReadOnlyMemory<long> values) =>
        new TensorEntry(name, TensorElementType.Int64, shape, sink => sink.Write(values.Span)).Expecting(values.Length);

    /// <summary>A tensor of <c>U8</c>.</summary>
    /// <param name="name">Its name.</param>
    /// <param name="shape">Its dimensions, slowest first; empty for a scalar.</param>
    /// <param name="values">The elements, row-major.</param>
    /// <exception cref="ArgumentException">The name is empty or reserved, or the shape does not have that many elements.</exception>
    public static TensorEntry UInt8(string name, ReadOnlySpan<long> shape, ReadOnlyMemory<byte> values) =>
        new TensorEntry(name, TensorElementType.UInt8, shape, sink => sink.Write(values.Span)).Expecting(values.Length);

    private TensorEntry Expecting(int count) => ByteLength == (long)count * TensorElementTypes.Size(Type)
        ? this
        : throw new ArgumentException($"Tensor '{Name}' of shape {TensorElementTypes.Text(Shape.AsSpan())} was given {count} elements.");
}
