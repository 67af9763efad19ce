using Loci.Memory.Routing;
using Loci.Memory.Rules.Deep;
using Loci.Memory.Segments;
using Loci.Numerics;

namespace Loci.Memory.Aggregations;

/// <summary>
/// Writes deep memories as <see cref="DeepScan"/> does and reads their soup (equation 15 of arXiv 2602.24281): the network whose every
/// matrix is the gated sum of those of the online memory and of all visible cached states. It is read layer by layer, at the cost of as
/// many plain reads; for the backward pass it keeps the layers' ends of every row.
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
        Tape tape, MemoryPlan plan, Tensor q, Tensor k, Tensor v, DeepMemoryGates gates, Tensor weights, Tensor? gain,
        DeepMemoryOptions options,
        Tensor u, Tensor r, Tensor temperature, Tensor? onlineBias, CachedReadOptions read)
    {
        ArgumentNullException.ThrowIfNull(tape);
        ArgumentNullException.ThrowIfNull(u);
        ArgumentNullException.ThrowIfNull(r);
        ArgumentNullException.ThrowIfNull(temperature);
        var inputs = new DeepInputs(plan, q, k, v, gates, weights, gain, options);
        inputs.Check();
        int rows = q.Rows, heads = options.Heads;
        if (u.Shape != q.Shape || r.Shape != q.Shape || read.Heads != heads || temperature.Shape != new Shape(heads)
            || (onlineBias is not null && onlineBias.Shape != new Shape(heads)))
        {
            throw new ArgumentException(
                $"A router of {heads} heads takes routing queries and keys of shape {q.Shape} and temperatures and biases of shape " +
                $"[{heads}], not {u.Shape}, {r.Shape}, {temperature.Shape} and {onlineBias?.Shape}.",
                nameof(u));
        }

        var record = tape.IsRecording && (inputs.RequiresGradient || u.RequiresGradient || r.RequiresGradient
            || temperature.RequiresGradient || onlineBias is { RequiresGradient: true });
        var y = tape.NewOutput(q.Shape, record);
        var scan = inputs.Arguments(1);
        scan.States = tape.Allocate(inputs.StatesShape.Count);
        scan.Kept = tape.Allocate(scan.KeptLength);
        scan.Records = tape.Allocate((long)rows * heads * (options.OutputCount + options.HiddenCount));
        scan.Preactivations = record ? tape.Allocate((long)rows * heads * options.OutputCount) : default;
        tape.Device.Launch<DeepScanKernel.Forward, DeepArguments>(scan);
        read = read with { TopK = 0 };
        var arguments = new DeepSoupArguments
        {
            Scan = scan,
            Read = new()
            {
                Plan = plan,
                Options = read,
                Width = options.Width,
                IsGated = true,
                Router = RouterOperation.Arguments(tape, plan, read, options.Width, u, r, temperature, onlineBias),
                Queries = q,
                States = scan.States,
                Output = y,
                Network = options,
                Gain = gain,
            },
        };
        tape.Device.Launch<DeepSoupKernel.Forward, DeepSoupArguments>(arguments);
        if (record)
        {
            var node = tape.Record<Node>();
            node.Inputs = inputs;
            node.Arguments = arguments;
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
        private DeepSoupArguments _arguments;

        public DeepInputs Inputs { get; set; }

        public DeepSoupArguments Arguments
        {
            set => _arguments = value;
        }

        public int PlanVersion { get; set; }

        public Tensor U { get; set; } = null!;

        public Tensor R { get; set; } = null!;

        public Tensor Temperature { get; set; } = null!;

        public Tensor? OnlineBias { get; set; }

        public override void Backward(Tape tape)
        {
            ref var scan = ref _arguments.Scan;
            ref var read = ref _arguments.Read;
            var plan = scan.Plan;
            plan.RequireVersion(PlanVersion);
            var states = read.Options.DetachesStates ? default : tape.Allocate(scan.States.Values.Length);
            read.Output.Gradient = Output.Gradient;
            read.Queries.Want(tape, Inputs.Q);
            read.States.Gradient = states;
            RouterOperation.Want(tape, ref read.Router, U, R, Temperature, OnlineBias);
            read.GainPartials = tape.Allocate((long)plan.ReadChunkCount * Output.Columns);
            read.Gain.Want(tape, Inputs.Gain);

            // The soup is read first, so keys and gain have a gradient when the scan's own comes.
            Inputs.WantGradients(tape, ref scan, wantsQueries: false);
            scan.States.Gradient = states;
            scan.ReadGradients = tape.Allocate(scan.Preactivations.Length);
            tape.Device.Launch<DeepSoupKernel.Backward, DeepSoupArguments>(_arguments);
            tape.Return(states);
            RouterOperation.ReturnScratch(tape, read.Router);
            tape.Return(read.GainPartials);
            tape.Return(scan.ReadGradients);
            tape.Return(scan.GainPartials);
        }

        public override void ReleaseOutputs(Tape tape)
        {
            base.ReleaseOutputs(tape);
            tape.Return(_arguments.Scan.States.Values);
            tape.Return(_arguments.Scan.Kept);
            tape.Return(_arguments.Scan.Records);
            tape.Return(_arguments.Scan.Preactivations);
            RouterOperation.Return(tape, _arguments.Read.Router);
            _arguments = default;
        }
    }
}
