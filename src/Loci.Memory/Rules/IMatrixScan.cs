using Loci.Numerics;

namespace Loci.Memory.Rules;

/// <summary>The chunked form of a matrix rule, which <see cref="ScanOperation"/> runs. States are stored transposed, [d_k, d_v].</summary>
internal interface IMatrixScan
{
    /// <summary>Whether merged segments are written once more as a whole, because their states cannot be merged.</summary>
    static abstract bool RewritesSegments { get; }

    /// <summary>Writes the memory and reads its online state.</summary>
    static abstract void Forward(CpuDevice device, in ScanArguments arguments);

    /// <summary>Gradients of <see cref="Forward"/>; those of queries, keys and values are always written.</summary>
    static abstract void Backward(CpuDevice device, in ScanArguments arguments);
}
