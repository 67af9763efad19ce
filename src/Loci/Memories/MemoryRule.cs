using Loci.Caching;
using Loci.Models;
using Loci.Numerics;

namespace Loci.Memories;

/// <summary>
/// One update rule of a recurrent memory. A rule says which gates it takes from the input and how they start; the scan, the cache and the reads are
/// the same for all matrix memories.
/// </summary>
public abstract class MemoryRule
{
    /// <summary>The name in configurations.</summary>
    public abstract string Name { get; }

    /// <summary>One line for people: the update in the paper's letters.</summary>
    public abstract string Description { get; }

    /// <summary>What segments start from unless the configuration says otherwise.</summary>
    public abstract SegmentStart DefaultStart { get; }

    /// <summary>Makes the learned gates of one layer.</summary>
    /// <param name="device">Where they live.</param>
    /// <param name="prefix">Start of the parameters' names.</param>
    /// <param name="configuration">The model.</param>
    /// <param name="initializer">Draws initial values.</param>
    public abstract MemoryGates CreateGates(Device device, string prefix, ModelConfiguration configuration, Initializer initializer);
}

/// <summary>The learned gates of one layer's memory.</summary>
public abstract class MemoryGates
{
    /// <summary>The learned tensors.</summary>
    public abstract IReadOnlyList<Parameter> Parameters { get; }

    /// <summary>Computes the gates of every row and head.</summary>
    /// <param name="tape">The step.</param>
    /// <param name="x">The mixer's normalised input, [rows, D].</param>
    public abstract GateValues Compute(Tape tape, Tensor x);
}

/// <summary>Gates of every row and head, [rows, H] each; null stands for a = 1, b = 0, l = 1.</summary>
/// <param name="LogDecay">log a.</param>
/// <param name="PreviousGate">b, the weight of the row before.</param>
/// <param name="WriteGate">l, the weight of the row itself.</param>
public readonly record struct GateValues(Tensor? LogDecay, Tensor? PreviousGate, Tensor? WriteGate);
