using Loci.Memory.Segments;
using Loci.Numerics;

namespace Loci.Memory.Rules.Deep;

/// <summary>What the deep operations have in common.</summary>
internal readonly record struct DeepInputs(
    MemoryPlan Plan, Tensor Q, Tensor K, Tensor V, DeepMemoryGates Gates, Tensor Weights, Tensor? Gain, DeepMemoryOptions Options)
{
    public bool RequiresGradient => Q.RequiresGradient || K.RequiresGradient || V.RequiresGradient || Weights.RequiresGradient
        || Gates.LearningRate.RequiresGradient || Gates.LogDecay is { RequiresGradient: true }
        || Gates.Momentum is { RequiresGradient: true } || Gain is { RequiresGradient: true };

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
                $"A deep memory of {heads} heads of {Options.Width} over {Plan.Rows} rows takes queries, keys and values of one shape " +
                $"[{Plan.Rows}, {heads * Options.Width}], not {Q.Shape}, {K.Shape} and {V.Shape}.",
                nameof(Q));
        }

        if (Weights.Shape != new Shape(heads, Options.WeightCount)
            || (Options.Normalizes && Options.Depth > 1 && Gain?.Shape.Count != heads * Options.Width))
        {
            throw new ArgumentException(
                $"This deep memory takes initial weights of shape [{heads}, {Options.WeightCount}] and a gain of {heads * Options.Width} " +
                $"numbers, not {Weights.Shape} and {Gain?.Shape}.",
                nameof(Weights));
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
        Queries = Q,
        Keys = K,
        Values = V,
        LearningRate = Gates.LearningRate,
        LogDecay = Gates.LogDecay,
        Momentum = Gates.Momentum,
        Weights = Weights,
        Gain = Gain,
    };

    public void WantGradients(Tape tape, ref DeepArguments arguments, bool wantsQueries)
    {
        if (wantsQueries)
        {
            arguments.Queries.Want(tape, Q);
        }

        arguments.Keys.Want(tape, K);
        arguments.Values.Want(tape, V);
        arguments.LearningRate.Want(tape, Gates.LearningRate);
        arguments.LogDecay.Want(tape, Gates.LogDecay);
        arguments.Momentum.Want(tape, Gates.Momentum);
        arguments.Weights.Want(tape, Weights);
        arguments.Gain.Want(tape, Gain);
        arguments.GainPartials = tape.Allocate((long)Plan.ItemCount * Q.Columns);
    }
}
