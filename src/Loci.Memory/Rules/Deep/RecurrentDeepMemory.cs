using Loci.Memory.Aggregations;
using Loci.Memory.Rules.Deep;
using Loci.Memory.Segments;
using Loci.Numerics;
using Loci.Numerics.Operations;

namespace Loci.Memory.Rules.Deep;

/// <summary>The step form of <see cref="DeepMemory"/>: it carries the weights, those that the open chunk started with, and the momentum.</summary>
internal sealed class RecurrentDeepMemory : RecurrentMemory
{
    private readonly DeepMemory _memory;
    private readonly int _chunkLength;
    private DeepMemoryGates _gates;

    public RecurrentDeepMemory(Device device, DeepMemory memory, Segmentation segmentation, int chunkLength)
        : base(device, segmentation, memory.Weights.Shape.Count, memory.Weights.Shape.Count * (memory.HasMomentum ? 3 : 2), true)
    {
        _memory = memory;
        _chunkLength = chunkLength;
        Restart();
    }

    public override DeepMemoryOptions? Network => _memory.Options;

    public override Parameter? Gain => _memory.Gain;

    public override long BoundaryLength => Momentum.Length;

    /// <summary>S, which is carried on into the next segment, or empty.</summary>
    private DeviceSpan<float> Momentum =>
        _memory.HasMomentum && Segmentation.Start == SegmentStart.Checkpoint ? Online.Slice(2 * StateLength, StateLength) : default;

    public override void ReadSoup(MemoryPlan plan, in ReadArguments arguments) =>
        Device.Launch<DeepSoupKernel.Forward, DeepSoupArguments>(new()
        {
            Scan = new() { Plan = plan, Options = _memory.Options, KeptEvery = 1 },
            Read = arguments,
            OnlineWeights = State,
        });

    public override RecurrentMemory CreateEmpty() => new RecurrentDeepMemory(Device, _memory, Segmentation, _chunkLength);

    public override void SaveBoundary(DeviceSpan<float> destination)
    {
        if (BoundaryLength > 0)
        {
            Device.Copy(Momentum, destination);
        }
    }

    public override void GoBack(DeviceSpan<float> state, DeviceSpan<float> boundary, int slots)
    {
        base.GoBack(state, boundary, slots);
        if (BoundaryLength > 0 && !boundary.IsEmpty)
        {
            Device.Copy(boundary, Momentum);
        }
    }

    protected override void ComputeGates(Tape tape, Tensor x) => _gates = _memory.Gates(tape, x);

    protected override void Advance(Tape tape, DeviceSpan<float> memory, int row, int rows, DeviceSpan<float> online) => Device.Launch<DeepStep, DeepStepArguments>(new()
    {
        Options = _memory.Options,
        Rows = rows,
        ChunkLength = _chunkLength,
        Position = OnlineLength,
        Queries = Queries(tape, row, rows),
        Keys = Keys(tape, row, rows),
        Values = Values(tape, row, rows),
        LearningRate = RowsOf(tape, _gates.LearningRate, row, rows),
        LogDecay = RowsOf(tape, _gates.LogDecay, row, rows),
        Momentum = RowsOf(tape, _gates.Momentum, row, rows),
        Gain = Gain?.Data ?? default,
        Weights = memory.Slice(0, StateLength),
        Start = memory.Slice(StateLength, StateLength),
        Steps = _memory.HasMomentum ? memory.Slice(2 * StateLength, StateLength) : default,
        Output = online,
    });

    protected override void Restart()
    {
        base.Restart();
        Device.Copy(_memory.Weights.Data, State);
    }
}
