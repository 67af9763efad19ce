using System.CommandLine;
using Loci.Cli.Terminal;
using Loci.Memory;
using Loci.Memory.Aggregations;
using Loci.Memory.Rules;
using Loci.Memory.Rules.Deep;
using Loci.Memory.Segments;
using Loci.Models;
using Loci.Numerics.Operations;

namespace Loci.Cli.Commands;

/// <summary>The options that make a model: one size dial, a memory and its cache, or a whole configuration file.</summary>
/// <param name="defaultSize">The size where none is given.</param>
/// <param name="alwaysTied">Whether the embedding table is the output projection without being asked for.</param>
internal sealed class ModelOptions(string defaultSize = "small", bool alwaysTied = false)
{
    private const int DefaultSegmentLength = 256;

    private readonly Option<string?> _configuration = Options.Text("--config", "The whole model as a JSON file, instead of the options below.", "FILE.json");
    private readonly Option<string?> _size = Options.Text(
        "--size", $"Size of the model: {string.Join(", ", ModelPresets.SizeNames)}, or about how many parameters, such as 12M (default {defaultSize}).", "SIZE");
    private readonly Option<int?> _dimension = Options.Whole("--dimension", "Width of the model, instead of the size's.", 1, 1 << 16);
    private readonly Option<int?> _layers = Options.Whole("--layers", "Number of blocks, instead of the size's.", 1, 1 << 12);
    private readonly Option<int?> _heads = Options.Whole("--heads", "Number of heads, instead of the size's.", 1, 1 << 12);
    private readonly Option<string?> _memory = Options.Text(
        "--memory", $"Memory: {string.Join(", ", MemoryRules.All.Select(rule => rule.Name))}, or attention for a transformer (default gated-linear).", "NAME");
    private readonly Option<int?> _chunkLength = Options.Whole("--chunk-length", "Tokens that are written at once; part of the model for dla and titans (default 64).", 1, 1024);
    private readonly Option<int?> _depth = Options.Whole("--memory-depth", "Matrices of a dla or titans memory (default 2).", 1, DeepMemoryOptions.MaximumDepth);
    private readonly Option<int?> _expansion = Options.Whole("--memory-expansion", "Hidden width of a dla or titans memory in widths of a head (default 4).", 1, 64);
    private readonly Option<string?> _aggregation = Options.Word(
        "--aggregation", "How the memories of past segments are read (default none)", [.. AggregationRegistry.Trained.Select(aggregation => aggregation.Name)]);
    private readonly Option<SegmentKind?> _segments = Options.Choice(
        "--segments", "Segments of one length, or logarithmically many (default constant)", ("constant", SegmentKind.Constant), ("logarithmic", SegmentKind.Logarithmic));
    private readonly Option<int?> _segmentLength = Options.Whole("--segment-length", $"Tokens per constant segment, a multiple of the chunk (default {DefaultSegmentLength}).", 1, 1 << 24);
    private readonly Option<SegmentStart?> _start = Options.Choice(
        "--start", "What a segment's memory starts from (default: as the memory does)", ("checkpoint", SegmentStart.Checkpoint), ("independent", SegmentStart.Independent));
    private readonly Option<int?> _topK = Options.Whole("--top-k", "Past segments that ssc reads per token (default 4).", 1, 1 << 16);
    private readonly Option<bool> _tied = Options.Flag("--tied-embeddings", "Uses the embedding table as output projection too.");
    private readonly Option<double?> _dropout = Options.Number("--dropout", "Part of the activations dropped in training (default 0).", 0, 0.99);

    /// <summary>All of the options.</summary>
    public IReadOnlyList<Option> All => [_configuration, _size, _dimension, _layers, _heads, _memory, _chunkLength, _depth, _expansion, _aggregation, _segments, _segmentLength, _start, _topK, _tied, _dropout];

    /// <summary>The model that was asked for.</summary>
    /// <exception cref="UsageException">Options contradict each other, or make no valid model.</exception>
    /// <exception cref="LociException">The configuration file holds no valid model.</exception>
    public ModelConfiguration Read(ParseResult result, int vocabularySize)
    {
        if (result.GetValue(_configuration) is { } path)
        {
            if (All.FirstOrDefault(option => option != _configuration && result.IsGiven(option)) is { } other)
            {
                throw new UsageException($"--config gives the whole model, so {other.Name} cannot be given with it; change the file instead.");
            }

            var whole = ModelConfiguration.Load(path);
            return whole.VocabularySize >= vocabularySize
                ? whole
                : throw new LociException($"The model of {path} has a vocabulary of {whole.VocabularySize} tokens, but the tokenizer has {vocabularySize}: set vocabularySize to that.");
        }

        return Options.Checked(() => Make(result, vocabularySize));
    }

