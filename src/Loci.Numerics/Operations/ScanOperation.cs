namespace Loci.Numerics.Operations;

/// <summary>What the scans of all matrix memories share: checks, the record, and the backward pass.</summary>
internal static class ScanOperation
{
    public static ScanResult Apply(
        Tape tape, MemoryPlan plan, MatrixRule rule, Tensor q, Tensor k, Tensor v, int heads, Tensor? logDecay, Tensor? previousGate, Tensor? writeGate)
    {
        ArgumentNullException.ThrowIfNull(tape);
        ArgumentNullException.ThrowIfNull(plan);
        ArgumentNullException.ThrowIfNull(q);
        ArgumentNullException.ThrowIfNull(k);
        ArgumentNullException.ThrowIfNull(v);
        int rows = q.Rows, columns = q.Columns;
        if (heads <= 0 || columns % heads != 0 || k.Shape != q.Shape || v.Shape != q.Shape || plan.Rows != rows)
        {
            throw new ArgumentException(
                $"A memory of {heads} heads over {plan.Rows} rows takes queries, keys and values of one shape [{plan.Rows}, H*d], not {q.Shape}, {k.Shape} and {v.Shape}.", nameof(q));
        }

        if (rule == MatrixRule.Delta ? plan.Merges.Count > 0 : plan.LevelCount > 1)
        {
            throw new ArgumentException(
                rule == MatrixRule.Delta
                    ? "The plan merges the states of neighbouring segments, which the delta rule cannot do: make a plan that rewrites merged segments."
                    : "The plan rewrites merged segments, which an additive memory need not do: make a plan that merges states.",
                nameof(plan));
        }

        CheckGate(logDecay, rule == MatrixRule.Vector ? q.Shape : new Shape(rows, heads), nameof(logDecay));
        CheckGate(previousGate, new Shape(rows, heads), nameof(previousGate));
        CheckGate(writeGate, new Shape(rows, heads), nameof(writeGate));
        var record = tape.IsRecording && (q.RequiresGradient || k.RequiresGradient || v.RequiresGradient
            || logDecay is { RequiresGradient: true } || previousGate is { RequiresGradient: true } || writeGate is { RequiresGradient: true });
        var width = columns / heads;
        var output = tape.NewOutput(q.Shape, record);
        var states = tape.NewOutput(new Shape(plan.SlotCount, heads, width, width), record);
        var arguments = new ScanArguments
        {
            Plan = plan,
            Rule = rule,
            Heads = heads,
            Width = width,
            Queries = q.Data,
            Keys = k.Data,
            Values = v.Data,
            LogDecay = logDecay?.Data ?? default,
            PreviousGate = previousGate?.Data ?? default,
            WriteGate = writeGate?.Data ?? default,
            Output = output.Data,
            States = states.Data,
            ChunkStates = record ? tape.Allocate((long)plan.ChunkCount * heads * width * width) : default,
        };
        tape.Device.MatrixScan(arguments);
        if (record)
        {
            var node = tape.Record<Node>();
            node.Arguments = arguments;
            node.PlanVersion = plan.Version;
            node.Q = q;
            node.K = k;
            node.V = v;
            node.LogDecay = logDecay;
            node.PreviousGate = previousGate;
            node.WriteGate = writeGate;
            node.Output = output;
            node.States = states;
        }

        return new ScanResult(output, states);
    }

    /// <summary>Refuses a gate of another shape.</summary>
    public static void CheckGate(Tensor? gate, Shape shape, string name)
    {
        if (gate is not null && gate.Shape != shape)
        {
            throw new ArgumentException($"This gate of the memory has the shape {shape}, not {gate.Shape}.", name);
        }
    }

    private sealed class Node : TapeNode
    {
        private ScanArguments _arguments;

        public ScanArguments Arguments
        {
            set => _arguments = value;
        }

        public int PlanVersion { get; set; }

        public Tensor Q { get; set; } = null!;

        public Tensor K { get; set; } = null!;

        public Tensor V { get; set; } = null!;

        public Tensor? LogDecay { get; set; }

        public Tensor? PreviousGate { get; set; }

        public Tensor? WriteGate { get; set; }

        public Tensor States { get; set; } = null!;

        public override bool HasOutputGradient => Output.HasGradient || States.HasGradient;

        public override void Backward(Tape tape)
        {
            _arguments.Plan.RequireVersion(PlanVersion);
            var device = tape.Device;
            var dOutput = tape.GradientOf(Output, out var hasOutput);
            if (!hasOutput)
            {
                device.Clear(dOutput);
            }

            var gradients = new ScanGradients
            {
                Output = dOutput,
                States = States.HasGradient ? States.Gradient : default,
                Queries = Gradient(tape, Q, out var addQ),
                AddQueries = addQ,
                Keys = Gradient(tape, K, out var addK),
                AddKeys = addK,
                Values = Gradient(tape, V, out var addV),
                AddValues = addV,
            };
            gradients.LogDecay = LogDecay is null ? default : tape.GradientOf(LogDecay, out gradients.AddLogDecay);
            gradients.PreviousGate = PreviousGate is null ? default : tape.GradientOf(PreviousGate, out gradients.AddPreviousGate);
            gradients.WriteGate = WriteGate is null ? default : tape.GradientOf(WriteGate, out gradients.AddWriteGate);
            device.MatrixScanBackward(_arguments, gradients);
            Discard(tape, Q, gradients.Queries);
            Discard(tape, K, gradients.Keys);
            Discard(tape, V, gradients.Values);
        }

        public override void ReleaseOutputs(Tape tape)
        {
            base.ReleaseOutputs(tape);
            Release(tape, States);
            tape.Return(_arguments.ChunkStates);
            _arguments = default;
        }

        // The kernel writes all three of dQ, dK and dV; one that nobody wants goes to scratch.
        private static DeviceSpan<float> Gradient(Tape tape, Tensor tensor, out bool accumulate)
        {
            var gradient = tape.GradientOf(tensor, out accumulate);
            if (!gradient.IsEmpty || tensor.Columns == 0)
            {
                return gradient;
            }

            accumulate = false;
            return tape.Allocate(tensor.Shape.Count);
        }

        private static void Discard(Tape tape, Tensor tensor, DeviceSpan<float> gradient)
        {
            if (!tensor.RequiresGradient)
            {
                tape.Return(gradient);
            }
        }
    }
}

/// <summary>What a memory scan gives.</summary>
/// <param name="Output">Online reads M_t q_t, [rows, H*d].</param>
/// <param name="States">
/// Cached states: of matrix memories [slots, H, d_k, d_v], transposed, so that a read is q times a state; of deep ones [slots, H, weights], see <see cref="DeepMemoryOptions"/>.
/// </param>
/// <param name="Network">The network that the states are weights of; null for matrix memories.</param>
/// <param name="Gain">Gain of the network's norm, [H*d].</param>
public readonly record struct ScanResult(Tensor Output, Tensor States, DeepMemoryOptions? Network = null, Tensor? Gain = null);
