using System.Text.Json;
using System.Text.Json.Nodes;
using System.Text.Json.Serialization;

namespace Loci.Evaluation;

/// <summary>A number over examples.</summary>
/// <param name="Value">The weighted mean, or e to it.</param>
/// <param name="StandardError">Its standard error; null with a single example.</param>
/// <param name="Examples">The examples that have the metric.</param>
public sealed record EvaluationStatistic(double Value, double? StandardError, int Examples)
{
    /// <summary>
    /// Puts the values of examples together. With weights w the mean is m = sum(w x) / sum(w), and its standard error that of a ratio, sqrt(n / (n - 1) sum(w^2 (x - m)^2)) / sum(w), which without
    /// weights is the standard deviation over sqrt(n). The standard error of e^m is e^m times that of m.
    /// </summary>
    /// <param name="values">The values.</param>
    /// <param name="kind">How they become one number.</param>
    /// <returns>The number; null where there are no examples, or none that weighs anything.</returns>
    public static EvaluationStatistic? Of(IReadOnlyList<ExampleValue> values, MetricKind kind)
    {
        ArgumentNullException.ThrowIfNull(values);
        var (weight, sum) = (0.0, 0.0);
        foreach (var value in values)
        {
            weight += value.Weight;
            sum += value.Weight * value.Value;
        }

        if (weight <= 0)
        {
            return null;
        }

        var mean = sum / weight;
        var squares = 0.0;
        foreach (var value in values)
        {
            var difference = value.Weight * (value.Value - mean);
            squares += difference * difference;
        }

        double? error = values.Count > 1 ? Math.Sqrt((double)values.Count / (values.Count - 1) * squares) / weight : null;
        return kind == MetricKind.ExponentialOfMean ? new EvaluationStatistic(Math.Exp(mean), error * Math.Exp(mean), values.Count) : new EvaluationStatistic(mean, error, values.Count);
    }
}

/// <summary>The examples with one value of a slice.</summary>
/// <param name="Value">The value.</param>
/// <param name="Metrics">Every metric by its name.</param>
public sealed record EvaluationSliceValue(string Value, IReadOnlyDictionary<string, EvaluationStatistic> Metrics);

/// <summary>A result taken apart.</summary>
/// <param name="Name">What by, such as <c>length</c>.</param>
/// <param name="Values">Its values, in the order in which the examples bring them; numbers ascending.</param>
public sealed record EvaluationSlice(string Name, IReadOnlyList<EvaluationSliceValue> Values);

/// <summary>The examples with one value of each of two slices.</summary>
/// <param name="First">The first slice's value.</param>
/// <param name="Second">The second slice's value.</param>
/// <param name="Metrics">Every metric by its name.</param>
public sealed record EvaluationCell(string First, string Second, IReadOnlyDictionary<string, EvaluationStatistic> Metrics);

/// <summary>A result taken apart by two slices of numbers at once, such as length and depth.</summary>
/// <param name="First">The first slice.</param>
/// <param name="Second">The second slice.</param>
/// <param name="Cells">Their values; combinations without examples are left out.</param>
public sealed record EvaluationCrossing(string First, string Second, IReadOnlyList<EvaluationCell> Cells);

/// <summary>What a model reached in a task.</summary>
public sealed record EvaluationTaskResult
{
    /// <summary>The task's name.</summary>
    public required string Task { get; init; }

    /// <summary>What people call it.</summary>
    public required string Title { get; init; }

    /// <summary>Where its definition comes from.</summary>
    public required string Source { get; init; }

    /// <summary>The model's name.</summary>
    public required string Model { get; init; }

    /// <summary>What the task was told.</summary>
    public required TaskOptions Options { get; init; }

    /// <summary>What it measures; the first decides.</summary>
    public required IReadOnlyList<TaskMetric> Metrics { get; init; }

    /// <summary>Whether all of its examples were done.</summary>
    public required bool IsComplete { get; init; }

    /// <summary>The examples that were done.</summary>
    public required int Examples { get; init; }

    /// <summary>Tokens that the model read and wrote; null where it does not count them.</summary>
    public required long? Tokens { get; init; }

    /// <summary>How long it took.</summary>
    public required double Seconds { get; init; }

    /// <summary>Every metric by its name; one that no example has is left out.</summary>
    public required IReadOnlyDictionary<string, EvaluationStatistic> Values { get; init; }

    /// <summary>The same taken apart.</summary>
    public required IReadOnlyList<EvaluationSlice> Slices { get; init; }

    /// <summary>The same taken apart by two slices of numbers at once.</summary>
    public required IReadOnlyList<EvaluationCrossing> Crossings { get; init; }

    /// <summary>What tables and charts show: the first metric that was measured.</summary>
    internal TaskMetric Deciding => Metrics.FirstOrDefault(metric => Values.ContainsKey(metric.Name)) ?? Metrics[0];
}

/// <summary>A model that was measured.</summary>
/// <param name="Name">Its name in results.</param>
/// <param name="Folder">Where it is; null for a model of no folder.</param>
/// <param name="Parameters">Learned values; null where they are not known.</param>
/// <param name="Description">What it is and how its memory was kept; empty for nothing.</param>
public sealed record EvaluatedModel(string Name, string? Folder, long? Parameters, string Description);

