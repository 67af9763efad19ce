using Loci.Caching;
using Loci.Memories;
using Loci.Models;
using Loci.Numerics;
using Loci.Numerics.Operations;

namespace Loci.Layers;

/// <summary>
/// A memory with a cache (section 7 of the method): q, k and v are SiLU(conv(x W)), q and k normalised per head; the memory is written and read, its cached
/// states are read beside it, and the result, normalised per head and multiplied by SiLU(x W_g), is projected back.
/// </summary>
public sealed class MemoryMixer : Mixer, IDisposable
{
    private readonly ModelConfiguration _configuration;
    private readonly Device _device;
    private readonly Parameter _qkv;
    private readonly Parameter _convolution;
    private readonly Parameter _gate;
    private readonly Parameter _norm;
    private readonly Parameter _output;
    private readonly Parameter? _routing;
    private readonly LayerMemory _memory;
    private readonly CacheReader _reader;
    private readonly MemoryPlan _plan;
    private SequenceLayout? _plannedLayout;
    private int _plannedVersion;

    internal MemoryMixer(Device device, string prefix, ModelConfiguration configuration, MixerConfiguration mixer, Initializer initializer)
    {
        _device = device;
        _configuration = configuration;
        Mixer = mixer;
        var d = configuration.Dimension;
        var cache = mixer.Cache;
        var rule = MemoryRules.Find(mixer.Memory);
        Segmentation = cache.Aggregation == AggregationKind.None
            ? Segmentation.None
            : cache.Aggregation == AggregationKind.LogLinear ? new Segmentation(SegmentKind.Logarithmic, mixer.ChunkLength, SegmentStart.Independent)
            : new Segmentation(cache.Segments, cache.Segments == SegmentKind.Constant ? cache.SegmentLength : mixer.ChunkLength, cache.Start ?? rule.DefaultStart);
        _qkv = initializer.Normal(device, prefix + "qkv.weight", new Shape(3 * d, d));
        _convolution = initializer.Convolution(device, prefix + "convolution.weight", new Shape(3 * d, configuration.ConvolutionWidth));
        _gate = initializer.Normal(device, prefix + "gate.weight", new Shape(d, d));
        _norm = initializer.Constant(device, prefix + "norm.weight", new Shape(d), 1);
        _output = initializer.Residual(device, prefix + "output.weight", new Shape(d, d));
        _memory = rule.CreateLayer(device, prefix, configuration, mixer, initializer);
        _reader = CacheReader.Create(device, prefix, configuration, cache, initializer);
        if (_reader.IsRouted && cache.Router.Query == RouterQuery.Projected)
        {
            _routing = initializer.Normal(device, prefix + "router.weight", new Shape(d, d));
        }

        _plan = new MemoryPlan(device);
        Parameters = [_qkv, _convolution, _gate, _norm, _output, .. _memory.Parameters, .. _reader.Parameters, .. _routing is null ? (Parameter[])[] : [_routing]];
    }

    /// <summary>The configuration of this mixer.</summary>
    public MixerConfiguration Mixer { get; }

    /// <summary>The segments in use.</summary>
    public Segmentation Segmentation { get; }

    /// <inheritdoc/>
    public override IReadOnlyList<Parameter> Parameters { get; }

    internal int Heads => _configuration.Heads;

    internal LayerMemory Memory => _memory;

    internal CacheReader Reader => _reader;

    internal MemoryPlan Plan => _plan;

    /// <inheritdoc/>
    public override Tensor Apply(Tape tape, Tensor x, Tensor? residual, SequenceLayout layout)
    {
        ArgumentNullException.ThrowIfNull(layout);
        if (!ReferenceEquals(_plannedLayout, layout) || _plannedVersion != layout.Version)
        {
            Segmentation.Plan(_plan, layout, Mixer.ChunkLength, _memory.RewritesSegments);
            _plannedLayout = layout;
            _plannedVersion = layout.Version;
        }

        var inputs = Linear.Apply(tape, x, _qkv);                                                            // [rows, 3D]
        var (q, k, v) = Convolve(tape, inputs, layout);                                                      // [rows, D] each
        var u = _routing is null ? q : Linear.Apply(tape, x, _routing);                                      // [rows, D]
        var y = _memory.Apply(tape, _plan, x, q, k, v, u, _reader);                                          // [rows, D]
        return Project(tape, x, y, residual);
    }

    /// <inheritdoc/>
    public override MixerState CreateState() => new MemoryState(_device, this, _configuration);

    /// <inheritdoc/>
    public override Tensor Step(Tape tape, Tensor x, Tensor residual, MixerState state)
    {
        var memory = (MemoryState)state;
        var inputs = Linear.Apply(tape, x, _qkv);
        var (q, k, v) = memory.Convolve(tape, inputs, this);
        var u = _routing is null ? q : Linear.Apply(tape, x, _routing);
        var y = memory.Cache.Advance(tape, x, q, k, v, u);
        return Project(tape, x, y, residual);
    }

    /// <inheritdoc/>
    public void Dispose() => _plan.Dispose();

    internal (Tensor Q, Tensor K, Tensor V) Convolve(Tape tape, Tensor inputs, SequenceLayout layout)
    {
        var d = _configuration.Dimension;
        var normalized = new ConvolutionPart(d, d / Heads);
        return ShortConvolution.Apply(tape, inputs, _convolution, layout, normalized, normalized, new ConvolutionPart(d));
    }

    private Tensor Project(Tape tape, Tensor x, Tensor y, Tensor? residual)
    {
        var z = Linear.Apply(tape, x, _gate);
        return Linear.Apply(tape, GatedRmsNorm.Apply(tape, y, _norm, z, Heads, _configuration.NormEpsilon), _output, residual);
    }
}
