namespace Loci.Numerics.Operations;

/// <summary>
/// Writes deep memories as <see cref="DeepScan"/> does and reads their soup (equation 15 of arXiv 2602.24281): the network whose every matrix is the gated sum of those of the
/// online memory and of all visible cached states. It is read layer by layer, at the cost of as many plain reads; for the backward pass it keeps the layers' ends of every row.
/// </summary>
public static class DeepSoup
{
    /// <summary>Runs the memory over a batch.</summary>
    /// <param name="tape">The step.</param>
    /// <param name="plan">Chunks and cached states of the batch, planned with rewriting.</param>
    /// <param name="q">Queries, [rows, H*d].</param>
    /// <param name="k">Keys, normalised per head, [rows, H*d].</param>
    /// <param name="v">Values, [rows, H*d].</param>
    /// <param name="gates">e, a and h.</param>
    /// <param name="weights">M_0, shared by all segments, [H, weights of a head].</param>
    /// <param name="gain">Gain of the network's norm, [H*d]; null where it has no norm.</param>
    /// <param name="options">The network.</param>
    /// <param name="u">Routing queries, [rows, H*d]; may be <paramref name="q"/>.</param>
    /// <param name="r">What segments are described to the router by, [rows, H*d]; may be <paramref name="k"/>.</param>
    /// <param name="temperature">tau, [H].</param>
    /// <param name="onlineBias">Added to the online segment's logit, [H]; none where null.</param>
    /// <param name="read">Heads and router; a soup is of all segments, so top k does not apply.</param>
    /// <returns>[rows, H*d].</returns>
    /// <exception cref="ArgumentException">The shapes do not fit together.</exception>
    public static Tensor Apply(
        Tape tape, MemoryPlan plan, Tensor q, Tensor k, Tensor v, DeepMemoryGates gates, Tensor weights, Tensor? gain, DeepMemoryOptions options,
        Tensor u, Tensor r, Tensor temperature, Tensor? onlineBias, CachedReadOptions read)
    {
        ArgumentNullException.ThrowIfNull(tape);
        ArgumentNullException.ThrowIfNull(u);
        ArgumentNullException.ThrowIfNull(r);
        ArgumentNullException.ThrowIfNull(temperature);
        var inputs = new DeepInputs(plan, q, k, v, gates, weights, gain, options);
        inputs.Check();
        int rows = q.Rows, heads = options.Heads;
        if (u.Shape != q.Shape || r.Shape != q.Shape || read.Heads != heads || temperature.Shape != new Shape(heads) || (onlineBias is not null && onlineBias.Shape != new Shape(heads)))
        {
            throw new ArgumentException(
                $"A router of {heads} heads takes routing queries and keys of shape {q.Shape} and temperatures and biases of shape [{heads}], not {u.Shape}, {r.Shape}, {temperature.Shape} and {onlineBias?.Shape}.", nameof(u));
        }

        var record = tape.IsRecording && (inputs.RequiresGradient || u.RequiresGradient || r.RequiresGradient || temperature.RequiresGradient || onlineBias is { RequiresGradient: true });
        var y = tape.NewOutput(q.Shape, record);
        var network = new Kernels.DeepNetwork(options);
        var arguments = inputs.Arguments(1);
        arguments.States = tape.Allocate(inputs.StatesShape.Count);
        arguments.Kept = tape.Allocate(arguments.KeptLength);
        arguments.Records = tape.Allocate((long)rows * heads * (network.OutputCount + network.HiddenCount));
        arguments.Preactivations = record ? tape.Allocate((long)rows * heads * network.OutputCount) : default;
        tape.Device.DeepScan(arguments);
        var count = (long)plan.GateCount * heads;
        var readArguments = new ReadArguments
        {
            Plan = plan,
            Options = read with { TopK = 0 },
            Width = options.Width,
            IsGated = true,
            Queries = q.Data,
            Routing = u.Data,
            Keys = r.Data,
            States = arguments.States,
            Temperature = temperature.Data,
            OnlineBias = onlineBias?.Data ?? default,
            Output = y.Data,
            PoolsKeys = true,
            PooledKeys = tape.Allocate((long)plan.SlotCount * q.Columns),
            Scores = tape.Allocate(count),
            Gates = tape.Allocate(count),
            Network = options,
            Gain = gain?.Data ?? default,
        };
        tape.Device.DeepSoup(arguments, readArguments);
        if (record)
        {
            var node = tape.Record<Node>();
            node.Inputs = inputs;
            node.Arguments = arguments;
            node.Read = readArguments;
            node.PlanVersion = plan.Version;
            node.U = u;
            node.R = r;
            node.Temperature = temperature;
            node.OnlineBias = onlineBias;
            node.Output = y;
        }

        return y;
    }

    private sealed class Node : TapeNode
    {
        private DeepArguments _arguments;
        private ReadArguments _read;

        public DeepInputs Inputs { get; set; }

        public DeepArguments Arguments
        {
            set => _arguments = value;
        }

        public ReadArguments Read
        {
            set => _read = value;
        }

        public int PlanVersion { get; set; }

        public Tensor U { get; set; } = null!;

        public Tensor R { get; set; } = null!;

        public Tensor Temperature { get; set; } = null!;

        public Tensor? OnlineBias { get; set; }

        public override void Backward(Tape tape)
        {
            var plan = _arguments.Plan;
            plan.RequireVersion(PlanVersion);
            var states = _read.Options.DetachesStates ? default : tape.Allocate(_arguments.States.Length);
            var read = new ReadGradients
            {
                Output = Output.Gradient,
                Queries = tape.GradientOf(Inputs.Q, out var addQ),
                AddQueries = addQ,
                States = states,
                Routing = tape.GradientOf(U, out var addU),
                AddRouting = addU,
                Keys = tape.GradientOf(R, out var addK),
                AddKeys = addK,
                Temperature = tape.GradientOf(Temperature, out var addTemperature),
                AddTemperature = addTemperature,
                Logits = tape.Allocate(_read.Scores.Length),
                PooledKeys = tape.Allocate(_read.PooledKeys.Length),
                Partials = tape.Allocate((long)plan.GroupCount * _read.Options.Heads * 2),
                GainPartials = tape.Allocate((long)plan.ReadChunkCount * Output.Columns),
            };
            if (Inputs.Gain is not null)
            {
                read.Gain = tape.GradientOf(Inputs.Gain, out read.AddGain);
            }

            if (OnlineBias is not null)
            {
                read.OnlineBias = tape.GradientOf(OnlineBias, out read.AddOnlineBias);
            }

            // The soup is read first, so keys and gain have a gradient when the scan's own comes.
            var gradients = Inputs.Gradients(tape, wantsQueries: false);
            gradients.States = states;
            gradients.Reads = tape.Allocate(_arguments.Preactivations.Length);
            tape.Device.DeepSoupBackward(_arguments, gradients, _read, read);
            tape.Return(states);
            tape.Return(read.Logits);
            tape.Return(read.PooledKeys);
            tape.Return(read.Partials);
            tape.Return(read.GainPartials);
            tape.Return(gradients.Reads);
            tape.Return(gradients.GainPartials);
        }

        public override void ReleaseOutputs(Tape tape)
        {
            base.ReleaseOutputs(tape);
            foreach (var span in (ReadOnlySpan<DeviceSpan<float>>)[
                _arguments.States, _arguments.Kept, _arguments.Records, _arguments.Preactivations, _read.PooledKeys, _read.Scores, _read.Gates])
            {
                tape.Return(span);
            }

            (_arguments, _read) = (default, default);
        }
    }
}
