using Loci.Memory.Rules;
using Loci.Memory.Segments;
using Loci.Numerics;

namespace Loci.Memory.Aggregations;

/// <summary>No cached states: y_t = M_t(q_t), the base recurrence.</summary>
internal sealed class NoCache : TrainedAggregation
{
    public override string Name => "none";

    public override string Title => "base";

    public override string Equation => "y_t = M_t(q_t)";

    internal override Segmentation SegmentsOf(MixerConfiguration mixer, MemoryRule rule) => Segmentation.None;

    internal override string? Problem(MixerConfiguration mixer, MemoryRule rule) => null;

    internal override TrainedReader CreateReader(LayerContext layer, CacheConfiguration cache) => new Reader();

    internal sealed class Reader : TrainedReader
    {
        public override Tensor Read(Tape tape, LayerMemory memory, in MemoryInputs inputs) => memory.Write(tape, inputs).Scan.Output;

        public override ReadState CreateState(CachedSegments segments, RecurrentMemory memory) => new State(segments, memory);
    }

    /// <summary>The output is the online reads themselves.</summary>
    private sealed class State(CachedSegments segments, RecurrentMemory memory) : ReadState(segments, memory)
    {
        public override void Read(Tape tape, in StepInputs inputs, int row, int rows, int position)
        {
        }
    }
}
