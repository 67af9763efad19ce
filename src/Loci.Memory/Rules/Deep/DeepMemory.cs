using Loci.Memory.Aggregations;
using Loci.Memory.Routing;
using Loci.Memory.Rules.Deep;
using Loci.Memory.Segments;
using Loci.Numerics;
using Loci.Numerics.Operations;

namespace Loci.Memory.Rules.Deep;

/// <summary>
/// A memory that is a small network per head, written by gradient descent on an inner loss (equations 30 and 34 to 36): S_t = h_t S_{t-1} -
/// e_t grad l,
/// W_t = a_t W_{t-1} + S_t. Its initial weights are learned, shared by all segments, and not zero: a zero network has zero gradients and
/// stays dead.
/// </summary>
internal sealed class DeepMemory : LayerMemory
{
    private readonly Device _device;
    private readonly int _chunkLength;
    private readonly GateProjection _rate;
    private readonly GateProjection? _decay;
    private readonly GateProjection? _momentum;

    public DeepMemory(LayerContext layer, MixerConfiguration mixer, InnerLoss loss, bool decays, bool hasMomentum)
    {
        var deep = mixer.Deep;
        var (device, prefix, initializer) = (layer.Device, layer.Prefix, layer.Initializer);
        _device = device;
        _chunkLength = mixer.ChunkLength;
        Options = new DeepMemoryOptions(layer.Heads, layer.HeadWidth)
        {
            Depth = deep.Depth,
            HiddenWidth = deep.Expansion * layer.HeadWidth,
            Loss = loss,
            Normalizes = deep.Norm && deep.Depth > 1,
            NormEpsilon = layer.NormEpsilon,
            GradientClip = deep.GradientClip ?? float.PositiveInfinity,
        };
        Weights = initializer.Normal(device, prefix + "memory.weights", new Shape(layer.Heads, Options.WeightCount), InitialLayers(Options));
        Gain = Options.Normalizes ? initializer.Constant(device, prefix + "memory.norm.weight", new Shape(layer.Dimension), 1) : null;
        _rate = new GateProjection(layer, "learning_rate", Logit(deep.InitialLearningRate));
        _decay = deep.Decay ?? decays ? new GateProjection(layer, "decay", Logit(deep.InitialDecay)) : null;
        _momentum = deep.Momentum ?? hasMomentum ? new GateProjection(layer, "momentum", Logit(deep.InitialMomentum)) : null;
        Parameters = [Weights, .. Gain is null ? (Parameter[])[] : [Gain], .. _rate.Parameters, .. _decay?.Parameters ?? [], .. _momentum?.Parameters ?? []];
    }

    public DeepMemoryOptions Options { get; }

    /// <summary>M_0, [H, weights of a head].</summary>
    public Parameter Weights { get; }

    /// <summary>Gain of the network's norm, [D].</summary>
    public Parameter? Gain { get; }

    public bool HasMomentum => _momentum is not null;

    public override IReadOnlyList<Parameter> Parameters { get; }

    public override bool RewritesSegments => true;

    public override bool ReadsLinearly => false;

    public DeepMemoryGates Gates(Tape tape, Tensor x) => new(_rate.Sigmoid(tape, x), _decay?.LogSigmoid(tape, x), _momentum?.Sigmoid(tape, x));

    public override Written Write(Tape tape, in MemoryInputs inputs) =>
        new(DeepScan.Apply(tape, inputs.Plan, inputs.Q, inputs.K, inputs.V, Gates(tape, inputs.X), Weights, Gain, Options));

    public override Tensor WriteAndReadSoup(Tape tape, in MemoryInputs inputs, Router router) => DeepSoup.Apply(
        tape, inputs.Plan, inputs.Q, inputs.K, inputs.V, Gates(tape, inputs.X), Weights, Gain, Options, inputs.Routing.Queries, inputs.Routing.Keys, router.Temperature,
        router.OnlineBias, router.Options);

    public override RecurrentMemory CreateRecurrent(Segmentation segmentation) => new RecurrentDeepMemory(_device, this, segmentation, _chunkLength);

    /// <summary>
    /// The layers of all heads and the deviations they start with: keys have unit length, so that 1 in the first layer gives hidden values
    /// of about 1; later layers have
    /// 1 / sqrt(inputs).
    /// </summary>
    private static IEnumerable<(int Count, float Deviation)> InitialLayers(DeepMemoryOptions options)
    {
        for (var head = 0; head < options.Heads; head++)
        {
            for (var layer = 0; layer < options.Depth; layer++)
            {
                int input = layer == 0 ? options.Width : options.HiddenWidth, output = layer == options.Depth - 1 ? options.Width : options.HiddenWidth;
                yield return (input * output, layer == 0 && options.Depth > 1 ? 1 : 1 / MathF.Sqrt(input));
            }
        }
    }

    private static float Logit(float probability) => MathF.Log(probability / (1 - probability));
}
