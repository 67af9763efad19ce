using Loci.Numerics;

namespace Loci.Formats;

/// <summary>The name and shape of one of a model's weights.</summary>
/// <param name="Name">As <see cref="Parameter.Name"/>.</param>
/// <param name="Shape">Rows first.</param>
public readonly record struct WeightShape(string Name, Shape Shape);

/// <summary>Where a model takes its weights from: a file of any format, read under the names that Loci's models use.</summary>
public interface IWeightSource
{
    /// <summary>Checks that there are these tensors in these shapes, and no others that a model would miss. Called before memory is taken for them.</summary>
    /// <param name="tensors">All of the model's weights.</param>
    /// <exception cref="LociException">One is missing, has another shape, or is not one of the model's.</exception>
    void Require(IReadOnlyList<WeightShape> tensors);

    /// <summary>Reads one of them.</summary>
    /// <param name="tensor">Its name and shape.</param>
    /// <param name="values">Receives its values, row-major; all of them finite.</param>
    /// <exception cref="LociException">The file is damaged, or a value is not finite.</exception>
    void Read(WeightShape tensor, Span<float> values);
}

/// <summary>Shapes as files have them.</summary>
internal static class ShapeExtents
{
    /// <summary>The extents of a shape, outermost first.</summary>
    public static long[] ToExtents(this Shape shape)
    {
        var extents = new long[shape.Rank];
        for (var i = 0; i < extents.Length; i++)
        {
            extents[i] = shape[i];
        }

        return extents;
    }
}
