using System.Collections.Immutable;

namespace Loci.Formats;

/// <summary>One tensor of a safetensors file, as its header describes it.</summary>
/// <param name="Name">Its name, unique in the file.</param>
/// <param name="Type">Its element type.</param>
/// <param name="TypeName">The element type's name in the file, such as <c>BF16</c>.</param>
/// <param name="Shape">Its dimensions, slowest first; empty for a scalar.</param>
/// <param name="ElementCount">The product of the dimensions.</param>
/// <param name="Position">Where its data begins, in bytes from the start of the file.</param>
/// <param name="ByteLength">How many bytes its data takes.</param>
internal sealed record TensorInfo(
    string Name, TensorElementType Type, string TypeName, ImmutableArray<long> Shape, long ElementCount, long Position, long ByteLength)
{
    /// <summary>Name, type and shape on one line.</summary>
    public override string ToString() => $"{Name} {TypeName} {TensorElementTypes.Text(Shape.AsSpan())}";
}
