namespace Loci.Reference;

/// <summary>The states of one memory written from its initial state over any run of tokens.</summary>
public sealed class MemoryHistory(PlainMemory memory)
{
    private readonly Dictionary<int, List<MemoryState>> runs = [];

    /// <summary>The initial state after tokens start, ..., end - 1, and no others, were written to it.</summary>
    public MemoryState Written(int start, int end)
    {
        if (!runs.TryGetValue(start, out List<MemoryState>? states))
        {
            states = [memory.Initial];
            runs.Add(start, states);
        }

        while (states.Count <= end - start)
        {
            states.Add(memory.Write(states[^1], start + states.Count - 1));
        }

        return states[end - start];
    }
}
