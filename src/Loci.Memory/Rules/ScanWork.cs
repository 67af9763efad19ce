using Loci.Memory.Segments;
using Loci.Numerics;
using Loci.Numerics.Kernels;
using static Loci.Numerics.CpuDevice;

namespace Loci.Memory.Rules;

/// <summary>
/// <see cref="ScanArguments"/> as the kernels of all matrix rules follow them, without gates. Gradients are null where they are not wanted.
/// </summary>
internal unsafe struct ScanWork(in ScanArguments arguments)
{
    public readonly int Heads = arguments.Heads;
    public readonly int Width = arguments.Width;
    public readonly int Stride = arguments.Heads * arguments.Width;
    public readonly int ChunkLength = arguments.Plan.ChunkLength;
    public readonly PlanTables Plan = new(arguments.Plan);
    public readonly float* Q = Pointer(arguments.Queries.Values);
    public readonly float* K = Pointer(arguments.Keys.Values);
    public readonly float* V = Pointer(arguments.Values.Values);
    public readonly float* Output = Pointer(arguments.Output.Values);
    public readonly float* States = Pointer(arguments.States.Values);
    public readonly float* ChunkStates = Pointer(arguments.ChunkStates);
    public readonly float* DOutput = Pointer(arguments.Output.Gradient);
    public readonly float* DStates = Pointer(arguments.States.Gradient);
    public readonly float* DQ = Pointer(arguments.Queries.Gradient);
    public readonly float* DK = Pointer(arguments.Keys.Gradient);
    public readonly float* DV = Pointer(arguments.Values.Gradient);
    public bool AddQ = arguments.Queries.Accumulates;
    public bool AddK = arguments.Keys.Accumulates;
    public bool AddV = arguments.Values.Accumulates;
}

/// <summary>One gate of a rule, as its kernel follows it.</summary>
internal unsafe struct GateWork(in Operand gate)
{
    public readonly float* Values = Pointer(gate.Values);
    public readonly float* Gradient = Pointer(gate.Gradient);
    public bool Accumulates = gate.Accumulates;

    /// <summary>Stores the gradient of one element, where it is wanted.</summary>
    public readonly void Store(long index, float gradient) => Blas1.Store(Gradient, index, gradient, Accumulates);
}
