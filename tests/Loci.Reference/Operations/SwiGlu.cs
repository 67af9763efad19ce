namespace Loci.Reference;

/// <summary>The gated feed-forward layer, (SiLU(x W_gate^T) * (x W_up^T)) W_down^T.</summary>
public static class SwiGlu
{
    /// <param name="x">[rows, D]</param>
    /// <param name="gateWeight">[hidden, D]</param>
    /// <param name="upWeight">[hidden, D]</param>
    /// <param name="downWeight">[D, hidden]</param>
    public static Real[,] Forward(Real[,] x, Real[,] gateWeight, Real[,] upWeight, Real[,] downWeight) =>
        Linear.Forward(Gate(Linear.Forward(x, gateWeight), Linear.Forward(x, upWeight)), downWeight);

    /// <summary>SiLU(gate) * up, elementwise.</summary>
    public static Real[,] Gate(Real[,] gate, Real[,] up) => Matrix.Multiply(Activation.Silu(gate), up);
}
