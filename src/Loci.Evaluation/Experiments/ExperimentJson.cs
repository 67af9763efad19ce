using System.Text.Json;
using System.Text.Json.Nodes;
using System.Text.Json.Serialization;
using System.Text.Json.Serialization.Metadata;
using Loci.Models;

namespace Loci.Evaluation.Experiments;

[JsonSourceGenerationOptions(
    WriteIndented = true,
    PropertyNamingPolicy = JsonKnownNamingPolicy.CamelCase,
    UnmappedMemberHandling = JsonUnmappedMemberHandling.Disallow,
    RespectNullableAnnotations = true,
    UseStringEnumConverter = true)]
[JsonSerializable(typeof(RecallTask))]
[JsonSerializable(typeof(LanguageTask))]
[JsonSerializable(typeof(NeedleTask))]
[JsonSerializable(typeof(ExperimentTraining))]
[JsonSerializable(typeof(ExperimentRunResult))]
[JsonSerializable(typeof(ExperimentProgress))]
[JsonSerializable(typeof(ExperimentResults))]
[JsonSerializable(typeof(ulong[]))]
[JsonSerializable(typeof(double[]))]
[JsonSerializable(typeof(string))]
internal sealed partial class ExperimentJson : JsonSerializerContext
{
    /// <summary>Reads settings, of which those that are left out take their defaults.</summary>
    /// <param name="node">What the file has.</param>
    /// <param name="defaults">All settings with their defaults.</param>
    /// <param name="type">How they are read.</param>
    /// <param name="what">What they are, in messages.</param>
    /// <exception cref="LociException">There is one that is not known, or of the wrong kind.</exception>
    public static T Read<T>(JsonNode? node, T defaults, JsonTypeInfo<T> type, string what) where T : class
    {
        if (node is not JsonObject given)
        {
            throw new LociException($"The experiment's {what} is not a JSON object: write one in braces.");
        }

        // Generated deserialisers set init-only properties that are left out to zero, not to their defaults, so the defaults are filled in as JSON.
        var all = JsonSerializer.SerializeToNode(defaults, type)!.AsObject();
        all.Remove("kind");
        RequireKnown(given, all.Select(field => field.Key), what);
        var fields = given.DeepClone().AsObject();
        ModelConfiguration.FillIn(fields, all);
        return Convert(fields, type, what);
    }

    /// <summary>Reads a value.</summary>
    /// <exception cref="LociException">It is of the wrong kind.</exception>
    public static T Convert<T>(JsonNode? node, JsonTypeInfo<T> type, string what) where T : class
    {
        try
        {
            return node.Deserialize(type) ?? throw new LociException($"The experiment's {what} is null: give a value.");
        }
        catch (Exception exception) when (exception is JsonException or InvalidOperationException)
        {
            var place = exception is JsonException { Path: ['$', '.', .. var path] } ? $"'{path}' in the experiment's {what}" : $"The experiment's {what}";
            throw new LociException($"{char.ToUpperInvariant(place[0])}{place[1..]} has a value of the wrong kind: write it as in docs/experiments.md.", exception);
        }
    }

    /// <summary>Refuses fields that mean nothing.</summary>
    /// <exception cref="LociException">There is one.</exception>
    public static void RequireKnown(JsonObject given, IEnumerable<string> known, string what)
    {
        List<string> names = [.. known];
        foreach (var (name, _) in given)
        {
            if (!names.Contains(name))
            {
                throw new LociException($"There is no setting '{name}' in an experiment's {what}: use {string.Join(", ", names)}.");
            }
        }
    }
}