    /// <summary>
    /// Checks the options before it is known how many tokens the vocabulary will have, so that what is wrong shows at once.
    /// </summary>
    /// <param name="result">The options.</param>
    /// <param name="least">The fewest tokens.</param>
    /// <param name="most">The most tokens, of which sentences speak.</param>
    public void Check(ParseResult result, int least, int most)
    {
        try
        {
            _ = Read(result, least);
        }
        catch (Exception exception) when (exception is UsageException or LociException)
        {
            _ = Read(result, most);
        }
    }

    private ModelConfiguration Make(ParseResult result, int vocabularySize)
    {
        var memory = result.GetValue(_memory) ?? "gated-linear";
        var aggregation = result.GetValue(_aggregation) ?? "none";
        if (memory == "attention" && aggregation != "none")
        {
            throw new UsageException("--memory attention keeps every token, so --aggregation does not apply to it; leave it out.");
        }

        if (aggregation == "none" && new Option[] { _segments, _segmentLength, _start, _topK }.FirstOrDefault(result.IsGiven) is { } unused)
        {
            throw new UsageException($"{unused.Name} needs --aggregation residual, grm, soup or ssc: without one there are no segments.");
        }

        var defaults = new MixerConfiguration { Memory = memory };
        if (MemoryRules.All.FirstOrDefault(rule => rule.Name == memory) is not (DeepLinearAttention or Titans) && new Option[] { _depth, _expansion }.FirstOrDefault(result.IsGiven) is { } deepOnly)
        {
            throw new UsageException($"{deepOnly.Name} is for --memory dla or titans, whose memory is a network; leave it out.");
        }

        var tied = alwaysTied || result.GetValue(_tied);
        var size = ModelPresets.FindSize(result.GetValue(_size) ?? defaultSize, vocabularySize, tied);
        size = new ModelSize(result.GetValue(_dimension) ?? size.Dimension, result.GetValue(_layers) ?? size.Layers, result.GetValue(_heads) ?? size.Heads);
        var mixer = defaults with
        {
            ChunkLength = result.GetValue(_chunkLength) ?? defaults.ChunkLength,
            Deep = defaults.Deep with { Depth = result.GetValue(_depth) ?? defaults.Deep.Depth, Expansion = result.GetValue(_expansion) ?? defaults.Deep.Expansion },
            Cache = new CacheConfiguration
            {
                Aggregation = aggregation,
                Segments = result.GetValue(_segments) ?? SegmentKind.Constant,
                SegmentLength = result.GetValue(_segmentLength) ?? DefaultSegmentLength,
                Start = result.GetValue(_start),
                TopK = result.GetValue(_topK) ?? new CacheConfiguration().TopK,
            },
        };
        return (ModelPresets.Create(size, vocabularySize, mixer) with { TiedEmbeddings = tied, Dropout = (float)((result.GetResult(_dropout) is null ? null : result.GetValue(_dropout)) ?? 0) }).Validate();
    }

    /// <summary>A model in a few words.</summary>
    public static string Describe(ModelConfiguration configuration)
    {
        var mixers = configuration.Architecture switch
        {
            ModelArchitecture.Rwkv51 => "RWKV-5.1",
            ModelArchitecture.Rwkv52 => "RWKV-5.2",
            ModelArchitecture.Rwkv7 => "RWKV-7",
            _ => string.Join(" + ", configuration.Mixers.Select(Describe).Distinct()),
        };
        return $"{mixers}; dimension {configuration.Dimension}, {configuration.Layers} layers, {configuration.Heads} heads, vocabulary {configuration.VocabularySize:#,0}"
            + (configuration.TiedEmbeddings ? ", tied embeddings" : "") + (configuration.Dropout > 0 ? FormattableString.Invariant($", dropout {configuration.Dropout}") : "");
    }

    private static string Describe(MixerConfiguration mixer)
    {
        if (mixer.IsAttention)
        {
            return "attention";
        }

        var cache = mixer.Cache;
        var segments = cache.Segments == SegmentKind.Constant ? $"segments of {cache.SegmentLength}" : "logarithmic segments";
        var aggregation = AggregationRegistry.Find(cache.Aggregation);
        return aggregation.Name switch
        {
            "none" => mixer.Memory,
            "log-linear" => $"log-linear attention over {mixer.Memory}, blocks of {mixer.ChunkLength}",
            _ => $"{mixer.Memory} with {aggregation.Title}{(aggregation.IsSparse ? $" of {cache.TopK}" : "")}, {segments}",
        };
    }
}