/// <summary>What models reached in tasks: a <c>results.json</c>.</summary>
public sealed record EvaluationResults
{
    /// <summary>The version of Loci that measured.</summary>
    public required string Version { get; init; }

    /// <summary>The models, in the order they were asked for.</summary>
    public required IReadOnlyList<EvaluatedModel> Models { get; init; }

    /// <summary>Whether every task was done to its end with every model.</summary>
    public required bool IsComplete { get; init; }

    /// <summary>Every task with every model, as far as they were begun; by task and then by model.</summary>
    public required IReadOnlyList<EvaluationTaskResult> Tasks { get; init; }

    /// <summary>As JSON.</summary>
    public string ToJson() => JsonSerializer.Serialize(this, EvaluationJson.Default.EvaluationResults) + "\n";

    /// <summary>What <see cref="ToJson"/> wrote.</summary>
    /// <param name="json">The text.</param>
    /// <exception cref="LociException">It is not JSON, or not of results.</exception>
    public static EvaluationResults FromJson(string json)
    {
        try
        {
            return JsonSerializer.Deserialize(json, EvaluationJson.Default.EvaluationResults) ?? throw new JsonException("null");
        }
        catch (JsonException exception)
        {
            throw new LociException("The text is not the results.json of an evaluation: use one that loci eval wrote.", exception);
        }
    }
}

/// <summary>One example as it went: what was asked, what came back and how it was judged.</summary>
/// <param name="Task">The task's name.</param>
/// <param name="Model">The model's name.</param>
/// <param name="Index">The example's number in the task, from 0.</param>
/// <param name="Slices">What results are taken apart by.</param>
/// <param name="Requests">What was asked.</param>
/// <param name="Responses">What came back, in the same order.</param>
/// <param name="Values">Every metric by its name.</param>
public sealed record EvaluatedExample(
    string Task, string Model, int Index, IReadOnlyList<(string Slice, string Value)> Slices, IReadOnlyList<EvaluationRequest> Requests, IReadOnlyList<EvaluationResponse> Responses,
    IReadOnlyDictionary<string, ExampleValue> Values)
{
    /// <summary>As one line of JSON.</summary>
    public string ToJson()
    {
        JsonObject slices = [], values = [];
        foreach (var (slice, value) in Slices)
        {
            slices[slice] = value;
        }

        foreach (var (name, value) in Values)
        {
            values[name] = value.Weight == 1 ? Number(value.Value) : new JsonObject { ["value"] = Number(value.Value), ["weight"] = Number(value.Weight) };
        }

        var asked = Requests.Zip(Responses, (request, response) => (JsonNode)Describe(request, response));
        return new JsonObject { ["task"] = Task, ["model"] = Model, ["index"] = Index, ["slices"] = slices, ["values"] = values, ["requests"] = new JsonArray([.. asked]) }.ToJsonString(Plain);
    }

    private static readonly JsonSerializerOptions Plain = new() { Encoder = System.Text.Encodings.Web.JavaScriptEncoder.UnsafeRelaxedJsonEscaping, TypeInfoResolver = EvaluationJson.Default };

    private static JsonObject Describe(EvaluationRequest request, EvaluationResponse response)
    {
        var json = request switch
        {
            LogLikelihoodRequest likelihood => new JsonObject { ["kind"] = "log-likelihood", ["context"] = Text(likelihood.Context), ["continuation"] = Text(likelihood.Continuation) },
            RollingRequest rolling => new JsonObject { ["kind"] = "rolling", ["text"] = Text(rolling.Text) },
            GenerationRequest generation => new JsonObject
            {
                ["kind"] = "generation",
                ["context"] = Text(generation.Context),
                ["until"] = new JsonArray([.. generation.Until.Select(text => (JsonNode)text)]),
                ["maximumTokens"] = generation.MaximumTokens,
            },
            _ => new JsonObject { ["kind"] = request.GetType().Name },
        };
        json["response"] = response switch
        {
            LogLikelihood likelihood => new JsonObject { ["logProbability"] = Number(likelihood.LogProbability), ["isGreedy"] = likelihood.IsGreedy, ["tokens"] = likelihood.Tokens },
            RollingLogLikelihood rolling => new JsonObject { ["logProbability"] = Number(rolling.LogProbability), ["tokens"] = rolling.Losses.Count },
            Generation generation => new JsonObject { ["text"] = generation.Text, ["tokens"] = Ids(generation.Tokens) },
            _ => null,
        };
        return json;
    }

    private static JsonNode Text(EvaluationText text) => text.Text is { } characters ? JsonValue.Create(characters) : Ids([.. text.Tokens.Span]);

    private static JsonArray Ids(IReadOnlyList<int> tokens) => new([.. tokens.Select(token => (JsonNode)token)]);

    private static JsonNode? Number(double value) => double.IsFinite(value) ? value : null;
}

[JsonSourceGenerationOptions(
    WriteIndented = true,
    PropertyNamingPolicy = JsonKnownNamingPolicy.CamelCase,
    NumberHandling = JsonNumberHandling.AllowNamedFloatingPointLiterals,
    UseStringEnumConverter = true)]
[JsonSerializable(typeof(EvaluationResults))]
[JsonSerializable(typeof(string))]
[JsonSerializable(typeof(int))]
[JsonSerializable(typeof(double))]
[JsonSerializable(typeof(bool))]
internal sealed partial class EvaluationJson : JsonSerializerContext;
