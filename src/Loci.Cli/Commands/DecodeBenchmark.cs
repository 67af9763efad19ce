using System.Diagnostics;
using System.Globalization;
using System.Text.Json;
using Loci.Models;
using Loci.Numerics;
using Loci.Sessions;

namespace Loci.Cli.Commands;

/// <summary>Measures decoding of a model with random weights in every weight format and at every context.</summary>
internal sealed class DecodeBenchmark
{
    private const int Warmup = 8;
    private const int PromptLength = 512;

    public required IReadOnlyList<WeightFormat> Weights { get; init; }

    public required IReadOnlyList<int> Contexts { get; init; }

    public required int Tokens { get; init; }

    /// <summary>One row for every format and context; those whose memory does not fit say so.</summary>
    public IEnumerable<DecodeRow> Measure(string form, ModelConfiguration configuration, Device device)
    {
        using var model = Fits(() => new LanguageModel(configuration, device));
        foreach (var format in Weights)
        {
            model?.ConvertWeights(format);
            var prefill = model is null ? null : Fits<double?>(() => Prefill(model));
            foreach (var context in Contexts)
            {
                var row = new DecodeRow(form, format, context) { WeightBytes = model?.WeightBytes ?? 0, ParameterCount = model?.ParameterCount ?? 0, PrefillTokensPerSecond = prefill };
                yield return (model is null ? null : Fits(() => Decode(model, row))) ?? row;
            }
        }
    }

    private DecodeRow Decode(LanguageModel model, DecodeRow row)
    {
        using var session = model.CreateSession();
        session.FillForMeasurement(row.Context);
        var milliseconds = new double[Tokens];
        for (var i = -Warmup; i < Tokens; i++)
        {
            var start = Stopwatch.GetTimestamp();
            session.Read(Token(model, row.Context + i));
            if (i >= 0)
            {
                milliseconds[i] = Stopwatch.GetElapsedTime(start).TotalMilliseconds;
            }
        }

        Array.Sort(milliseconds);
        return row with { Median = milliseconds[Tokens / 2], Percentile95 = milliseconds[Math.Min(Tokens - 1, Tokens * 95 / 100)], StateBytes = session.Bytes, CachedStates = session.CachedStates };
    }

    private static double Prefill(LanguageModel model)
    {
        var best = 0.0;
        int[] prompt = [.. Enumerable.Range(0, PromptLength).Select(i => Token(model, i))];
        for (var i = 0; i < 3; i++)
        {
            using var session = model.CreateSession();
            var start = Stopwatch.GetTimestamp();
            session.Read(prompt);
            best = Math.Max(best, PromptLength / Stopwatch.GetElapsedTime(start).TotalSeconds);
        }

        return best;
    }

    private static int Token(LanguageModel model, int index) => (int)(((index + (long)Warmup) * 7919) % model.Configuration.VocabularySize);

    private static T? Fits<T>(Func<T?> make)
    {
        try
        {
            return make();
        }
        catch (Exception exception) when (exception is InsufficientMemoryException or OutOfMemoryException)
        {
            return default;
        }
    }
}

/// <summary>What one row of the benchmark measured; without a median its memory did not fit.</summary>
internal sealed record DecodeRow(string Form, WeightFormat Weights, int Context)
{
    public static string Heading { get; } =
        $"{"form",-11}{"weights",-9}{"context",9}{"tokens/s",10}{"ms median",11}{"ms 95 %",9}{"weights MiB",13}{"state MiB",11}{"states",8}{"prefill/s",11}";

    public long ParameterCount { get; init; }

    public long WeightBytes { get; init; }

    public double? Median { get; init; }

    public double Percentile95 { get; init; }

    public long StateBytes { get; init; }

    public int CachedStates { get; init; }

    public double? PrefillTokensPerSecond { get; init; }

    private string WeightsName => Weights == WeightFormat.Int8 ? "int8" : "float32";

    public string ToText() => string.Create(CultureInfo.InvariantCulture, $"{Form,-11}{WeightsName,-9}{Context,9:#,0}") + (Median is { } median
        ? string.Create(
            CultureInfo.InvariantCulture,
            $"{1000 / median,10:0.0}{median,11:0.00}{Percentile95,9:0.00}{WeightBytes / 1048576.0,13:0.0}{StateBytes / 1048576.0,11:0.0}{CachedStates,8:#,0}{PrefillTokensPerSecond,11:0}")
        : "  does not fit in memory");

    public void Write(Utf8JsonWriter json)
    {
        json.WriteStartObject();
        json.WriteString("form", Form);
        json.WriteString("weights", WeightsName);
        json.WriteNumber("context", Context);
        json.WriteNumber("parameters", ParameterCount);
        json.WriteNumber("weight_bytes", WeightBytes);
        json.WriteBoolean("fits", Median is not null);
        if (Median is { } median)
        {
            json.WriteNumber("tokens_per_second", 1000 / median);
            json.WriteNumber("milliseconds_median", median);
            json.WriteNumber("milliseconds_95", Percentile95);
            json.WriteNumber("state_bytes", StateBytes);
            json.WriteNumber("cached_states", CachedStates);
        }

        if (PrefillTokensPerSecond is { } prefill)
        {
            json.WriteNumber("prefill_tokens_per_second", prefill);
        }

        json.WriteEndObject();
    }
}
