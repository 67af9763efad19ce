namespace Loci.Numerics.Operations;

/// <summary>
/// Writes deep memories chunk by chunk (equations 30 and 34 to 36 of arXiv 2602.24281, signs as in Titans, arXiv 2501.00663) and reads them, in one fused operation:
/// S_t = h_t S_{t-1} - e_t grad l, W_t = a_t W_{t-1} + S_t, with all gradients of a chunk taken at the weights that it starts with, each clipped. Gradients of the model reach
/// every input through the inner ones.
/// </summary>
public static class DeepScan
{
    /// <summary>Runs the memory over a batch and reads its online state after every row.</summary>
    /// <param name="tape">The step.</param>
    /// <param name="plan">Chunks and cached states of the batch, planned with rewriting.</param>
    /// <param name="q">Queries, [rows, H*d].</param>
    /// <param name="k">Keys, [rows, H*d].</param>
    /// <param name="v">Values, [rows, H*d].</param>
    /// <param name="gates">e, a and h.</param>
    /// <param name="weights">M_0, shared by all segments, [H, weights of a head].</param>
    /// <param name="gain">Gain of the network's norm, [H*d]; null where it has no norm.</param>
    /// <param name="options">The network.</param>
    /// <returns>The online reads M_t(q_t) and the cached states.</returns>
    /// <exception cref="ArgumentException">The shapes do not fit together.</exception>
    public static ScanResult Apply(
        Tape tape, MemoryPlan plan, Tensor q, Tensor k, Tensor v, DeepMemoryGates gates, Tensor weights, Tensor? gain, DeepMemoryOptions options)
    {
        var inputs = new DeepInputs(plan, q, k, v, gates, weights, gain, options);
        inputs.Check();
        ArgumentNullException.ThrowIfNull(tape);
        var record = tape.IsRecording && inputs.RequiresGradient;
        var output = tape.NewOutput(q.Shape, record);
        var states = tape.NewOutput(inputs.StatesShape, record);
        var arguments = inputs.Arguments(Math.Max(1, Kernels.DeepScan.KeptRows / Math.Max(1, plan.ChunkLength)));
        arguments.Output = output.Data;
        arguments.States = states.Data;
        arguments.Kept = record ? tape.Allocate(arguments.KeptLength) : default;
        tape.Device.DeepScan(arguments);
        if (record)
        {
            var node = tape.Record<Node>();
            node.Inputs = inputs;
            node.Arguments = arguments;
            node.PlanVersion = plan.Version;
            node.Output = output;
            node.States = states;
        }

        return new ScanResult(output, states, options, gain);
    }

    private sealed class Node : TapeNode
    {
        private DeepArguments _arguments;

        public DeepInputs Inputs { get; set; }

        public DeepArguments Arguments
        {
            set => _arguments = value;
        }

        public int PlanVersion { get; set; }

        public Tensor States { get; set; } = null!;

        public override bool HasOutputGradient => Output.HasGradient || States.HasGradient;

        public override void Backward(Tape tape)
        {
            _arguments.Plan.RequireVersion(PlanVersion);
            var dOutput = tape.GradientOf(Output, out var hasOutput);
            if (!hasOutput)
            {
                tape.Device.Clear(dOutput);
            }

            var gradients = Inputs.Gradients(tape, wantsQueries: true);
            gradients.Output = dOutput;
            gradients.States = States.HasGradient ? States.Gradient : default;
            tape.Device.DeepScanBackward(_arguments, gradients);
            tape.Return(gradients.GainPartials);
        }

        public override void ReleaseOutputs(Tape tape)
        {
            base.ReleaseOutputs(tape);
            Release(tape, States);
            tape.Return(_arguments.Kept);
            _arguments = default;
        }
    }
}

