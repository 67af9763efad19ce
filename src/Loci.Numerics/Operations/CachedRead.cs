namespace Loci.Numerics.Operations;

/// <summary>How cached states are read.</summary>
/// <param name="Heads">H.</param>
/// <param name="SharesGates">Whether all heads share one softmax over the sum of their scores.</param>
/// <param name="TopK">Past segments read per token; 0 reads all.</param>
/// <param name="RouterKey">How a segment is described to the router.</param>
/// <param name="DetachesStates">Whether cached states are constants to the backward pass, so that nothing learns through what a past segment wrote.</param>
public readonly record struct CachedReadOptions(
    int Heads, bool SharesGates = false, int TopK = 0, RouterKey RouterKey = RouterKey.NormalizedMean, bool DetachesStates = false)
{
    /// <summary>What the sum of <paramref name="count"/> keys is multiplied by to describe their segment.</summary>
    internal float KeyScale(int count) => RouterKey switch
    {
        RouterKey.Sum => 1,
        RouterKey.Mean => 1f / count,
        _ => 1 / MathF.Sqrt(count),
    };
}

/// <summary>
/// Reads the cached states of a memory beside its online state, in one fused operation: the plain sum (Residual, equation 7 of arXiv 2602.24281)
/// or the sum weighted by a softmax over router scores (GRM, equation 9; SSC, equations 16 and 17, with <see cref="CachedReadOptions.TopK"/>).
/// </summary>
public static class CachedRead
{
    /// <summary>Adds all visible states' reads to the online reads. Those of matrix memories cost one read a row: the states are summed first.</summary>
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
        Tape tape, MemoryPlan plan, ScanResult scan, Tensor q, Tensor u, Tensor k, Tensor temperature, Tensor? onlineBias, CachedReadOptions options)
    {
        ArgumentNullException.ThrowIfNull(u);
        ArgumentNullException.ThrowIfNull(k);
        ArgumentNullException.ThrowIfNull(temperature);
        return Apply(tape, plan, scan, q, u, k, temperature, onlineBias, options);
    }

    private static Tensor Apply(
        Tape tape, MemoryPlan plan, ScanResult scan, Tensor q, Tensor? u, Tensor? k, Tensor? temperature, Tensor? onlineBias, CachedReadOptions options)
    {
        ArgumentNullException.ThrowIfNull(tape);
        ArgumentNullException.ThrowIfNull(plan);
        ArgumentNullException.ThrowIfNull(q);
        var heads = options.Heads;
        if (q.Shape != scan.Output.Shape || (u is not null && u.Shape != q.Shape) || (k is not null && k.Shape != q.Shape) || plan.Rows != q.Rows)
        {
            throw new ArgumentException(
                $"A cached read takes online reads, queries, routing queries and keys of one shape, not {scan.Output.Shape}, {q.Shape}, {u?.Shape} and {k?.Shape}.", nameof(q));
        }

        if ((temperature is not null && temperature.Shape != new Shape(heads)) || (onlineBias is not null && onlineBias.Shape != new Shape(heads)))
        {
            throw new ArgumentException($"A router of {heads} heads takes temperatures and biases of shape [{heads}], not {temperature?.Shape} and {onlineBias?.Shape}.", nameof(temperature));
        }

        ArgumentOutOfRangeException.ThrowIfNegative(options.TopK, nameof(options));
        var record = tape.IsRecording && (q.RequiresGradient || scan.Output.RequiresGradient || u is { RequiresGradient: true }
            || k is { RequiresGradient: true } || temperature is { RequiresGradient: true } || onlineBias is { RequiresGradient: true });
        var width = q.Columns / heads;
        var y = tape.NewOutput(q.Shape, record);
        var isGated = u is not null;
        var gates = (long)plan.GateCount * heads;
        var arguments = new ReadArguments
        {
            Plan = plan,
            Options = options,
            Width = width,
            IsGated = isGated,
            Online = scan.Output.Data,
            Queries = q.Data,
            Routing = u?.Data ?? default,
            Keys = k?.Data ?? default,
            States = scan.States.Data,
            Temperature = temperature?.Data ?? default,
            OnlineBias = onlineBias?.Data ?? default,
            Output = y.Data,
            PoolsKeys = isGated,
            Network = scan.Network,
            Gain = scan.Gain?.Data ?? default,
            PooledKeys = isGated ? tape.Allocate((long)plan.SlotCount * q.Columns) : default,
            Scores = isGated ? tape.Allocate(gates) : default,
            Gates = isGated ? tape.Allocate(gates) : default,
            Sums = isGated || scan.Network is not null ? default : tape.Allocate((long)plan.GroupCount * heads * width * width),
        };
        tape.Device.CachedRead(arguments);
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
            var plan = _arguments.Plan;
            plan.RequireVersion(PlanVersion);
            var gates = _arguments.Scores.Length;
            var isGated = _arguments.IsGated;
            var isDeep = Scan.Network is not null;
            var states = _arguments.Options.DetachesStates ? default : tape.GradientOf(Scan.States, out _);
            var scratchStates = states.IsEmpty && !isDeep ? tape.Allocate(Scan.States.Shape.Count) : default;
            var gradients = new ReadGradients
            {
                Output = Output.Gradient,
                Online = tape.GradientOf(Scan.Output, out var addOnline),
                AddOnline = addOnline,
                Queries = tape.GradientOf(Q, out var addQ),
                AddQueries = addQ,
                States = states.IsEmpty ? scratchStates : states,
            };
            if (isDeep)
            {
                gradients.Gain = Scan.Gain is null ? default : tape.GradientOf(Scan.Gain, out gradients.AddGain);
                gradients.GainPartials = tape.Allocate(plan.GroupRanges.Count / 2 * (long)Q.Columns);
            }

            if (isGated)
            {
                // Where u is q, the second contribution is added to the first.
                gradients.Routing = tape.GradientOf(U!, out gradients.AddRouting);
                gradients.Keys = tape.GradientOf(K!, out gradients.AddKeys);
                gradients.Temperature = tape.GradientOf(Temperature!, out gradients.AddTemperature);
                gradients.OnlineBias = OnlineBias is null ? default : tape.GradientOf(OnlineBias, out gradients.AddOnlineBias);
                gradients.Logits = tape.Allocate(gates);
                gradients.PooledKeys = tape.Allocate(_arguments.PooledKeys.Length);
                gradients.Partials = tape.Allocate((long)plan.GroupCount * _arguments.Options.Heads * 2);
            }

            tape.Device.CachedReadBackward(_arguments, gradients);
            tape.Return(gradients.Logits);
            tape.Return(gradients.PooledKeys);
            tape.Return(gradients.Partials);
            tape.Return(gradients.GainPartials);
            tape.Return(scratchStates);
        }

        public override void ReleaseOutputs(Tape tape)
        {
            base.ReleaseOutputs(tape);
            tape.Return(_arguments.PooledKeys);
            tape.Return(_arguments.Scores);
            tape.Return(_arguments.Gates);
            tape.Return(_arguments.Sums);
            _arguments = default;
        }
    }
}
