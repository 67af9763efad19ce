using Loci.Memory.Segments;
using Loci.Numerics;

namespace Loci.Memory.Routing;

/// <summary>What operations that read through a router share: its arguments, its gradients and the memory that both take.</summary>
internal static class RouterOperation
{
    public static RouterArguments Arguments(
        Tape tape, MemoryPlan plan, CachedReadOptions options, int width, Tensor u, Tensor? k, Tensor? temperature, Tensor? onlineBias)
    {
        var gates = (long)plan.GateCount * options.Heads;
        return new()
        {
            Plan = plan,
            Options = options,
            Width = width,
            Queries = u,
            Keys = k,
            Temperature = temperature,
            OnlineBias = onlineBias,
            PoolsKeys = true,
            PooledKeys = tape.Allocate((long)plan.SlotCount * options.Heads * width),
            Scores = tape.Allocate(gates),
            Gates = tape.Allocate(gates),
        };
    }

    /// <summary>Asks for the gradients of a backward pass and takes the scratch for it.</summary>
    public static void Want(Tape tape, ref RouterArguments arguments, Tensor? u, Tensor? k, Tensor? temperature, Tensor? onlineBias)
    {
        arguments.Queries.Want(tape, u);
        arguments.Keys.Want(tape, k);
        arguments.Temperature.Want(tape, temperature);
        arguments.OnlineBias.Want(tape, onlineBias);
        arguments.LogitGradients = tape.Allocate(arguments.Scores.Length);
        arguments.PooledKeyGradients = tape.Allocate(arguments.PooledKeys.Length);
        arguments.Partials = tape.Allocate((long)arguments.Plan.GroupCount * arguments.Heads * 2);
    }

    public static void ReturnScratch(Tape tape, in RouterArguments arguments)
    {
        tape.Return(arguments.LogitGradients);
        tape.Return(arguments.PooledKeyGradients);
        tape.Return(arguments.Partials);
    }

    public static void Return(Tape tape, in RouterArguments arguments)
    {
        tape.Return(arguments.PooledKeys);
        tape.Return(arguments.Scores);
        tape.Return(arguments.Gates);
    }
}
