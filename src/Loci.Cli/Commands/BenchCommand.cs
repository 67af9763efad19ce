using System.CommandLine;
using System.CommandLine.Parsing;
using System.Globalization;
using System.Text.Json;
using Loci.Caching;
using Loci.Cli.Terminal;
using Loci.Models;
using Loci.Numerics;

namespace Loci.Cli.Commands;

/// <summary><c>loci bench decode</c>.</summary>
internal static class BenchCommand
{
    private const int LargestContext = 1 << 24;

    private static readonly (string Name, string? Memory, AggregationKind Aggregation)[] s_forms =
    [
        ("base", null, AggregationKind.None), ("residual", null, AggregationKind.Residual), ("grm", null, AggregationKind.GatedResidual),
        ("soup", null, AggregationKind.MemorySoup), ("ssc", null, AggregationKind.SparseSelective), ("attention", "attention", AggregationKind.None),
    ];

    public static Command Create()
    {
        var bench = new Command("bench", "Measures speed on this machine.");
        bench.Add(CreateDecode());
        return bench;
    }

    private static DocumentedCommand CreateDecode()
    {
        var model = new ModelOptions("large", alwaysTied: true);
        var vocabulary = Options.Whole("--vocabulary", "Tokens in the vocabulary (default 50257).", 2, 1 << 24);
        var weights = new Option<string?>("--weights") { Description = "Formats of the weights, one or several: float32, int8 (default both).", HelpName = "LIST" };
        var forms = new Option<string?>("--forms")
        {
            Description = $"Compare these instead of --aggregation: {string.Join(", ", s_forms.Select(form => form.Name))}.",
            HelpName = "LIST",
        };
        var contexts = new Option<string?>("--context") { Description = "Tokens already read, one or several, such as 1K,16K,1M (default 1K).", HelpName = "LIST" };
        var tokens = Options.Whole("--tokens", "Tokens to measure in each row (default 64).", 1, 1 << 20);
        var json = new Option<bool>("--json") { Description = "Writes the result as JSON." };
        var threads = Options.Threads();
        var command = new DocumentedCommand(
            "decode",
            "Measures how fast a model with random weights reads one token after another, and the memory that takes.",
            """
            Examples:
              loci bench decode --weights float32,int8 --threads 2
              loci bench decode --forms base,grm,ssc,attention --context 1K,4K --json
            """)
        {
            vocabulary, weights, forms, contexts, tokens, json, threads,
        };
        foreach (var option in model.All.Where(option => option.Name is not ("--dropout" or "--tied-embeddings")))
        {
            command.Add(option);
        }

        command.SetAction(result =>
        {
            var configuration = model.Read(result, result.GetValue(vocabulary) ?? 50257);
            List<(string Name, ModelConfiguration Configuration)> compared = result.GetValue(forms) is { } list
                ? [.. Split(list, "--forms", FindForm).Select(form => (form.Name, With(configuration, form.Memory, form.Aggregation)))]
                : [("model", configuration)];
            var benchmark = new DecodeBenchmark
            {
                Weights = Split(result.GetValue(weights) ?? "float32,int8", "--weights", FindFormat).Distinct().Order().ToList(), // a rounded model does not become exact again
                Contexts = Split(result.GetValue(contexts) ?? "1K", "--context", FindContext),
                Tokens = result.GetValue(tokens) ?? 64,
            };
            using var device = Options.Device(result.GetValue(threads));
            using var interruption = new Interruption(message: "Stopping…");
            var isJson = result.GetValue(json);
            if (!isJson)
            {
                WriteHeading(configuration, device);
            }

            List<DecodeRow> rows = [];
            foreach (var (name, one) in compared)
            {
                foreach (var row in benchmark.Measure(name, one, device, interruption.Token))
                {
                    rows.Add(row);
                    if (!isJson)
                    {
                        Console.Out.WriteLine(row.ToText());
                    }
                }
            }

            if (isJson)
            {
                WriteJson(configuration, device, rows);
            }

            return 0;
        });
        return command;
    }

    private static ModelConfiguration With(ModelConfiguration configuration, string? memory, AggregationKind aggregation) => (configuration with
    {
        Mixers = [.. configuration.Mixers.Select(mixer => mixer with { Memory = memory ?? mixer.Memory, Cache = mixer.Cache with { Aggregation = aggregation } })],
    }).Validate();

    private static List<T> Split<T>(string list, string option, Func<string, T?> find) where T : struct
    {
        var words = list.Split(',', StringSplitOptions.RemoveEmptyEntries | StringSplitOptions.TrimEntries);
        return words.Length > 0
            ? [.. words.Select(word => find(word) ?? throw new UsageException($"{option} does not know '{word}'. See loci bench decode --help."))]
            : throw new UsageException($"{option} is empty. See loci bench decode --help.");
    }

    private static (string Name, string? Memory, AggregationKind Aggregation)? FindForm(string word)
    {
        var index = Array.FindIndex(s_forms, form => form.Name == word);
        return index < 0 ? null : s_forms[index];
    }

    private static WeightFormat? FindFormat(string word) => word switch { "float32" => WeightFormat.Float32, "int8" => WeightFormat.Int8, _ => null };

    private static int? FindContext(string word)
    {
        var scale = word[^1] switch { 'K' or 'k' => 1 << 10, 'M' or 'm' => 1 << 20, _ => 1 };
        return int.TryParse(scale == 1 ? word : word[..^1], NumberStyles.None, CultureInfo.InvariantCulture, out var number) && (long)number * scale <= LargestContext
            ? number * scale
            : null;
    }

    private static void WriteHeading(ModelConfiguration configuration, Device device)
    {
        Console.Out.WriteLine($"model    {ModelOptions.Describe(configuration)}; random weights");
        Console.Out.WriteLine($"device   {device.Description}");
        Console.Out.WriteLine();
        Console.Out.WriteLine(DecodeRow.Heading);
    }

    private static void WriteJson(ModelConfiguration configuration, Device device, List<DecodeRow> rows)
    {
        using var output = Console.OpenStandardOutput();
        using (var json = new Utf8JsonWriter(output, new JsonWriterOptions { Indented = true }))
        {
            json.WriteStartObject();
            json.WriteString("model", ModelOptions.Describe(configuration));
            json.WriteString("device", device.Description);
            json.WriteStartArray("rows");
            foreach (var row in rows)
            {
                row.Write(json);
            }

            json.WriteEndArray();
            json.WriteEndObject();
        }

        output.Write("\n"u8);
    }
}
