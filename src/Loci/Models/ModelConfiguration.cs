using System.Text.Json;
using System.Text.Json.Nodes;
using System.Text.Json.Serialization;
using Loci.Data;
using Loci.Formats;
using Loci.Memory;
using Loci.Memory.Aggregations;
using Loci.Memory.Routing;
using Loci.Memory.Rules;
using Loci.Memory.Rules.Deep;
using Loci.Numerics;

namespace Loci.Models;

/// <summary>Everything that determines a language model but its weights (docs/method.md, section 7).</summary>
public sealed record ModelConfiguration
{
    private const int MostColumns = 1 << 16;
    private const int MostHidden = 1 << 24;
    private const int MostLayers = 1 << 12;
    private const int MostSegmentTokens = 1 << 24;
    private const int MostSegmentsRead = 1 << 16;

    /// <summary>Number of tokens in the vocabulary.</summary>
    public required int VocabularySize { get; init; }

    /// <summary>What the blocks are made of; left out of the file where it is <c>llama</c>.</summary>
    [JsonIgnore(Condition = JsonIgnoreCondition.WhenWritingDefault)]
    public ModelArchitecture Architecture { get; init; }

    /// <summary>The bottlenecks of RWKV-7; null for everything else.</summary>
    [JsonIgnore(Condition = JsonIgnoreCondition.WhenWritingNull)]
    public RwkvRanks? Ranks { get; init; }

    /// <summary>D, the width of the residual stream.</summary>
    public int Dimension { get; init; } = 256;

    /// <summary>Number of blocks.</summary>
    public int Layers { get; init; } = 4;

    /// <summary>H; D / H is the width of a head.</summary>
    public int Heads { get; init; } = 4;

    /// <summary>Hidden width of the SwiGLU; 0 takes 8/3 of the dimension, rounded up to a multiple of 64.</summary>
    public int FeedForward { get; init; }

    /// <summary>Taps of the short convolution.</summary>
    public int ConvolutionWidth { get; init; } = 4;

    /// <summary>Whether the output projection is the embedding table.</summary>
    public bool TiedEmbeddings { get; init; } = true;

    /// <summary>Probability with which the outputs of embedding, mixers and feed-forward layers are dropped in training.</summary>
    public float Dropout { get; init; }

    /// <summary>Added to the mean square in norms.</summary>
    public float NormEpsilon { get; init; } = 1e-6f;

    /// <summary>Base of the rotary frequencies; attention only.</summary>
    public float RotaryBase { get; init; } = 10000;

    /// <summary>The mixers of the blocks: block i uses number i modulo their count. RWKV has mixers of its own and ignores them.</summary>
    public IReadOnlyList<MixerConfiguration> Mixers { get; init; } = [new()];

    /// <summary>Hidden width of the SwiGLU as it is used.</summary>
    [JsonIgnore]
    public int HiddenWidth => FeedForward > 0 ? FeedForward : ((8 * Dimension / 3) + 63) / 64 * 64;

    /// <summary>Whether this is an RWKV model, which is read but not trained.</summary>
    [JsonIgnore]
    public bool IsRwkv => Architecture is ModelArchitecture.Rwkv51 or ModelArchitecture.Rwkv52 or ModelArchitecture.Rwkv7;

    /// <summary>d, the width of a head.</summary>
    [JsonIgnore]
    public int HeadWidth => Dimension / Heads;

