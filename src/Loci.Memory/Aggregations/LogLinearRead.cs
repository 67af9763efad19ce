using Loci.Memory.Rules;
using Loci.Memory.Segments;
using Loci.Numerics;

namespace Loci.Memory.Aggregations;

/// <summary>
/// Log-linear attention (Guo et al., arXiv 2506.04761), read over the merged states of a scan with independent logarithmic segments:
/// o_t = sum_{j at most t} lambda_t[level(t, j)] exp(log a_{j+1} + ... + log a_t) l_j (q_t . k_j) v_j. Level 0 is the token itself; level n
/// holds tokens that first differ from t in bit n - 1 of their positions. Unlike the segments of memory caching, a segment goes on decaying
/// while it is read, and its weight depends on its level and the token alone, not on what it holds.
/// </summary>
public static class LogLinearRead
{
    /// <summary>Reads.</summary>
    /// <param name="tape">The step.</param>
    /// <param name="plan">
    /// The plan that the scan ran with: logarithmic segments of blocks whose length is a power of two, with independent starts.
    /// </param>
    /// <param name="states">The scan's cached states.</param>
    /// <param name="q">Queries, [rows, H*d].</param>
    /// <param name="k">Keys, [rows, H*d].</param>
    /// <param name="v">Values, [rows, H*d].</param>
    /// <param name="lambda">Weights of the levels, [rows, H*levels]; tokens further away than there are levels use the last.</param>
    /// <param name="heads">H.</param>
    /// <param name="logDecay">log a, at most 0, [rows, H].</param>
    /// <param name="writeGate">l, [rows, H].</param>
    /// <returns>[rows, H*d].</returns>
    /// <exception cref="ArgumentException">The shapes do not fit together.</exception>
    public static Tensor Apply(
        Tape tape, MemoryPlan plan, Tensor states, Tensor q, Tensor k, Tensor v, Tensor lambda, int heads,
        Tensor? logDecay = null, Tensor? writeGate = null)
    {
        ArgumentNullException.ThrowIfNull(tape);
        ArgumentNullException.ThrowIfNull(plan);
        ArgumentNullException.ThrowIfNull(states);
        ArgumentNullException.ThrowIfNull(q);
        ArgumentNullException.ThrowIfNull(k);
        ArgumentNullException.ThrowIfNull(v);
        ArgumentNullException.ThrowIfNull(lambda);
        int rows = q.Rows, width = heads > 0 ? q.Columns / heads : 0;
        if (heads <= 0 || q.Columns != heads * width || k.Shape != q.Shape || v.Shape != q.Shape || plan.Rows != rows
            || states.Shape != new Shape(plan.SlotCount, heads, width, width))
        {
            throw new ArgumentException(
                $"Log-linear attention of {heads} heads over {plan.Rows} rows takes queries, keys and values of one shape " +
                $"[{plan.Rows}, H*d] and states of their scan, not {q.Shape}, {k.Shape}, {v.Shape} and {states.Shape}.",
                nameof(q));
        }

        if (lambda.Rows != rows || lambda.Columns % heads != 0 || lambda.Columns < 2 * heads)
        {
            throw new ArgumentException(
                $"The levels' weights have the shape [{rows}, {heads} x levels] with at least 2 levels, not {lambda.Shape}.",
                nameof(lambda));
        }

        ScanOperation.CheckGate(logDecay, new Shape(rows, heads), nameof(logDecay));
        ScanOperation.CheckGate(writeGate, new Shape(rows, heads), nameof(writeGate));
        var record = tape.IsRecording && (q.RequiresGradient || k.RequiresGradient || v.RequiresGradient || lambda.RequiresGradient
            || states.RequiresGradient || logDecay is { RequiresGradient: true } || writeGate is { RequiresGradient: true });
        var y = tape.NewOutput(q.Shape, record);
        var arguments = new LogLinearArguments
        {
            Plan = plan,
            Heads = heads,
            Width = width,
            Levels = lambda.Columns / heads,
            Queries = q,
            Keys = k,
            Values = v,
            Lambda = lambda,
            LogDecay = logDecay,
            WriteGate = writeGate,
            States = states,
            Output = y,
        };
        tape.Device.Launch<LogLinearReadKernel.Forward, LogLinearArguments>(arguments);
        if (record)
        {
            var node = tape.Record<Node>();
            node.Arguments = arguments;
            node.PlanVersion = plan.Version;
            node.States = states;
            node.Q = q;
            node.K = k;
            node.V = v;
            node.Lambda = lambda;
            node.LogDecay = logDecay;
            node.WriteGate = writeGate;
            node.Output = y;
        }

        return y;
    }

    private sealed class Node : TapeNode
    {
        private LogLinearArguments _arguments;

        public LogLinearArguments Arguments
        {
            set => _arguments = value;
        }

        public int PlanVersion { get; set; }

        public Tensor States { get; set; } = null!;

        public Tensor Q { get; set; } = null!;

        public Tensor K { get; set; } = null!;

        public Tensor V { get; set; } = null!;

        public Tensor Lambda { get; set; } = null!;

        public Tensor? LogDecay { get; set; }

        public Tensor? WriteGate { get; set; }

        public override void Backward(Tape tape)
        {
            _arguments.Plan.RequireVersion(PlanVersion);
            _arguments.Output.Gradient = Output.Gradient;
            _arguments.States.Want(tape, States);
            _arguments.Queries.Want(tape, Q);
            _arguments.Keys.Want(tape, K);
            _arguments.Values.Want(tape, V);
            _arguments.Lambda.Want(tape, Lambda);
            _arguments.LogDecay.Want(tape, LogDecay);
            _arguments.WriteGate.Want(tape, WriteGate);
            tape.Device.Launch<LogLinearReadKernel.Backward, LogLinearArguments>(_arguments);
        }

        public override void ReleaseOutputs(Tape tape)
        {
            base.ReleaseOutputs(tape);
            _arguments = default;
        }
    }
}
