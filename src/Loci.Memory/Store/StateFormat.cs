namespace Loci.Memory.Store;

/// <summary>How the values of a cached state are stored.</summary>
public enum StateFormat
{
    /// <summary>As they are: 4 bytes a value.</summary>
    Float32,

    /// <summary>Half precision: 2 bytes a value and a scale for every d values (1, unless they are too large for half precision).</summary>
    Float16,

    /// <summary>Whole numbers from -127 to 127 times a scale for every d values: 1 byte a value. d is the width of a head.</summary>
    Int8,
}