    /// <summary>Checks that the numbers fit together.</summary>
    /// <returns>This configuration.</returns>
    /// <exception cref="LociException">They do not; the message says what to change.</exception>
    public ModelConfiguration Validate()
    {
        Require(VocabularySize > 1, $"The vocabulary has {VocabularySize} tokens: it needs at least 2.");
        Require(Dimension > 0 && Layers > 0 && Heads > 0, $"Dimension ({Dimension}), layers ({Layers}) and heads ({Heads}) must be at least 1.");
        Require(Dimension <= MostColumns, $"A dimension of {Dimension} is too large: use at most {MostColumns}.");
        Require(Layers <= MostLayers, $"A model of {Layers} layers is too deep: use at most {MostLayers}.");
        Require(Dimension % Heads == 0, $"A dimension of {Dimension} does not divide into {Heads} heads: choose a multiple.");
        Require(FeedForward >= 0, $"The feed-forward width is {FeedForward}: use a positive number, or 0 for the default.");
        Require(FeedForward <= MostHidden, $"A feed-forward width of {FeedForward} is too large: use at most {MostHidden}.");
        Require(ConvolutionWidth is >= 1 and <= 8, $"The convolution has {ConvolutionWidth} taps: use 1 to 8.");
        Require(Dropout is >= 0 and < 1, $"A dropout of {Dropout} is not a probability below 1.");
        Require(NormEpsilon > 0 && float.IsFinite(NormEpsilon), $"The norm epsilon is {NormEpsilon}: use a small positive number.");
        Require(RotaryBase > 1 && float.IsFinite(RotaryBase), $"The rotary base is {RotaryBase}: use a number above 1.");
        Require(Enum.IsDefined(Architecture), $"There is no model architecture number {(int)Architecture}: use llama, rwkv-5.1, rwkv-5.2 or rwkv-7.");
        Require(
            Architecture == ModelArchitecture.Rwkv7 == Ranks is not null,
            Ranks is null ? "RWKV-7 needs ranks, the columns of its bottlenecks: give decay, rate, firstValue and gate." : "Ranks are for the architecture rwkv-7: leave them out.");
        if (IsRwkv)
        {
            Require(
                Ranks is null or
                {
                    Decay: > 0 and <= MostColumns,
                    Rate: > 0 and <= MostColumns,
                    FirstValue: > 0 and <= MostColumns,
                    Gate: > 0 and <= MostColumns,
                },
                $"The ranks of RWKV-7 are {Ranks?.Decay}, {Ranks?.Rate}, {Ranks?.FirstValue} and {Ranks?.Gate}: "
                + $"each must be at least 1 and at most {MostColumns}.");
            Require(FeedForward > 0, "RWKV models have no default feed-forward width: give feedForward.");
            Require(!TiedEmbeddings, "RWKV models have an output projection of their own: set tiedEmbeddings to false.");
            Require(Dropout == 0, "RWKV models are not trained, so there is no dropout: leave it out.");
            return this;
        }

        Require(Mixers is { Count: > 0 }, "The list of mixers is empty: give at least one.");
        foreach (var mixer in Mixers)
        {
            Require(mixer?.Cache?.Router is not null, "A mixer, its cache or its router is null: give an object, or leave it out for the defaults.");
            Require(mixer!.Memory is not null, "The memory of a mixer is null: give its name, or leave it out for the default.");
            if (mixer.IsAttention)
            {
                Require(Dimension / Heads % 2 == 0, $"Rotary attention needs heads of even width, not {Dimension / Heads}.");
                continue;
            }

            var rule = MemoryRules.Find(mixer.Memory!);
            Require(mixer.Deep is not null, "A mixer's deep memory is null: give an object, or leave it out for the defaults.");
            var problem = mixer.Deep!.Problem();
            Require(problem is null, problem!);
            Require(
                rule is not (DeepLinearAttention or Titans) || mixer.Deep.WeightsOfHead(HeadWidth) <= int.MaxValue,
                $"A deep memory of depth {mixer.Deep.Depth} and expansion {mixer.Deep.Expansion} has more than {int.MaxValue} weights "
                + $"for a head of {HeadWidth} columns: use more heads.");
            Require(
                (long)Dimension * HeadWidth <= int.MaxValue,
                $"The memory of {Heads} heads of {HeadWidth} columns has more than {int.MaxValue} values: use more heads.");
            var cache = mixer.Cache;
            Require(mixer.ChunkLength is >= 1 and <= 1024, $"A chunk of {mixer.ChunkLength} tokens is out of range: use 1 to 1024.");
            Require(
                Enum.IsDefined(cache.Segments),
                $"There is no kind of segments number {(int)cache.Segments}: use constant or logarithmic.");
            Require(
                cache.Start is null || Enum.IsDefined(cache.Start.Value),
                $"There is no start of segments number {(int?)cache.Start}: use checkpoint, independent or null for the default.");
            Require(cache.SegmentLength >= 1, $"A segment of {cache.SegmentLength} tokens is too short: use at least 1.");
            Require(
                cache.SegmentLength <= MostSegmentTokens,
                $"A segment of {cache.SegmentLength} tokens is too long: use at most {MostSegmentTokens}.");
            var aggregation = AggregationRegistry.Find(cache.Aggregation);
            problem = aggregation.Problem(mixer, rule);
            Require(problem is null, problem!);
            Require(
                Enum.IsDefined(cache.Router.Key),
                $"There is no router key number {(int)cache.Router.Key}: use normalized-mean, sum or mean.");
            Require(
                Enum.IsDefined(cache.Router.Query),
                $"There is no router query number {(int)cache.Router.Query}: use projected or query.");
            Require(Enum.IsDefined(cache.Router.Keys), $"There are no router keys number {(int)cache.Router.Keys}: use memory, projected or position.");
            Require(
                cache.Router.Keys != RouterKeys.Position || !aggregation.IsGated || Dimension / Heads % 2 == 0,
                $"A router that compares positions needs heads of even width, not {Dimension / Heads}.");
            Require(
                cache.TopK is >= 1 and <= MostSegmentsRead,
                $"Sparse selective caching reads {cache.TopK} past segments: use 1 to {MostSegmentsRead}.");
            Require(float.IsFinite(cache.Router.InitialTemperature), "The router's initial temperature is not a finite number.");
            Require(
                cache.Router.OnlineBias is null || float.IsFinite(cache.Router.OnlineBias.Value),
                "The router's online bias is not a finite number.");
        }

        return this;
    }

