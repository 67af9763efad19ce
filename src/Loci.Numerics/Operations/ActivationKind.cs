namespace Loci.Numerics;

/// <summary>An elementwise function.</summary>
public enum ActivationKind
{
    /// <summary>x sigmoid(x).</summary>
    Silu,

    /// <summary>x Phi(x) with the normal distribution function Phi, not its tanh approximation.</summary>
    Gelu,

    /// <summary>1 / (1 + e^-x).</summary>
    Sigmoid,

    /// <summary>log(1 + e^x).</summary>
    Softplus,

    /// <summary>log sigmoid(x) = -log(1 + e^-x).</summary>
    LogSigmoid,

    /// <summary>The hyperbolic tangent.</summary>
    Tanh,

    /// <summary>max(x, 0)^2 (So et al., arXiv 2109.08668).</summary>
    SquaredRelu,
}
