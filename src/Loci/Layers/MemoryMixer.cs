using Loci.Memory;
using Loci.Memory.Aggregations;
using Loci.Memory.Routing;
using Loci.Memory.Rules;
using Loci.Memory.Segments;
using Loci.Models;
using Loci.Numerics;
using Loci.Numerics.Operations;

namespace Loci.Layers;

/// <summary>
/// A memory with a cache: q, k and v are SiLU(conv(x W)), q and k normalized per head; the memory is written and read, its cached states
/// are read beside it, and the result,
/// normalized per head and multiplied by SiLU(x W_g), is projected back.
/// </summary>
internal sealed class MemoryMixer : Mixer, IDisposable
{
    private readonly LayerContext _layer;
    private readonly Parameter _qkv;
    private readonly MixerConvolution _convolution;
    private readonly Parameter _gate;
    private readonly Parameter _norm;
    private readonly Parameter _output;
    private readonly RouterProjections? _routing;

    public MemoryMixer(LayerContext layer, MixerConfiguration mixer, int convolutionWidth)
    {
        _layer = layer;
        var (device, prefix, d, initializer) = (layer.Device, layer.Prefix, layer.Dimension, layer.Initializer);
        var rule = MemoryRules.Find(mixer.Memory);
        var aggregation = AggregationRegistry.Find(mixer.Cache.Aggregation);
        _qkv = initializer.Normal(device, prefix + "qkv.weight", new Shape(3 * d, d));
        _convolution = new MixerConvolution(layer, convolutionWidth);
        _gate = initializer.Normal(device, prefix + "gate.weight", new Shape(d, d));
        _norm = initializer.Constant(device, prefix + "norm.weight", new Shape(d), 1);
        _output = initializer.Residual(device, prefix + "output.weight", new Shape(d, d));
        Memory = new CachedMemory(
            device, rule.CreateLayer(layer, mixer), aggregation.CreateReader(layer, mixer.Cache), aggregation.SegmentsOf(mixer, rule), mixer.ChunkLength, layer.Heads, layer.HeadWidth);
        _routing = aggregation.IsGated ? new RouterProjections(layer, mixer.Cache.Router) : null;
        Parameters = [_qkv, _convolution.Weight, _gate, _norm, _output, .. Memory.Parameters, .. _routing?.Parameters ?? []];
    }

    /// <inheritdoc/>
    public override IReadOnlyList<Parameter> Parameters { get; }

    /// <summary>The memory with its cache.</summary>
    public CachedMemory Memory { get; }

    /// <inheritdoc/>
    public override Tensor Forward(Tape tape, Tensor x, Tensor? residual, SequenceRows rows)
    {
        var (q, k, v) = _convolution.Forward(tape, Linear.Apply(tape, x, _qkv), rows);                       // [rows, D] each
        var routing = _routing?.Forward(tape, x, q, k, rows) ?? new RouterInputs(q, k);                      // [rows, D] each
        var y = Memory.Forward(tape, x, q, k, v, routing, rows);                                            // [rows, D]
        var z = Linear.Apply(tape, x, _gate);                                                                // [rows, D]
        return Linear.Apply(tape, GatedRmsNorm.Apply(tape, y, _norm, z, _layer.Heads, _layer.NormEpsilon), _output, residual);
    }

    /// <inheritdoc/>
    public override MixerState CreateState(StateOptions options) => new CachedMixerState(_layer.Device, Memory.CreateState(options), _convolution.StateLength, options.KeepsReturns);

    /// <inheritdoc/>
    public void Dispose()
    {
        Memory.Dispose();
        _routing?.Dispose();
    }
}
