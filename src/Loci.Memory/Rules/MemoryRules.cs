using Loci.Memory.Rules.Deep;
using Loci.Memory.Rules.Delta;
using Loci.Memory.Rules.ScalarGated;
using Loci.Memory.Rules.VectorGated;

namespace Loci.Memory.Rules;

/// <summary>The memory rules there are, by name.</summary>
public static class MemoryRules
{
    /// <summary>All rules.</summary>
    public static IReadOnlyList<MemoryRule> All { get; } =
    [
        new LinearAttention(),
        new GatedLinearAttention(),
        new SlidingWindowLinearAttention(),
        new Mamba2(),
        new VectorGatedLinearAttention(),
        new DeltaNet(),
        new GatedDeltaNet(),
        new DeepLinearAttention(),
        new Titans(),
    ];

    /// <summary>Finds a rule by its name.</summary>
    /// <exception cref="LociException">There is none of that name.</exception>
    public static MemoryRule Find(string name) =>
        All.FirstOrDefault(rule => rule.Name == name)
        ?? throw new LociException($"There is no memory rule named '{name}': use {string.Join(", ", All.Select(rule => rule.Name))} or attention.");
}
