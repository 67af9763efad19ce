using Loci.Caching;
using Loci.Memories;
using Loci.Memory.Segments;
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
    private readonly RouterProjections? _routing;
    private readonly LayerMemory _memory;
    private readonly CacheReader _reader;
    private readonly MemoryPlan _plan;
    private readonly AfterTrainingReaders _readersAfterTraining;
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
        if (_reader.IsRouted)
        {
            _routing = new RouterProjections(device, prefix, configuration, cache.Router, initializer);
        }

        _plan = new MemoryPlan(device);
        _readersAfterTraining = new AfterTrainingReaders(device, configuration.Heads, _memory.IsDeep);
        Parameters = [_qkv, _convolution, _gate, _norm, _output, .. _memory.Parameters, .. _reader.Parameters, .. _routing?.Parameters ?? []];
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
        var routing = _routing?.Apply(tape, x, q, k, layout) ?? new RouterInputs(q, k);                      // [rows, D] each
        var y = _memory.Apply(tape, _plan, x, q, k, v, routing, _reader);                                        // [rows, D]
        return Project(tape, x, y, residual);
    }

    internal override MixerState CreateState(StateOptions options)
    {
        var (reader, segmentation) = _readersAfterTraining.Choose(options, Reader, Segmentation);
        if (!segmentation.IsNone && segmentation.Length % Mixer.ChunkLength != 0)
        {
            throw new LociException($"A segment of {segmentation.Length} tokens is not a whole number of chunks of {Mixer.ChunkLength}: choose a segment length that is a multiple of the chunk length.");
        }

        if (options.ReadTopK is { } topK && !segmentation.IsNone)
        {
            reader = reader is GatedResidualMemory or SparseSelectiveCaching || (reader is MemorySoup && !_memory.IsDeep)
                ? new SparseSelectiveCaching(new Router(((RoutedReader)reader).Router, topK))
                : throw new LociException("Reading only the best segments is for models trained with GRM or SSC: leave the number of segments to read out.");
        }

        RecurrentCache cache = new(_device, _memory.CreateRecurrent(segmentation), reader, segmentation, Heads, _configuration.HeadWidth, options.Format);
        return new MemoryState(_device, cache, _configuration.ConvolutionWidth - 1, 3 * _configuration.Dimension, options.KeepsReturns);
    }

    internal override Tensor Step(Tape tape, Tensor x, Tensor residual, ReadOnlySpan<StreamPart> parts, int layer)
    {
        var inputs = Linear.Apply(tape, x, _qkv);
        var (u, r) = _routing?.Project(tape, x) ?? (null, null);
        if (parts.Length == 1)
        {
            return Project(tape, x, Advance(tape, (MemoryState)parts[0].States[layer], x, inputs, u, r), residual);
        }

        var y = tape.NewTensor(x.Shape);
        var row = 0;
        foreach (var (states, rows) in parts)
        {
            var read = Advance(tape, (MemoryState)states[layer], tape.Rows(x, row, rows), tape.Rows(inputs, row, rows), u is null ? null : tape.Rows(u, row, rows), r is null ? null : tape.Rows(r, row, rows));
            _device.Copy(read.Data, tape.Rows(y, row, rows).Data);
            row += rows;
        }

        return Project(tape, x, y, residual);
    }

    /// <inheritdoc/>
    public void Dispose()
    {
        _plan.Dispose();
        _readersAfterTraining.Dispose();
        _routing?.Dispose();
    }

    internal (Tensor Q, Tensor K, Tensor V) Convolve(Tape tape, Tensor inputs, SequenceLayout layout)
    {
        var d = _configuration.Dimension;
        var normalized = new ConvolutionPart(d, d / Heads);
        return ShortConvolution.Apply(tape, inputs, _convolution, layout, normalized, normalized, new ConvolutionPart(d));
    }

    /// <summary>The convolution of one row behind the last inputs, which are moved on.</summary>
    internal (Tensor Q, Tensor K, Tensor V) ConvolveNext(Tape tape, Tensor inputs, DeviceSpan<float> last)
    {
        var d = _configuration.Dimension;
        var normalized = new ConvolutionPart(d, d / Heads);
        return ShortConvolution.Step(tape, inputs, _convolution, last, normalized, normalized, new ConvolutionPart(d));
    }

    private Tensor Advance(Tape tape, MemoryState state, Tensor x, Tensor inputs, Tensor? u, Tensor? r)
    {
        var (q, k, v) = state.Convolve(tape, inputs, this);
        return state.Cache.Advance(tape, x, q, k, v, _routing?.Turn(tape, u ?? q, r ?? k, state.LayoutOf(x.Rows), state.Position) ?? new RouterInputs(q, k));
    }

    private Tensor Project(Tape tape, Tensor x, Tensor y, Tensor? residual)
    {
        var z = Linear.Apply(tape, x, _gate);
        return Linear.Apply(tape, GatedRmsNorm.Apply(tape, y, _norm, z, Heads, _configuration.NormEpsilon), _output, residual);
    }
}
