using Loci.Memory.Segments;
using Loci.Numerics;

namespace Loci.Memory.Rules.Deep;

/// <summary>
/// Writes deep memories chunk by chunk (equations 30 and 34 to 36 of arXiv 2602.24281, signs as in Titans, arXiv 2501.00663) and reads
/// them, in one fused operation: S_t = h_t S_{t-1} - e_t grad l, W_t = a_t W_{t-1} + S_t, with all gradients of a chunk taken at the
/// weights that it starts with, each clipped. Gradients of the model reach every input through the inner ones.
/// </summary>
public static class DeepScan
{
    // A state is kept for the backward pass at least so many rows after the one before.
    private const int KeptRows = 64;

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
        Tape tape, MemoryPlan plan, Tensor q, Tensor k, Tensor v, DeepMemoryGates gates, Tensor weights, Tensor? gain,
        DeepMemoryOptions options)
    {
        var inputs = new DeepInputs(plan, q, k, v, gates, weights, gain, options);
        inputs.Check();
        ArgumentNullException.ThrowIfNull(tape);
        var record = tape.IsRecording && inputs.RequiresGradient;
        var output = tape.NewOutput(q.Shape, record);
        var states = tape.NewOutput(inputs.StatesShape, record);
        var arguments = inputs.Arguments(Math.Max(1, KeptRows / Math.Max(1, plan.ChunkLength)));
        arguments.Output = output;
        arguments.States = states;
        arguments.Kept = record ? tape.Allocate(arguments.KeptLength) : default;
        tape.Device.Launch<DeepScanKernel.Forward, DeepArguments>(arguments);
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

            Inputs.WantGradients(tape, ref _arguments, wantsQueries: true);
            _arguments.Output.Gradient = dOutput;
            _arguments.States.Gradient = States.HasGradient ? States.Gradient : default;
            tape.Device.Launch<DeepScanKernel.Backward, DeepArguments>(_arguments);
            tape.Return(_arguments.GainPartials);
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
