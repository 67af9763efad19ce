using Loci.Caching;
using Loci.Memory.Aggregations;
using Loci.Memory.Rules.Deep;
using Loci.Memory.Segments;
using Loci.Models;
using Loci.Numerics;
using Loci.Numerics.Operations;

namespace Loci.Memories;

/// <summary>
/// A memory that is a small network per head, written by gradient descent on an inner loss (equations 30 and 34 to 36): S_t = h_t S_{t-1} - e_t grad l,
/// W_t = a_t W_{t-1} + S_t. Its initial weights are learned, shared by all segments, and not zero: a zero network has zero gradients and stays dead.
/// </summary>
internal sealed class DeepMemory : LayerMemory
{
    private readonly Device _device;
    private readonly int _chunkLength;
    private readonly GateProjection _rate;
    private readonly GateProjection? _decay;
    private readonly GateProjection? _momentum;

    public DeepMemory(
        Device device, string prefix, ModelConfiguration model, MixerConfiguration mixer, Initializer initializer, InnerLoss loss, bool decays, bool hasMomentum)
    {
        var deep = mixer.Deep;
        _device = device;
        _chunkLength = mixer.ChunkLength;
        Options = new DeepMemoryOptions(model.Heads, model.HeadWidth)
        {
            Depth = deep.Depth,
            HiddenWidth = deep.Expansion * model.HeadWidth,
            Loss = loss,
            Normalizes = deep.Norm && deep.Depth > 1,
            NormEpsilon = model.NormEpsilon,
            GradientClip = deep.GradientClip ?? float.PositiveInfinity,
        };
        Weights = initializer.Network(device, prefix + "memory.weights", Options);
        Gain = Options.Normalizes ? initializer.Constant(device, prefix + "memory.norm.weight", new Shape(model.Dimension), 1) : null;
        _rate = new GateProjection(device, prefix + "learning_rate", model, initializer, Logit(deep.InitialLearningRate));
        _decay = deep.Decay ?? decays ? new GateProjection(device, prefix + "decay", model, initializer, Logit(deep.InitialDecay)) : null;
        _momentum = deep.Momentum ?? hasMomentum ? new GateProjection(device, prefix + "momentum", model, initializer, Logit(deep.InitialMomentum)) : null;
        Parameters = [Weights, .. Gain is null ? (Parameter[])[] : [Gain], .. _rate.Parameters, .. _decay?.Parameters ?? [], .. _momentum?.Parameters ?? []];
    }

    public DeepMemoryOptions Options { get; }

    /// <summary>M_0, [H, weights of a head].</summary>
    public Parameter Weights { get; }

    /// <summary>Gain of the network's norm, [D].</summary>
    public Parameter? Gain { get; }

    public bool HasMomentum => _momentum is not null;

    public override IReadOnlyList<Parameter> Parameters { get; }

    internal override bool RewritesSegments => true;

    internal override bool IsDeep => true;

    public DeepMemoryGates Gates(Tape tape, Tensor x) => new(_rate.Sigmoid(tape, x), _decay?.LogSigmoid(tape, x), _momentum?.Sigmoid(tape, x));

    internal override Tensor Apply(Tape tape, MemoryPlan plan, Tensor x, Tensor q, Tensor k, Tensor v, RouterInputs routing, CacheReader reader)
    {
        var gates = Gates(tape, x);
        if (reader is MemorySoup { Router: var router })
        {
            return DeepSoup.Apply(tape, plan, q, k, v, gates, Weights, Gain, Options, routing.Queries, routing.Keys, router.Temperature, router.OnlineBias, router.Options);
        }

        return reader.Read(tape, plan, DeepScan.Apply(tape, plan, q, k, v, gates, Weights, Gain, Options), q, routing);
    }

    internal override RecurrentMemory CreateRecurrent(Segmentation segmentation) => new RecurrentDeepMemory(_device, this, segmentation, _chunkLength);

    private static float Logit(float probability) => MathF.Log(probability / (1 - probability));
}