    /// <summary>Reads a configuration.</summary>
    /// <exception cref="LociException">The text is not a valid configuration.</exception>
    public static ModelConfiguration FromJson(string json)
    {
        try
        {
            var given = JsonNode.Parse(json, documentOptions: new JsonDocumentOptions { CommentHandling = JsonCommentHandling.Skip, AllowTrailingCommas = true });
            if (given is not JsonObject fields)
            {
                throw new LociException("The model configuration is not a JSON object: write one with at least vocabularySize.");
            }

            // Generated deserialisers set init-only properties that are left out to zero, not to their defaults, so the defaults are filled in as JSON.
            var defaults = JsonSerializer.SerializeToNode(new ModelConfiguration { VocabularySize = 2 }, ModelJson.Default.ModelConfiguration)!.AsObject();
            var mixer = defaults["mixers"]![0]!.AsObject();
            defaults.Remove("vocabularySize");
            FillIn(fields, defaults);
            foreach (var node in fields["mixers"] as JsonArray ?? [])
            {
                if (node is JsonObject one)
                {
                    FillIn(one, mixer);
                }
            }

            return fields.Deserialize(ModelJson.Default.ModelConfiguration)!.Validate();
        }
        catch (Exception exception) when (exception is JsonException or InvalidOperationException or ArgumentException)
        {
            throw new LociException($"The model configuration is not valid: {JsonProblem.Of(exception)}.", exception);
        }
    }

    internal static void FillIn(JsonObject fields, JsonObject defaults)
    {
        foreach (var (name, value) in defaults)
        {
            if (!fields.ContainsKey(name))
            {
                fields[name] = value?.DeepClone();
            }
            else if (fields[name] is JsonObject inner && value is JsonObject innerDefaults)
            {
                FillIn(inner, innerDefaults);
            }
        }
    }

    /// <summary>Reads a configuration file.</summary>
    /// <exception cref="LociException">The file is missing or not a valid configuration.</exception>
    public static ModelConfiguration Load(string path)
    {
        var text = TextInput.ReadFile(path);
        return FileFailure.Naming(path, () => FromJson(text));
    }

    /// <summary>Writes the configuration as indented JSON.</summary>
    public string ToJson() => JsonSerializer.Serialize(this, ModelJson.Default.ModelConfiguration);

    /// <summary>Saves the configuration to a file, atomically.</summary>
    public void Save(string path) => AtomicFile.WriteAllText(path, ToJson() + "\n");

    private static void Require(bool condition, string message)
    {
        if (!condition)
        {
            throw new LociException(message);
        }
    }
}

[JsonSourceGenerationOptions(
    WriteIndented = true,
    PropertyNamingPolicy = JsonKnownNamingPolicy.CamelCase,
    UnmappedMemberHandling = JsonUnmappedMemberHandling.Disallow,
    ReadCommentHandling = JsonCommentHandling.Skip,
    AllowTrailingCommas = true,
    UseStringEnumConverter = true)]
[JsonSerializable(typeof(ModelConfiguration))]
internal sealed partial class ModelJson : JsonSerializerContext;
