namespace Loci.Numerics.Operations;

/// <summary>
/// Writes a matrix memory M_t = a_t M_{t-1} + b_t v_{t-1} k_{t-1}^T + l_t v_t k_t^T chunk by chunk and reads its online state, o_t = M_t q_t, in one fused
/// operation (equations 4, 12 and 28 of arXiv 2602.24281). Gates left out stand for a = 1, b = 0, l = 1: plain linear attention.
/// </summary>
public static class MemoryScan
{
    /// <summary>Runs the memory over a batch.</summary>
    /// <param name="tape">The step.</param>
    /// <param name="plan">Chunks and cached states of the batch.</param>
    /// <param name="q">Queries, [rows, H*d].</param>
    /// <param name="k">Keys, [rows, H*d].</param>
    /// <param name="v">Values, [rows, H*d].</param>
    /// <param name="heads">H.</param>
    /// <param name="logDecay">log a, at most 0, [rows, H].</param>
    /// <param name="previousGate">b, [rows, H].</param>
    /// <param name="writeGate">l, [rows, H].</param>
    /// <returns>The online reads and the cached states.</returns>
    /// <exception cref="ArgumentException">The shapes do not fit together.</exception>
    public static ScanResult Apply(
        Tape tape, MemoryPlan plan, Tensor q, Tensor k, Tensor v, int heads,
        Tensor? logDecay = null, Tensor? previousGate = null, Tensor? writeGate = null)
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

        CheckGate(logDecay, rows, heads, nameof(logDecay));
        CheckGate(previousGate, rows, heads, nameof(previousGate));
        CheckGate(writeGate, rows, heads, nameof(writeGate));
        var record = tape.IsRecording && (q.RequiresGradient || k.RequiresGradient || v.RequiresGradient
            || logDecay is { RequiresGradient: true } || previousGate is { RequiresGradient: true } || writeGate is { RequiresGradient: true });
        var width = columns / heads;
        var output = tape.NewOutput(q.Shape, record);
        var states = tape.NewOutput(new Shape(plan.SlotCount, heads, width, width), record);
        var chunkStates = record ? tape.Allocate((long)(plan.Chunks.Count / MemoryPlan.ChunkFields) * heads * width * width) : default;
        var arguments = Arguments(plan, q, k, v, heads, logDecay, previousGate, writeGate, output, states, chunkStates);
        tape.Device.MatrixScan(arguments);
        if (record)
        {
            var node = tape.Record<Node>();
            node.Plan = plan;
            node.PlanVersion = plan.Version;
            node.Heads = heads;
            node.Q = q;
            node.K = k;
            node.V = v;
            node.LogDecay = logDecay;
            node.PreviousGate = previousGate;
            node.WriteGate = writeGate;
            node.Output = output;
            node.States = states;
            node.ChunkStates = chunkStates;
        }

        return new ScanResult(output, states);
    }

    private static void CheckGate(Tensor? gate, int rows, int heads, string name)
    {
        if (gate is not null && gate.Shape != new Shape(rows, heads))
        {
            throw new ArgumentException($"A memory's gate has the shape [{rows}, {heads}], one value per row and head, not {gate.Shape}.", name);
        }
    }

    private static ScanArguments Arguments(
        MemoryPlan plan, Tensor q, Tensor k, Tensor v, int heads, Tensor? logDecay, Tensor? previousGate, Tensor? writeGate,
        Tensor output, Tensor states, DeviceSpan<float> chunkStates) => new()
        {
            Plan = plan,
            Heads = heads,
            Width = q.Columns / heads,
            Queries = q.Data,
            Keys = k.Data,
            Values = v.Data,
            LogDecay = logDecay?.Data ?? default,
            PreviousGate = previousGate?.Data ?? default,
            WriteGate = writeGate?.Data ?? default,
            Output = output.Data,
            States = states.Data,
            ChunkStates = chunkStates,
        };

    private sealed class Node : TapeNode
    {
        public MemoryPlan Plan { get; set; } = null!;

        public int PlanVersion { get; set; }

        public int Heads { get; set; }

        public Tensor Q { get; set; } = null!;

        public Tensor K { get; set; } = null!;

        public Tensor V { get; set; } = null!;

        public Tensor? LogDecay { get; set; }

        public Tensor? PreviousGate { get; set; }

        public Tensor? WriteGate { get; set; }

        public Tensor States { get; set; } = null!;

        public DeviceSpan<float> ChunkStates { get; set; }

        public override bool HasOutputGradient => Output.HasGradient || States.HasGradient;

        public override void Backward(Tape tape)
        {
            Plan.RequireVersion(PlanVersion);
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
                LogDecay = Gradient(tape, LogDecay, out var addDecay),
                AddLogDecay = addDecay,
                PreviousGate = Gradient(tape, PreviousGate, out var addPrevious),
                AddPreviousGate = addPrevious,
                WriteGate = Gradient(tape, WriteGate, out var addWrite),
                AddWriteGate = addWrite,
            };
            device.MatrixScanBackward(
                Arguments(Plan, Q, K, V, Heads, LogDecay, PreviousGate, WriteGate, Output, States, ChunkStates), gradients);
            Discard(tape, Q, gradients.Queries);
            Discard(tape, K, gradients.Keys);
            Discard(tape, V, gradients.Values);
        }

        public override void ReleaseOutputs(Tape tape)
        {
            base.ReleaseOutputs(tape);
            Release(tape, States);
            tape.Return(ChunkStates);
            ChunkStates = default;
        }

        // The kernel writes all three of dQ, dK and dV; one that nobody wants goes to scratch.
        private static DeviceSpan<float> Gradient(Tape tape, Tensor? tensor, out bool accumulate)
        {
            if (tensor is null)
            {
                accumulate = false;
                return default;
            }

            var gradient = tape.GradientOf(tensor, out accumulate);
            return gradient.IsEmpty && tensor.Columns > 0 ? Unwanted(tape, tensor, out accumulate) : gradient;
        }

        private static DeviceSpan<float> Unwanted(Tape tape, Tensor tensor, out bool accumulate)
        {
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
