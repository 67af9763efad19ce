using System.Text;
using System.Text.Json;
using System.Text.Json.Nodes;
using Loci.Data;
using Loci.Formats;
using Loci.Tests.Data;
using Xunit;

namespace Loci.Tests.Formats;

/// <summary>Ids and texts of many variants of a tokenizer.json, against those of Hugging Face's tokenizers: TestData/tokenizers.</summary>
public sealed class TokenizerVariantTests
{
    private static readonly JsonObject Frozen = JsonNode.Parse(File.ReadAllText(TestFiles.PathOf("tokenizers/variants.json")))!.AsObject();
    private static readonly string[] Texts = [.. Frozen["texts"]!.AsArray().Select(text => (string)text!)];
    private static readonly Dictionary<string, JsonObject> Variants =
        Frozen["variants"]!.AsArray().ToDictionary(variant => (string)variant!["name"]!, variant => variant!.AsObject());

    public static TheoryData<string> Names => [.. Variants.Keys];

    [Theory]
    [MemberData(nameof(Names))]
    public void Ids_are_those_of_Hugging_Face_or_the_file_is_refused(string name)
    {
        var tokenizer = Read(name, out var refusal);
        if (tokenizer is null)
        {
            Assert.StartsWith("Cannot read file: ", refusal, StringComparison.Ordinal);
            Assert.EndsWith(".", refusal, StringComparison.Ordinal);
            Assert.DoesNotContain('\n', refusal);
            return;
        }

        var ids = Results<int[]>(name, "ids");
        var decoded = Results<string>(name, "decoded");
        for (var i = 0; i < Texts.Length; i++)
        {
            List<int> withSpecialTokens = [];
            tokenizer.EncodeWithSpecialTokens(Texts[i], withSpecialTokens);
            Assert.Equal(ids[i], withSpecialTokens);
            if (!tokenizer.AddedTokens.Any(token => token.IsSpecial && Texts[i].Contains(token.Content, StringComparison.Ordinal)))
            {
                Assert.Equal(ids[i], tokenizer.Encode(Texts[i]));
            }

            // Without a decoder theirs joins the tokens as they are written.
            if (name != "no decoder")
            {
                Assert.Equal(decoded[i], tokenizer.Decode(ids[i]));
            }
        }
    }

    [Fact]
    public void What_changes_nothing_or_is_supported_is_read()
    {
        string[] read =
        [
            "as it is", "prefix space", "offsets not trimmed", "byte level in a sequence", "byte level in nested sequences",
            "split as GPT-2", "split as GPT-2 and regex", "split as GPT-2, inverted", "split as GPT-2, matches kept",
            "empty normalizer sequence", "nested empty normalizer sequences",
            "no pad", "ordinary added tokens", "ordinary added tokens, normalized",
            "overlapping, the shorter one normalized", "overlapping, end on beginning", "special ones normalized",
            "some normalized, apart", "with a prefix space", "pad as an ordinary token", "a special one more",
            "ignoring merges", "ignoring merges, none there", "ignoring merges, a token that none makes", "a token that no merge makes",
            "merges as pairs", "a merge twice", "no merges", "merges in reverse",
            "byte fallback", "unknown token", "empty prefix and suffix", "dropout of zero",
            "byte-level processor", "byte-level processor with a prefix space", "empty processor sequence",
            "byte-level processors in a sequence",
            "template of the text alone", "template of the text alone, with tokens for pairs",
            "decoder in a sequence", "no decoder",
        ];
        Assert.Equal(read, Variants.Keys.Where(name => Read(name, out _) is not null));
    }

    public static TheoryData<string, string> ComponentTypes
    {
        get
        {
            TheoryData<string, string> data = [];
            foreach (var (component, types) in ((string, string)[])
            [
                ("normalizer", "BertNormalizer ByteLevel Lowercase NFC NFD NFKC NFKD Nmt NotYetKnown"),
                ("normalizer", "Precompiled Prepend Replace Strip StripAccents"),
                ("pre_tokenizer", "BertPreTokenizer CharDelimiterSplit Digits FixedLength Metaspace Punctuation NotYetKnown"),
                ("pre_tokenizer", "Split UnicodeScripts Whitespace WhitespaceSplit"),
                ("post_processor", "BertProcessing RobertaProcessing TemplateProcessing NotYetKnown"),
                ("decoder", "BPEDecoder ByteFallback CTC Fuse Metaspace Replace Strip WordPiece NotYetKnown"),
                ("model", "Unigram WordLevel WordPiece NotYetKnown"),
            ])
            {
                data.AddRange([.. types.Split(' ').Select(type => (component, type))]);
            }

            return data;
        }
    }

