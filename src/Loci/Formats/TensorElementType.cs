using System.Text;

namespace Loci.Formats;

/// <summary>The element type of a tensor in a safetensors file, by the name the format gives it.</summary>
internal enum TensorElementType
{
    /// <summary><c>F32</c>: IEEE 754 single precision, the type Loci computes in.</summary>
    Float32,

    /// <summary><c>F16</c>: IEEE 754 half precision.</summary>
    Float16,

    /// <summary><c>BF16</c>: the upper half of a single.</summary>
    BFloat16,

    /// <summary><c>F64</c>: IEEE 754 double precision.</summary>
    Float64,

    /// <summary><c>I32</c>: signed, 4 bytes.</summary>
    Int32,

    /// <summary><c>I64</c>: signed, 8 bytes.</summary>
    Int64,

    /// <summary><c>U8</c>: one byte.</summary>
    UInt8,

    /// <summary>A type of the format that Loci lists but does not read, such as <c>F8_E4M3</c>.</summary>
    Unsupported,
}

/// <summary>Names and sizes of the element types.</summary>
internal static class TensorElementTypes
{
    /// <summary>The type that a header calls <paramref name="name"/> and its size; null for a name the format does not have.</summary>
    public static (TensorElementType Type, int Size)? Parse(string name) => name switch
    {
        "F32" => (TensorElementType.Float32, 4),
        "F16" => (TensorElementType.Float16, 2),
        "BF16" => (TensorElementType.BFloat16, 2),
        "F64" => (TensorElementType.Float64, 8),
        "I32" => (TensorElementType.Int32, 4),
        "I64" => (TensorElementType.Int64, 8),
        "U8" => (TensorElementType.UInt8, 1),
        "BOOL" or "I8" or "F8_E4M3" or "F8_E5M2" or "F8_E8M0" => (TensorElementType.Unsupported, 1),
        "I16" or "U16" => (TensorElementType.Unsupported, 2),
        "U32" => (TensorElementType.Unsupported, 4),
        "U64" or "C64" => (TensorElementType.Unsupported, 8),
        _ => null,
    };

    /// <summary>Bytes per element.</summary>
    public static int Size(TensorElementType type) => type switch
    {
        TensorElementType.Float64 or TensorElementType.Int64 => 8,
        TensorElementType.Float32 or TensorElementType.Int32 => 4,
        TensorElementType.Float16 or TensorElementType.BFloat16 => 2,
        TensorElementType.UInt8 => 1,
        _ => throw new ArgumentOutOfRangeException(nameof(type), type, "The type has no fixed size."),
    };

    /// <summary>The name the format gives the type.</summary>
    public static string Name(TensorElementType type) => type switch
    {
        TensorElementType.Float32 => "F32",
        TensorElementType.Float16 => "F16",
        TensorElementType.BFloat16 => "BF16",
        TensorElementType.Float64 => "F64",
        TensorElementType.Int32 => "I32",
        TensorElementType.Int64 => "I64",
        TensorElementType.UInt8 => "U8",
        _ => throw new ArgumentOutOfRangeException(nameof(type), type, "The type has no name."),
    };

    /// <summary>A shape as people write it: <c>[2, 3]</c>.</summary>
    public static string Text(ReadOnlySpan<long> shape)
    {
        StringBuilder text = new("[");
        for (int i = 0; i < shape.Length; i++)
        {
            text.Append(i == 0 ? "" : ", ").Append(shape[i]);
        }

        return text.Append(']').ToString();
    }
}
