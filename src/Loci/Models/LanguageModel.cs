using System.Runtime.InteropServices;
using System.Security.Cryptography;
using System.Text;
using Loci.Formats;
using Loci.Layers;
using Loci.Memory;
using Loci.Numerics;
using Loci.Numerics.Operations;

namespace Loci.Models;

/// <summary>
/// A causal language model: embedding, blocks, norm, projection to the vocabulary (docs/method.md, section 7). The same code trains
/// recurrent memories with
/// or without a cache and the attention baseline, and runs RWKV models that were trained elsewhere.
/// </summary>
public sealed class LanguageModel : IDisposable
{
    private const string FormatName = "loci-language-model-1";

    private readonly Parameter _embedding;
    private readonly ModelBlock[] _blocks;
    private readonly Parameter _norm;
    private readonly Parameter? _normBias;
    private readonly Parameter? _head;
    private readonly ModelRunnerPool _runners;

    /// <summary>Makes a model with initial weights.</summary>
    /// <param name="configuration">Its sizes and mixers.</param>
    /// <param name="device">Where it lives.</param>
    /// <param name="seed">Determines the initial weights.</param>
    /// <exception cref="LociException">The configuration is not valid, or the machine has not enough memory for it.</exception>
    public LanguageModel(ModelConfiguration configuration, Device device, ulong seed = 0)
        : this(RequireRoom(configuration, device), device, new Initializer(seed, configuration.Layers))
    {
    }

    private LanguageModel(ModelConfiguration configuration, Device device, Initializer initializer)
    {
        Configuration = configuration;
        Device = device;
        _embedding = initializer.Normal(device, "embedding.weight", new Shape(configuration.VocabularySize, configuration.Dimension));
        _blocks = new ModelBlock[configuration.Layers];
        for (var i = 0; i < _blocks.Length; i++)
        {
            _blocks[i] = configuration.IsRwkv
                ? new RwkvBlock(device, $"blocks.{i}.", configuration, i == 0 ? null : (RwkvBlock)_blocks[0], initializer)
                : new Block(device, $"blocks.{i}.", configuration, configuration.Mixers[i % configuration.Mixers.Count], initializer);
        }

        _norm = initializer.Constant(device, "norm.weight", new Shape(configuration.Dimension), 1);
        _normBias = configuration.IsRwkv ? initializer.Constant(device, "norm.bias", new Shape(configuration.Dimension), 0) : null;
        _head = configuration.TiedEmbeddings ? null : initializer.Normal(device, "head.weight", new Shape(configuration.VocabularySize, configuration.Dimension));
        Parameters =
        [
            _embedding, .. _blocks.SelectMany(block => block.Parameters), _norm, .. _normBias is null ? (Parameter[])[] : [_normBias], .. _head is null ? (Parameter[])[] : [_head],
        ];
        _runners = new ModelRunnerPool(this);
        ParameterCount = Parameters.Sum(parameter => parameter.Shape.Count);
    }

    /// <summary>The sizes and mixers.</summary>
    public ModelConfiguration Configuration { get; }

    /// <summary>Where the model lives.</summary>
    public Device Device { get; }

    /// <summary>All learned tensors, in a fixed order.</summary>
    public IReadOnlyList<Parameter> Parameters { get; }

    /// <summary>Number of learned values.</summary>
    public long ParameterCount { get; }

    /// <summary>How the large matrices are stored.</summary>
    public WeightFormat Weights { get; private set; }

    /// <summary>Bytes of all weights as they are stored.</summary>
    public long WeightBytes => Parameters.Sum(parameter => parameter.Bytes);

    /// <summary>The mixers, one a block.</summary>
    internal IEnumerable<Mixer> Mixers => _blocks.Select(block => block.Mixer);

    private Parameter Head => _head ?? _embedding;

    /// <summary>The mean cross-entropy of a batch, in nats per predicted token.</summary>
    /// <param name="tape">The step; if it records, a backward pass from the loss gives all gradients.</param>
    /// <param name="inputs">Token ids, [rows].</param>
    /// <param name="targets">The id to predict in each row, or -1 for none, [rows].</param>
    /// <param name="layout">The sequences that the rows divide into.</param>
    /// <param name="normalizer">What the sum of losses is divided by; null takes the number of predicted tokens.</param>
    /// <returns>The loss and the losses of all rows.</returns>
    public CrossEntropyLoss Loss(Tape tape, DeviceSpan<int> inputs, DeviceSpan<int> targets, SequenceLayout layout, double? normalizer = null) =>
        LinearCrossEntropy.Apply(tape, Hidden(tape, inputs, layout), Head, targets, normalizer);

    /// <summary>Logits of the next token in every row, [rows, vocabulary]. Large: for tests and short prompts.</summary>
    public Tensor Logits(Tape tape, DeviceSpan<int> inputs, SequenceLayout layout) => Logits(tape, Hidden(tape, inputs, layout));

