namespace Loci.Reference;

internal static class Shape
{
    public static string Of(Real[,] matrix) => $"[{matrix.GetLength(0)}, {matrix.GetLength(1)}]";

    public static void Require(bool fits, string what)
    {
        if (!fits)
        {
            throw new ArgumentException($"Shapes do not fit: {what}.");
        }
    }
}