    [Theory]
    [MemberData(nameof(ComponentTypes))]
    public void A_component_of_another_type_is_refused_by_its_name(string component, string type)
    {
        var file = Frozen["file"]!.DeepClone();
        file[component] = new JsonObject { ["type"] = type };
        Assert.Contains(type, Refusal(file), StringComparison.Ordinal);
        if (component != "model")
        {
            var list = component switch { "pre_tokenizer" => "pretokenizers", "post_processor" => "processors", _ => component + "s" };
            file[component] = new JsonObject { ["type"] = "Sequence", [list] = new JsonArray(file[component]!.DeepClone()) };
            Assert.Contains(type, Refusal(file), StringComparison.Ordinal);
        }
    }

    [Fact]
    public void Properties_that_are_not_known_are_refused_in_every_object()
    {
        var objects = 0;
        foreach (var variant in Variants.Keys.Where(name => Read(name, out _) is not null))
        {
            foreach (var path in Objects(Changed(variant)).Select(found => found.GetPath()))
            {
                var file = Changed(variant);
                var changed = Objects(file).Single(found => found.GetPath() == path);
                changed["not_yet_known"] = 1;
                Assert.Contains("\"not_yet_known\"", Refusal(file), StringComparison.Ordinal);
                objects++;
            }
        }

        Assert.True(objects > 200);
    }

    [Theory]
    [InlineData("add_prefix_space", "pre_tokenizer")]
    [InlineData("use_regex", "pre_tokenizer")]
    [InlineData("ignore_merges", "model")]
    public void Switches_that_are_neither_on_nor_off_are_refused(string property, string component)
    {
        var file = Frozen["file"]!.DeepClone();
        file[component]![property] = "true";
        Assert.Contains($"\"{property}\"", Refusal(file), StringComparison.Ordinal);
    }

    [Theory]
    [InlineData("\"normalizer\"")]
    [InlineData("\"ignore_merges\"")]
    public void Properties_that_are_there_twice_are_refused(string property)
    {
        var text = Frozen["file"]!.ToJsonString().Replace(property + ":", $"{property}:true,{property}:", StringComparison.Ordinal);
        var message = Assert.Throws<LociException>(() => TokenizerFile.Read(Encoding.UTF8.GetBytes(text), "file")).Message;
        Assert.EndsWith($"{property} twice.", message, StringComparison.Ordinal);
    }

    /// <summary>The objects whose properties have names of the format, not of tokens.</summary>
    private static IEnumerable<JsonObject> Objects(JsonNode? node)
    {
        var inner = node switch
        {
            JsonObject fields =>
                fields.Where(field => field.Key is not ("vocab" or "merges" or "pair" or "special_tokens")).Select(field => field.Value),
            JsonArray items => items,
            _ => [],
        };
        return [.. node is JsonObject found ? [found] : Array.Empty<JsonObject>(), .. inner.SelectMany(Objects)];
    }

    private static string Refusal(JsonNode file) =>
        Assert.Throws<LociException>(() => TokenizerFile.Read(Encoding.UTF8.GetBytes(file.ToJsonString()), "file")).Message;

    private static BpeTokenizer? Read(string name, out string refusal)
    {
        try
        {
            refusal = "";
            return (BpeTokenizer)TokenizerFile.Read(Encoding.UTF8.GetBytes(Changed(name).ToJsonString()), "file");
        }
        catch (LociException exception)
        {
            refusal = exception.Message;
            return null;
        }
    }

    private static JsonNode Changed(string variant)
    {
        var file = Frozen["file"]!.DeepClone();
        foreach (var (path, value) in Variants[variant]["change"]!.AsObject())
        {
            var steps = path.Split('.');
            steps[..^1].Aggregate(file, (at, step) => at[step]!)[steps[^1]] = value?.DeepClone();
        }

        return file;
    }

    /// <summary>What was frozen for a variant, or for another of the same results, whose name stands there.</summary>
    private static T[] Results<T>(string name, string property) => Variants[name][property] switch
    {
        JsonArray results => [.. results.Select(result => result.Deserialize<T>()!)],
        var other => Results<T>((string)other!, property),
    };
}
