using Loci.Memory.Rules;
using Loci.Memory.Segments;
using Loci.Models;
using Loci.Numerics;
using Loci.Numerics.Operations;

namespace Loci.Caching;

/// <summary>
/// Log-linear attention (Guo et al., arXiv 2506.04761), a baseline: logarithmic segments whose weights lambda = softplus(x W + bias) depend on the token and on how far away a segment is,
/// not on what the segment holds.
/// </summary>
internal sealed class LogLinearAttention : CacheReader
{
    /// <summary>Levels with a weight of their own: 2^19 tokens back. All further ones share the last.</summary>
    public const int Levels = 20;

    private readonly Parameter _weight;
    private readonly Parameter _bias;

    public LogLinearAttention(Device device, string prefix, ModelConfiguration model, Initializer initializer)
    {
        Heads = model.Heads;
        _weight = initializer.Normal(device, prefix + "levels.weight", new Shape(Heads * Levels, model.Dimension), decays: false);
        _bias = initializer.Constant(device, prefix + "levels.bias", new Shape(Heads * Levels), 0);
        Parameters = [_weight, _bias];
    }

    public int Heads { get; }

    public override IReadOnlyList<Parameter> Parameters { get; }

    /// <summary>lambda, [rows, H*levels].</summary>
    public Tensor Weights(Tape tape, Tensor x) => Activation.Softplus(tape, Linear.Apply(tape, x, _weight), _bias);

    public override Tensor Read(Tape tape, MemoryPlan plan, ScanResult scan, Tensor q, RouterInputs routing) =>
        throw new InvalidOperationException("Log-linear attention reads the open block token by token, so the memory calls it itself.");
}
