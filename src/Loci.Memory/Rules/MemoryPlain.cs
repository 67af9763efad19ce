namespace Loci.Reference;

/// <summary>What a memory is after some tokens: its weight matrices, and whatever else its rule carries from token to token.</summary>
/// <param name="Weights">The matrices a read uses, and that a soup mixes.</param>
public record MemoryState(Real[][,] Weights);

/// <summary>
/// One head's memory over the tokens of one sequence (equation 4): a rule that turns the state before a token into the state after it.
/// States are never changed in place, so every one is a checkpoint.
/// </summary>
public abstract class PlainMemory
{
    /// <summary>The state before the first token.</summary>
    public abstract MemoryState Initial { get; }

    /// <summary>The state after writing token <paramref name="token"/> of the sequence to <paramref name="state"/>.</summary>
    public abstract MemoryState Write(MemoryState state, int token);

    /// <summary>M(q).</summary>
    public abstract Real[] Read(Real[][,] weights, Real[] q);
}