/// <summary>What the deep operations have in common.</summary>
internal readonly record struct DeepInputs(
    MemoryPlan Plan, Tensor Q, Tensor K, Tensor V, DeepMemoryGates Gates, Tensor Weights, Tensor? Gain, DeepMemoryOptions Options)
{
    public bool RequiresGradient => Q.RequiresGradient || K.RequiresGradient || V.RequiresGradient || Gates.LearningRate.RequiresGradient
        || Gates.LogDecay is { RequiresGradient: true } || Gates.Momentum is { RequiresGradient: true } || Weights.RequiresGradient || Gain is { RequiresGradient: true };

    public Shape StatesShape => new(Plan.SlotCount, Options.Heads, Options.WeightCount);

    public void Check()
    {
        ArgumentNullException.ThrowIfNull(Plan);
        ArgumentNullException.ThrowIfNull(Q);
        ArgumentNullException.ThrowIfNull(K);
        ArgumentNullException.ThrowIfNull(V);
        ArgumentNullException.ThrowIfNull(Weights);
        ArgumentNullException.ThrowIfNull(Options);
        ArgumentNullException.ThrowIfNull(Gates.LearningRate, nameof(Gates));
        Options.Validate();
        int rows = Q.Rows, heads = Options.Heads;
        if (Q.Shape != new Shape(rows, heads * Options.Width) || K.Shape != Q.Shape || V.Shape != Q.Shape || Plan.Rows != rows)
        {
            throw new ArgumentException(
                $"A deep memory of {heads} heads of {Options.Width} over {Plan.Rows} rows takes queries, keys and values of one shape [{Plan.Rows}, {heads * Options.Width}], not {Q.Shape}, {K.Shape} and {V.Shape}.", nameof(Q));
        }

        if (Weights.Shape != new Shape(heads, Options.WeightCount) || (Options.Normalizes && Options.Depth > 1 && Gain?.Shape.Count != heads * Options.Width))
        {
            throw new ArgumentException(
                $"This deep memory takes initial weights of shape [{heads}, {Options.WeightCount}] and a gain of {heads * Options.Width} numbers, not {Weights.Shape} and {Gain?.Shape}.", nameof(Weights));
        }

        foreach (var gate in (ReadOnlySpan<Tensor?>)[Gates.LearningRate, Gates.LogDecay, Gates.Momentum])
        {
            ScanOperation.CheckGate(gate, new Shape(rows, heads), nameof(Gates));
        }
    }

    public DeepArguments Arguments(int keptEvery) => new()
    {
        Plan = Plan,
        Options = Options,
        KeptEvery = keptEvery,
        Queries = Q.Data,
        Keys = K.Data,
        Values = V.Data,
        LearningRate = Gates.LearningRate.Data,
        LogDecay = Gates.LogDecay?.Data ?? default,
        Momentum = Gates.Momentum?.Data ?? default,
        Weights = Weights.Data,
        Gain = Gain?.Data ?? default,
    };

    public DeepGradients Gradients(Tape tape, bool wantsQueries)
    {
        DeepGradients gradients = default;
        if (wantsQueries)
        {
            gradients.Queries = tape.GradientOf(Q, out gradients.AddQueries);
        }

        gradients.Keys = tape.GradientOf(K, out gradients.AddKeys);
        gradients.Values = tape.GradientOf(V, out gradients.AddValues);
        gradients.LearningRate = tape.GradientOf(Gates.LearningRate, out gradients.AddLearningRate);
        if (Gates.LogDecay is { } decay)
        {
            gradients.LogDecay = tape.GradientOf(decay, out gradients.AddLogDecay);
        }

        if (Gates.Momentum is { } momentum)
        {
            gradients.Momentum = tape.GradientOf(momentum, out gradients.AddMomentum);
        }

        gradients.Weights = tape.GradientOf(Weights, out gradients.AddWeights);
        if (Gain is not null)
        {
            gradients.Gain = tape.GradientOf(Gain, out gradients.AddGain);
        }

        gradients.GainPartials = tape.Allocate((long)Plan.ItemCount * Q.Columns);
        return gradients;
    }
}
