using Loci.Memory.Routing;
using Loci.Memory.Rules;
using Loci.Memory.Segments;
using Loci.Numerics;

namespace Loci.Memory.Aggregations;

/// <summary>
/// Reads the cached states of a memory beside its online state, in one fused operation: the plain sum (Residual, equation 7 of arXiv
/// 2602.24281) or the sum weighted by a softmax over router scores (GRM, equation 9; SSC, equations 16 and 17, with
/// <see cref="CachedReadOptions.TopK"/>).
/// </summary>
public static class CachedRead
{
    /// <summary>
    /// Adds all visible states' reads to the online reads. Those of matrix memories cost one read a row: the states are summed first.
    /// </summary>
    /// <param name="tape">The step.</param>
    /// <param name="plan">The plan that the scan ran with.</param>
    /// <param name="scan">The scan's online reads and cached states.</param>
    /// <param name="q">Queries, [rows, H*d].</param>
    /// <param name="options">Heads, and whether states are detached.</param>
    /// <returns>[rows, H*d].</returns>
    public static Tensor Sum(Tape tape, MemoryPlan plan, ScanResult scan, Tensor q, CachedReadOptions options) =>
        Apply(tape, plan, scan, q, null, null, null, null, options with { TopK = 0 });

    /// <summary>Reads the visible states through gates g = softmax(tau &lt;u, p&gt;).</summary>
    /// <param name="tape">The step.</param>
    /// <param name="plan">The plan that the scan ran with.</param>
    /// <param name="scan">The scan's online reads and cached states.</param>
    /// <param name="q">Queries, [rows, H*d].</param>
    /// <param name="u">Routing queries, [rows, H*d]; may be <paramref name="q"/>.</param>
    /// <param name="k">What segments are described by, [rows, H*d]: the keys, normalised per head, or others.</param>
    /// <param name="temperature">tau, [H].</param>
    /// <param name="onlineBias">Added to the online segment's logit, [H]; none where null.</param>
    /// <param name="options">Heads and router.</param>
    /// <returns>[rows, H*d].</returns>
    public static Tensor Gated(
        Tape tape, MemoryPlan plan, ScanResult scan, Tensor q, Tensor u, Tensor k, Tensor temperature, Tensor? onlineBias,
        CachedReadOptions options)
    {
        ArgumentNullException.ThrowIfNull(u);
        ArgumentNullException.ThrowIfNull(k);
        ArgumentNullException.ThrowIfNull(temperature);
        return Apply(tape, plan, scan, q, u, k, temperature, onlineBias, options);
    }

    private static Tensor Apply(
        Tape tape, MemoryPlan plan, ScanResult scan, Tensor q, Tensor? u, Tensor? k, Tensor? temperature, Tensor? onlineBias,
        CachedReadOptions options)
    {
        ArgumentNullException.ThrowIfNull(tape);
        ArgumentNullException.ThrowIfNull(plan);
        ArgumentNullException.ThrowIfNull(q);
        var heads = options.Heads;
        if (q.Shape != scan.Output.Shape || (u is not null && u.Shape != q.Shape) || (k is not null && k.Shape != q.Shape)
            || plan.Rows != q.Rows)
        {
            throw new ArgumentException(
                $"A cached read takes online reads, queries, routing queries and keys of one shape, not {scan.Output.Shape}, {q.Shape}, " +
                $"{u?.Shape} and {k?.Shape}.",
                nameof(q));
        }

        if ((temperature is not null && temperature.Shape != new Shape(heads))
            || (onlineBias is not null && onlineBias.Shape != new Shape(heads)))
        {
            throw new ArgumentException(
                $"A router of {heads} heads takes temperatures and biases of shape [{heads}], not {temperature?.Shape} and " +
                $"{onlineBias?.Shape}.",
                nameof(temperature));
        }

        ArgumentOutOfRangeException.ThrowIfNegative(options.TopK, nameof(options));
        var record = tape.IsRecording && (q.RequiresGradient || scan.Output.RequiresGradient || u is { RequiresGradient: true }
            || k is { RequiresGradient: true } || temperature is { RequiresGradient: true } || onlineBias is { RequiresGradient: true });
        var width = q.Columns / heads;
        var y = tape.NewOutput(q.Shape, record);
        var arguments = new ReadArguments
        {
            Plan = plan,
            Options = options,
            Width = width,
            IsGated = u is not null,
            Online = scan.Output,
            Queries = q,
            States = scan.States,
            Output = y,
            Network = scan.Network,
            Gain = scan.Gain,
            Sums = u is not null || scan.Network is not null ? default : tape.Allocate((long)plan.GroupCount * heads * width * width),
        };
        if (u is not null)
        {
            arguments.Router = RouterOperation.Arguments(tape, plan, options, width, u, k, temperature, onlineBias);
        }

        tape.Device.Launch<CachedReadKernel.Forward, ReadArguments>(arguments);
        if (record)
        {
            var node = tape.Record<Node>();
            node.Arguments = arguments;
            node.PlanVersion = plan.Version;
            node.Scan = scan;
            node.Q = q;
            node.U = u;
            node.K = k;
            node.Temperature = temperature;
            node.OnlineBias = onlineBias;
            node.Output = y;
        }

        return y;
    }

    private sealed class Node : TapeNode
    {
        private ReadArguments _arguments;

        public ReadArguments Arguments
        {
            set => _arguments = value;
        }

        public int PlanVersion { get; set; }

        public ScanResult Scan { get; set; }

        public Tensor Q { get; set; } = null!;

        public Tensor? U { get; set; }

        public Tensor? K { get; set; }

        public Tensor? Temperature { get; set; }

        public Tensor? OnlineBias { get; set; }

        public override void Backward(Tape tape)
        {
            ref var arguments = ref _arguments;
            var plan = arguments.Plan;
            plan.RequireVersion(PlanVersion);
            var isDeep = Scan.Network is not null;
            var states = arguments.Options.DetachesStates ? default : tape.GradientOf(Scan.States, out _);
            var scratchStates = states.IsEmpty && !isDeep ? tape.Allocate(Scan.States.Shape.Count) : default;
            arguments.Output.Gradient = Output.Gradient;
            arguments.Online.Want(tape, Scan.Output);
            arguments.Queries.Want(tape, Q);
            arguments.States.Gradient = states.IsEmpty ? scratchStates : states;
            if (isDeep)
            {
                arguments.Gain.Want(tape, Scan.Gain);
                arguments.GainPartials = tape.Allocate(plan.SequenceCount * (long)Q.Columns);
            }

            if (arguments.IsGated)
            {
                // Where u is q, the second contribution is added to the first.
                RouterOperation.Want(tape, ref arguments.Router, U, K, Temperature, OnlineBias);
            }

            tape.Device.Launch<CachedReadKernel.Backward, ReadArguments>(arguments);
            RouterOperation.ReturnScratch(tape, arguments.Router);
            tape.Return(arguments.GainPartials);
            tape.Return(scratchStates);
        }

        public override void ReleaseOutputs(Tape tape)
        {
            base.ReleaseOutputs(tape);
            RouterOperation.Return(tape, _arguments.Router);
            tape.Return(_arguments.Sums);
            _arguments = default;
        }
    }
}
