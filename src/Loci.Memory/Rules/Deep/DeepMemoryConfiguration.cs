using Loci.Memory.Rules.Deep;

namespace Loci.Memory.Rules.Deep;

/// <summary>The network and the inner optimiser of a deep memory (<c>dla</c>, <c>titans</c>); other memories ignore it.</summary>
public sealed record DeepMemoryConfiguration
{
    /// <summary>Number of matrices: 2 is M(x) = x + LN(W_1 gelu(W_2 x)); 1 is a plain matrix M(x) = W x, with the squared error the delta rule with momentum.</summary>
    public int Depth { get; init; } = 2;

    /// <summary>Width of the hidden layers in widths of a head.</summary>
    public int Expansion { get; init; } = 4;

    /// <summary>Whether the last layer's output is normalised, inside the network; depth 1 never is.</summary>
    public bool Norm { get; init; } = true;

    /// <summary>Largest norm of the inner gradient of one token and matrix; null does not clip.</summary>
    public float? GradientClip { get; init; } = 1;

    /// <summary>Whether a decay per head and token forgets; null takes the rule's default.</summary>
    public bool? Decay { get; init; }

    /// <summary>Whether the inner steps have momentum, per head and token; null takes the rule's default.</summary>
    public bool? Momentum { get; init; }

    /// <summary>Where the inner learning rate starts, in (0, 1); it is sigmoid(x W + bias).</summary>
    public float InitialLearningRate { get; init; } = 0.5f;

    /// <summary>Where the decay starts, in (0, 1): what stays of the weights at a token.</summary>
    public float InitialDecay { get; init; } = 0.999f;

    /// <summary>Where the momentum starts, in (0, 1).</summary>
    public float InitialMomentum { get; init; } = 0.5f;

    internal string? Problem() =>
        Depth is < 1 or > DeepMemoryOptions.MaximumDepth ? $"A deep memory has a depth of {Depth}: use 1 to {DeepMemoryOptions.MaximumDepth}."
        : Expansion is < 1 or > 64 ? $"A deep memory has an expansion of {Expansion}: use 1 to 64."
        : GradientClip is { } clip && !(clip > 0) ? $"The inner gradient clip is {clip}: use a positive number, or null for none."
        : !IsFraction(InitialLearningRate) ? $"The initial inner learning rate is {InitialLearningRate}: use a number between 0 and 1."
        : !IsFraction(InitialDecay) ? $"The initial inner decay is {InitialDecay}: use a number between 0 and 1."
        : !IsFraction(InitialMomentum) ? $"The initial inner momentum is {InitialMomentum}: use a number between 0 and 1."
        : null;

    /// <summary>Weights of the network of a head.</summary>
    internal long WeightsOfHead(long width) =>
        Depth == 1 ? width * width : (2 + ((Depth - 2) * (long)Expansion)) * Expansion * width * width;

    private static bool IsFraction(float value) => value is > 0 and < 1;
}
