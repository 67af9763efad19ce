using System.Runtime.CompilerServices;
using Loci.Memory.Segments;
using Loci.Numerics;

namespace Loci.Memory.Rules;

/// <summary>A gate of a scan as its caller names it: one number a row and head, or one a key dimension; left out where null.</summary>
internal readonly record struct ScanGate(
    Tensor? Values, bool IsVector = false, [CallerArgumentExpression(nameof(Values))] string Name = "");

/// <summary>What the scans of all matrix rules share: checks, the record, and the backward pass.</summary>
internal static class ScanOperation
{
    public static ScanResult Apply<TScan>(
        Tape tape, MemoryPlan plan, Tensor q, Tensor k, Tensor v, int heads, ReadOnlySpan<ScanGate> gates)
        where TScan : IMatrixScan
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
                $"A memory of {heads} heads over {plan.Rows} rows takes queries, keys and values of one shape [{plan.Rows}, H*d], " +
                $"not {q.Shape}, {k.Shape} and {v.Shape}.", nameof(q));
        }

        CheckPlan(plan, TScan.RewritesSegments);
        var record = tape.IsRecording && (q.RequiresGradient || k.RequiresGradient || v.RequiresGradient);
        foreach (var gate in gates)
        {
            CheckGate(gate.Values, gate.IsVector ? q.Shape : new Shape(rows, heads), gate.Name);
            record |= tape.IsRecording && gate.Values is { RequiresGradient: true };
        }

        var width = columns / heads;
        var output = tape.NewOutput(q.Shape, record);
        var states = tape.NewOutput(new Shape(plan.SlotCount, heads, width, width), record);
        var arguments = new ScanArguments
        {
            Plan = plan,
            Heads = heads,
            Width = width,
            Queries = q,
            Keys = k,
            Values = v,
            Output = output,
            States = states,
            ChunkStates = record ? tape.Allocate((long)plan.ChunkCount * heads * width * width) : default,
        };
        for (var i = 0; i < gates.Length; i++)
        {
            arguments.Gates[i] = gates[i].Values;
        }

        tape.Device.Launch<ForwardKernel<TScan>, ScanArguments>(arguments);
        if (record)
        {
            var node = tape.Record<Node<TScan>>();
            node.Set(arguments, q, k, v, gates);
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

    private static void CheckPlan(MemoryPlan plan, bool rewrites)
    {
        if (rewrites ? plan.Merges.Count > 0 : plan.LevelCount > 1)
        {
            throw new ArgumentException(
                rewrites
                    ? "The plan merges the states of neighbouring segments, which this rule cannot do: make a plan that rewrites segments."
                    : "The plan rewrites merged segments, which an additive memory need not do: make a plan that merges states.",
                nameof(plan));
        }
    }

    private readonly struct ForwardKernel<TScan> : IKernel<ScanArguments>
        where TScan : IMatrixScan
    {
        public static void Run(CpuDevice device, in ScanArguments arguments) => TScan.Forward(device, arguments);
    }

    private readonly struct BackwardKernel<TScan> : IKernel<ScanArguments>
        where TScan : IMatrixScan
    {
        public static void Run(CpuDevice device, in ScanArguments arguments) => TScan.Backward(device, arguments);
    }

    private sealed class Node<TScan> : TapeNode
        where TScan : IMatrixScan
    {
        private readonly Tensor?[] _gates = new Tensor?[ScanGates.Most];
        private ScanArguments _arguments;
        private int _planVersion;
        private Tensor _q = null!;
        private Tensor _k = null!;
        private Tensor _v = null!;

        public Tensor States { get; set; } = null!;

        public override bool HasOutputGradient => Output.HasGradient || States.HasGradient;

        public void Set(in ScanArguments arguments, Tensor q, Tensor k, Tensor v, ReadOnlySpan<ScanGate> gates)
        {
            _arguments = arguments;
            _planVersion = arguments.Plan.Version;
            _q = q;
            _k = k;
            _v = v;
            for (var i = 0; i < _gates.Length; i++)
            {
                _gates[i] = i < gates.Length ? gates[i].Values : null;
            }
        }

        public override void Backward(Tape tape)
        {
            ref var arguments = ref _arguments;
            arguments.Plan.RequireVersion(_planVersion);
            arguments.Output.Gradient = tape.GradientOf(Output, out var hasOutput);
            if (!hasOutput)
            {
                tape.Device.Clear(arguments.Output.Gradient);
            }

            arguments.States.Gradient = States.HasGradient ? States.Gradient : default;
            Want(tape, _q, ref arguments.Queries);
            Want(tape, _k, ref arguments.Keys);
            Want(tape, _v, ref arguments.Values);
            for (var i = 0; i < _gates.Length; i++)
            {
                arguments.Gates[i].Want(tape, _gates[i]);
            }

            tape.Device.Launch<BackwardKernel<TScan>, ScanArguments>(arguments);
            Discard(tape, _q, arguments.Queries);
            Discard(tape, _k, arguments.Keys);
            Discard(tape, _v, arguments.Values);
        }

        public override void ReleaseOutputs(Tape tape)
        {
            base.ReleaseOutputs(tape);
            Release(tape, States);
            tape.Return(_arguments.ChunkStates);
            _arguments = default;
        }

        // The kernel writes all three of dQ, dK and dV; one that nobody wants goes to scratch.
        private static void Want(Tape tape, Tensor tensor, ref Operand operand)
        {
            operand.Want(tape, tensor);
            if (operand.Gradient.IsEmpty && tensor.Columns > 0)
            {
                operand.Accumulates = false;
                operand.Gradient = tape.Allocate(tensor.Shape.Count);
            }
        }

        private static void Discard(Tape tape, Tensor tensor, in Operand operand)
        {
            if (!tensor.RequiresGradient)
            {
                tape.Return(operand.Gradient);
            }
        }
    }
}
