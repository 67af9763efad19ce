namespace Loci.Numerics;

/// <summary>
/// A row-major float32 array in a device's memory, with room for its gradient. Tensors made by a <see cref="Tape"/> live until the tape is reset;
/// <see cref="Parameter"/>s live on their own.
/// </summary>
public class Tensor
{
    internal Tensor()
    {
    }

    /// <summary>The extents.</summary>
    public Shape Shape { get; internal set; }

    /// <summary>The elements.</summary>
    public DeviceSpan<float> Data { get; internal set; }

    /// <summary>The gradient; empty until a backward pass has reached this tensor.</summary>
    public DeviceSpan<float> Gradient { get; internal set; }

    /// <summary>Whether a backward pass computes a gradient for this tensor.</summary>
    public bool RequiresGradient { get; internal set; }

    /// <summary>Whether <see cref="Gradient"/> holds values, so that the next contribution is added rather than written.</summary>
    public bool HasGradient { get; internal set; }

    /// <summary>Whether the memory survives the backward pass (until the tape is reset).</summary>
    internal bool IsKept { get; set; }

    /// <summary>Number of rows when seen as a matrix of <see cref="Columns"/> columns.</summary>
    public int Rows => Shape.Rows;

    /// <summary>Extent of the last axis.</summary>
    public int Columns => Shape.Columns;
}
