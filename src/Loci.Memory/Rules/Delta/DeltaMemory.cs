using Loci.Memory.Rules.Delta;
using Loci.Memory.Segments;
using Loci.Numerics;
using Loci.Numerics.Operations;

namespace Loci.Memory.Rules.Delta;

/// <summary>A matrix memory written by the delta rule, M_t = a_t M_{t-1} (I - b_t k_t k_t^T) + b_t v_t k_t^T with b = sigmoid(.), with or without the decay a.</summary>
internal sealed class DeltaMemory(LayerContext layer, GateProjection beta, GateProjection? decay) : LayerMemory
{
    public override IReadOnlyList<Parameter> Parameters { get; } = [.. beta.Parameters, .. decay?.Parameters ?? []];

    public override bool RewritesSegments => true;

    public override Written Write(Tape tape, in MemoryInputs inputs) =>
        new(DeltaScan.Apply(tape, inputs.Plan, inputs.Q, inputs.K, inputs.V, layer.Heads, Beta(tape, inputs.X), LogDecay(tape, inputs.X)));

    public override RecurrentMemory CreateRecurrent(Segmentation segmentation) =>
        new Recurrent(this, layer.Device, segmentation, layer.Heads, layer.HeadWidth);

    private Tensor Beta(Tape tape, Tensor x) => beta.Sigmoid(tape, x);                                       // [rows, H]

    private Tensor? LogDecay(Tape tape, Tensor x) => decay?.LogSigmoid(tape, x);                             // [rows, H]

    private sealed class Recurrent(DeltaMemory memory, Device device, Segmentation segmentation, int heads, int width)
        : RecurrentMemory(device, segmentation, (long)heads * width * width, (long)heads * width * width, true)
    {
        private Tensor? _beta;
        private Tensor? _logDecay;

        public override RecurrentMemory CreateEmpty() => new Recurrent(memory, Device, Segmentation, heads, width);

        protected override void ComputeGates(Tape tape, Tensor x)
        {
            _beta = memory.Beta(tape, x);
            _logDecay = memory.LogDecay(tape, x);
        }

        protected override void Advance(Tape tape, DeviceSpan<float> state, int row, int rows, DeviceSpan<float> online) =>
            Device.Launch<DeltaStep, DeltaStepArguments>(new()
            {
                Rows = rows,
                Heads = heads,
                Width = width,
                Queries = Queries(tape, row, rows),
                Keys = Keys(tape, row, rows),
                Values = Values(tape, row, rows),
                LogDecay = RowsOf(tape, _logDecay, row, rows),
                Beta = RowsOf(tape, _beta, row, rows),
                State = state,
                Output = online,
            });
    }
}