    /// <summary>The final normalised hidden states, [rows, D].</summary>
    public Tensor Hidden(Tape tape, DeviceSpan<int> inputs, SequenceLayout layout)
    {
        ArgumentNullException.ThrowIfNull(tape);
        ArgumentNullException.ThrowIfNull(layout);
        if (inputs.Length != layout.Rows)
        {
            throw new ArgumentException($"A layout of {layout.Rows} rows takes as many token ids, not {inputs.Length}.", nameof(inputs));
        }

        return Forward(tape, inputs, new SequenceRows(layout));
    }

    /// <summary>Saves weights and configuration to a folder: <c>model.safetensors</c> and <c>config.json</c>, each atomically.</summary>
    /// <exception cref="LociException">They cannot be written, or were rounded.</exception>
    public void Save(string folder)
    {
        RequireExact("saved");
        FileFailure.MakeFolder(folder);

        Configuration.Save(Path.Combine(folder, "config.json"));
        SafetensorsFile.Write(
            Path.Combine(folder, "model.safetensors"), Parameters.Select(Entry), new Dictionary<string, string> { ["format"] = FormatName });
    }

    /// <summary>Loads a model from a folder that <see cref="Save"/> wrote.</summary>
    /// <param name="folder">The folder.</param>
    /// <param name="device">Where the model lives.</param>
    /// <param name="weights">How its large matrices are stored; files are float32 and rounded here where it is not.</param>
    /// <exception cref="LociException">A file is missing, damaged or of another model.</exception>
    public static LanguageModel Load(string folder, Device device, WeightFormat weights = WeightFormat.Float32)
    {
        var configuration = ModelConfiguration.Load(Path.Combine(folder, "config.json"));
        using var file = SafetensorsFile.Open(Path.Combine(folder, "model.safetensors"));
        return Load(configuration, file, device, weights);
    }

    /// <summary>Makes a model of weights from anywhere.</summary>
    /// <param name="configuration">The model's sizes and mixers.</param>
    /// <param name="source">Its weights.</param>
    /// <param name="device">Where the model lives.</param>
    /// <param name="weights">How its large matrices are stored; they are rounded here where that is not float32.</param>
    /// <exception cref="LociException">The source is damaged or of another model, or the machine has too little memory.</exception>
    public static LanguageModel Load(ModelConfiguration configuration, IWeightSource source, Device device, WeightFormat weights = WeightFormat.Float32)
    {
        ArgumentNullException.ThrowIfNull(configuration);
        ArgumentNullException.ThrowIfNull(source);
        using (var shapes = new LanguageModel(configuration.Validate(), device, Initializer.ForShapes))
        {
            source.Require(shapes.WeightShapes);
        }

        var model = new LanguageModel(RequireRoom(configuration, device), device, Initializer.ForLoading);
        try
        {
            model.ReadWeights(source);
            model.ConvertWeights(weights);
            return model;
        }
        catch
        {
            model.Dispose();
            throw;
        }
    }

    /// <summary>
    /// Rounds the large matrices (embedding, head, projections, feed-forward, router) to <see cref="WeightFormat.Int8"/>, for inference: a quarter of the bytes to read for every token.
    /// Norms, convolutions, gates and the memories' own parameters stay float32. A model once rounded cannot be trained or saved.
    /// </summary>
    /// <exception cref="LociException">A weight is not finite, or rounded weights are asked to be float32 again.</exception>
    public void ConvertWeights(WeightFormat format)
    {
        if (format == Weights)
        {
            return;
        }

        RequireExact("made float32 again");
        Weights = format;
        foreach (var parameter in Parameters.Where(IsLargeMatrix))
        {
            if (!Device.IsFinite(parameter.Data))
            {
                throw new LociException($"The weights {parameter.Name} are not all finite, so they cannot be rounded to int8: the training that made them has diverged.");
            }

            parameter.RoundToInt8();
        }
    }

    /// <summary>Reads all weights from a safetensors file, which must hold exactly this model's tensors, all finite.</summary>
    /// <exception cref="LociException">The file is missing, damaged or of another model, or this model's weights were rounded.</exception>
    public void LoadWeights(string path)
    {
        RequireExact("overwritten");
        using var file = SafetensorsFile.Open(path);
        file.Require(WeightShapes);
        ReadWeights(file);
    }

    /// <summary>A digest of the configuration and all weights, by which a session's file knows its model.</summary>
    internal string Fingerprint()
    {
        using var hash = IncrementalHash.CreateHash(HashAlgorithmName.SHA256);
        hash.AppendData(Encoding.UTF8.GetBytes(Configuration.ToJson()));
        var values = new byte[Parameters.Max(parameter => parameter.Bytes)];
        foreach (var parameter in Parameters)
        {
            var bytes = values.AsSpan(0, (int)parameter.Bytes);
            if (parameter.Format == WeightFormat.Float32)
            {
                parameter.Save(MemoryMarshal.Cast<byte, float>(bytes));
            }
            else
            {
                Device.CopyToHost(parameter.Blocks, bytes);
            }

            hash.AppendData(bytes);
        }

        return Convert.ToHexStringLower(hash.GetHashAndReset());
    }

