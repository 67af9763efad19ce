using Loci.Numerics;

namespace Loci.Memory.Rules;

/// <summary>What the parts of one layer are made of.</summary>
/// <param name="Device">Where the layer lives.</param>
/// <param name="Prefix">Start of the parameters' names.</param>
/// <param name="Initializer">Draws initial values.</param>
internal sealed record LayerContext(Device Device, string Prefix, Initializer Initializer)
{
    /// <summary>D.</summary>
    public required int Dimension { get; init; }

    /// <summary>H.</summary>
    public required int Heads { get; init; }

    /// <summary>d.</summary>
    public int HeadWidth => Dimension / Heads;

    /// <summary>Added to the mean square in norms.</summary>
    public float NormEpsilon { get; init; } = 1e-6f;

    /// <summary>Base of the rotary frequencies.</summary>
    public float RotaryBase { get; init; } = 10000;
}
