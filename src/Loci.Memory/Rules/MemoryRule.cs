using Loci.Memory.Segments;


namespace Loci.Memory.Rules;

/// <summary>One update rule of a recurrent memory: its name, its defaults, and how to make the memory of one layer.</summary>
public abstract class MemoryRule
{
    private protected MemoryRule()
    {
    }

    /// <summary>The name in configurations.</summary>
    public abstract string Name { get; }

    /// <summary>One line for people: the update in the paper's letters.</summary>
    public abstract string Description { get; }

    /// <summary>What segments start from unless the configuration says otherwise.</summary>
    public abstract SegmentStart DefaultStart { get; }

    /// <summary>Whether every token's write stays a term of its own that a scalar weight can scale, as log-linear attention needs.</summary>
    public virtual bool SupportsLogLinear => false;

    /// <summary>Makes the memory of one layer.</summary>
    /// <param name="layer">What it is made of.</param>
    /// <param name="mixer">The mixer that the memory belongs to.</param>
    internal abstract LayerMemory CreateLayer(LayerContext layer, MixerConfiguration mixer);
}