    /// <inheritdoc/>
    public void Dispose()
    {
        _runners.Dispose();
        foreach (var parameter in Parameters)
        {
            parameter.Dispose();
        }

        foreach (var block in _blocks)
        {
            (block.Mixer as IDisposable)?.Dispose();
        }
    }

    /// <summary>Throws where the weights are not float32 any more.</summary>
    internal void RequireExact(string what)
    {
        if (Weights != WeightFormat.Float32)
        {
            throw new LociException($"A model whose weights were rounded to int8 cannot be {what}: load it again as float32.");
        }
    }

    /// <summary>A tensor of a weight file that is copied from the device as it is written.</summary>
    internal static TensorEntry Entry(Parameter parameter) => TensorEntry.Float32(parameter.Name, parameter.Shape.ToExtents(), sink =>
    {
        var values = new float[parameter.Shape.Count];
        parameter.Save(values);
        sink.Write(values);
    });

    /// <summary>Matrices that are used by linear maps and embeddings alone, which is what decays; gates and rates do not.</summary>
    private static bool IsLargeMatrix(Parameter parameter) => parameter.Decays && parameter.Shape.Rank == 2;

    /// <summary>The final normalized hidden states of some rows, [rows, D].</summary>
    internal Tensor Forward(Tape tape, DeviceSpan<int> inputs, SequenceRows rows)
    {
        var x = Embedding.Apply(tape, inputs, _embedding);
        if (Configuration.Dropout > 0 && tape.IsTraining)
        {
            x = Dropout.Apply(tape, x, Configuration.Dropout);
        }

        for (var i = 0; i < _blocks.Length; i++)
        {
            var own = rows.InLayer(i);
            x = _blocks[i].Forward(tape, x, own);
            own.MarkRead();
        }

        return Norm(tape, x);
    }

    /// <summary>Logits of the tokens after rows of hidden states, [rows, vocabulary].</summary>
    internal Tensor Logits(Tape tape, Tensor hidden) => Linear.Apply(tape, hidden, Head);

    /// <summary>Losses of the tokens after rows of hidden states, [rows].</summary>
    internal Tensor Losses(Tape tape, Tensor hidden, DeviceSpan<int> targets) => LinearCrossEntropy.Apply(tape, hidden, Head, targets).RowLosses;

    /// <summary>Something that runs the model for one thread, until the lease is disposed.</summary>
    internal ModelRunnerPool.Lease RentRunner() => _runners.Rent();

    /// <summary>Empty states, one a block.</summary>
    internal MixerState[] CreateStates(StateOptions options) => [.. _blocks.Select(block => block.Mixer.CreateState(options))];

    /// <summary>Checks a configuration and what the machine has for it before anything is allocated.</summary>
    private static ModelConfiguration RequireRoom(ModelConfiguration configuration, Device device)
    {
        ArgumentNullException.ThrowIfNull(configuration);
        ArgumentNullException.ThrowIfNull(device);
        using var shapes = new LanguageModel(configuration.Validate(), device, Initializer.ForShapes);
        MachineMemory.RequireRoom(shapes.ParameterCount, sizeof(float), "for its weights");
        if (shapes.Parameters.FirstOrDefault(parameter => parameter.Shape.Count > Array.MaxLength) is { } large)
        {
            throw new LociException(FormattableString.Invariant(
                $"The tensor {large.Name} of the model would have {large.Shape.Count:#,0} values, ")
                + FormattableString.Invariant($"more than the {Array.MaxLength:#,0} of one tensor: choose smaller sizes."));
        }

        return configuration;
    }

    private IReadOnlyList<WeightShape> WeightShapes => [.. Parameters.Select(parameter => new WeightShape(parameter.Name, parameter.Shape))];

    private void ReadWeights(IWeightSource source)
    {
        var buffer = new float[Parameters.Max(parameter => parameter.Shape.Count)];
        foreach (var parameter in Parameters)
        {
            var values = buffer.AsSpan(0, (int)parameter.Shape.Count);
            source.Read(new WeightShape(parameter.Name, parameter.Shape), values);
            parameter.Load(values);
        }
    }

    private Tensor Norm(Tape tape, Tensor x) => _normBias is null
        ? RmsNorm.Apply(tape, x, _norm, epsilon: Configuration.NormEpsilon)
        : LayerNorm.Apply(tape, x, _norm, _normBias, Configuration.NormEpsilon);
}
