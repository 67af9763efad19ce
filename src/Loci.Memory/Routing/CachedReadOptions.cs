namespace Loci.Memory.Routing;

/// <summary>How cached states are read.</summary>
/// <param name="Heads">H.</param>
/// <param name="SharesGates">Whether all heads share one softmax over the sum of their scores.</param>
/// <param name="TopK">Past segments read per token; 0 reads all.</param>
/// <param name="RouterKey">How a segment is described to the router.</param>
/// <param name="DetachesStates">
/// Whether cached states are constants to the backward pass, so that nothing learns through what a past segment wrote.
/// </param>
public readonly record struct CachedReadOptions(
    int Heads, bool SharesGates = false, int TopK = 0, RouterKey RouterKey = RouterKey.NormalizedMean, bool DetachesStates = false)
{
    /// <summary>What the sum of <paramref name="count"/> keys is multiplied by to describe their segment.</summary>
    internal float KeyScale(int count) => RouterKey switch
    {
        RouterKey.Sum => 1,
        RouterKey.Mean => 1f / count,
        _ => 1 / MathF.Sqrt(count),
    };
}
