namespace Loci.Reference;

/// <summary>Elementwise functions of matrices.</summary>
public static class Activation
{
    public static Real[,] Silu(Real[,] x) => Matrix.Map(x, Real.Silu);

    public static Real[,] Gelu(Real[,] x) => Matrix.Map(x, Real.Gelu);

    public static Real[,] GeluTanh(Real[,] x) => Matrix.Map(x, Real.GeluTanh);

    public static Real[,] Sigmoid(Real[,] x) => Matrix.Map(x, Real.Sigmoid);

    public static Real[,] Softplus(Real[,] x) => Matrix.Map(x, Real.Softplus);
}
