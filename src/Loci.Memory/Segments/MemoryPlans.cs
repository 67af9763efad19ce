using Loci.Memory.Segments;
using Loci.Numerics;

namespace Loci.Memory.Segments;

/// <summary>
/// The plans of the batches that run on one tape: one for each way in which its layers divide sequences, made anew where the batch has
/// changed.
/// </summary>
internal sealed class MemoryPlans : IDisposable
{
    private readonly List<Entry> _entries = [];

    /// <summary>The plan of a batch.</summary>
    /// <param name="device">Where it lives.</param>
    /// <param name="layout">The batch's sequences.</param>
    /// <param name="segmentation">How they are divided.</param>
    /// <param name="chunkLength">Rows written together.</param>
    /// <param name="rewrites">Whether merged segments are written anew.</param>
    public MemoryPlan For(Device device, SequenceLayout layout, Segmentation segmentation, int chunkLength, bool rewrites)
    {
        foreach (var known in _entries)
        {
            if (known.ChunkLength == chunkLength && known.Rewrites == rewrites && known.Segmentation == segmentation)
            {
                return known.For(layout);
            }
        }

        var entry = new Entry(new MemoryPlan(device), segmentation, chunkLength, rewrites);
        _entries.Add(entry);
        return entry.For(layout);
    }

    public void Dispose()
    {
        foreach (var entry in _entries)
        {
            entry.Plan.Dispose();
        }
    }

    private sealed class Entry(MemoryPlan plan, Segmentation segmentation, int chunkLength, bool rewrites)
    {
        private SequenceLayout? _layout;
        private int _version;

        public MemoryPlan Plan => plan;

        public Segmentation Segmentation => segmentation;

        public int ChunkLength => chunkLength;

        public bool Rewrites => rewrites;

        public MemoryPlan For(SequenceLayout layout)
        {
            if (!ReferenceEquals(_layout, layout) || _version != layout.Version)
            {
                segmentation.Plan(plan, layout, chunkLength, rewrites);
                _layout = layout;
                _version = layout.Version;
            }

            return plan;
        }
    }
}
