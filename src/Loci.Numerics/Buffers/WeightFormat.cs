namespace Loci.Numerics;

/// <summary>How the values of a <see cref="Parameter"/> are stored.</summary>
public enum WeightFormat
{
    /// <summary>Four bytes a value.</summary>
    Float32,

    /// <summary>
    /// One byte a value: along the inputs of a matrix [outputs, inputs] every 32 values share a scale of two bytes, max |w| / 127 rounded up to bfloat16. For inference only.
    /// </summary>
    Int8,
}
