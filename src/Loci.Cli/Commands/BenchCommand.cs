using System.CommandLine;
using System.CommandLine.Parsing;
using System.Globalization;
using System.Text.Json;
using Loci.Cli.Terminal;
using Loci.Memory.Aggregations;
using Loci.Models;
using Loci.Numerics;

namespace Loci.Cli.Commands;

/// <summary><c>loci bench decode</c>.</summary>
internal static class BenchCommand
{
    private const int LargestContext = 1 << 24;

    private static readonly (string Name, string? Memory, string Aggregation)[] s_forms =
    [
        ("base", null, "none"), ("residual", null, "residual"), ("grm", null, "grm"),
        ("soup", null, "soup"), ("ssc", null, "ssc"), ("attention", "attention", "none"),
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
        var weights = Options.List<WeightFormat>("--weights", "Formats of the weights, one or several: float32, int8 (default both).", "LIST", "float32, int8 or both", FindFormat);
        var formNames = string.Join(", ", s_forms.Select(form => form.Name));
        var forms = Options.List("--forms", $"Compare these instead of --aggregation: {formNames}.", "LIST", "some of " + formNames, FindForm);
        var contexts = Options.Lengths("--context", "Tokens already read, one or several, such as 1K,16K,1M (default 1K).", 0, LargestContext);
        var tokens = Options.Whole("--tokens", "Tokens to measure in each row (default 64).", 1, 1 << 20);
        var json = Options.Flag("--json", "Writes the result as JSON.");
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
            List<(string Name, ModelConfiguration Configuration)> compared = result.GetValue(forms) is { Length: > 0 } list
                ? [.. list.Select(form => (form.Name, Options.Checked(() => With(configuration, form.Memory, form.Aggregation))))]
                : [("model", configuration)];
            var benchmark = new DecodeBenchmark
            {
                Weights = result.GetValue(weights) is { Length: > 0 } formats ? [.. formats.Order()] : [WeightFormat.Float32, WeightFormat.Int8], // a rounded model does not become exact again
                Contexts = result.GetValue(contexts) is { Length: > 0 } lengths ? lengths : [1024],
                Tokens = result.GetValue(tokens) ?? 64,
            };
            using var device = Options.Device(result.GetValue(threads));
            var isJson = result.GetValue(json);
            if (!isJson)
            {
                WriteHeading(configuration, device);
            }

            List<DecodeRow> rows = [];
            foreach (var (name, one) in compared)
            {
                foreach (var row in benchmark.Measure(name, one, device))
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

    private static ModelConfiguration With(ModelConfiguration configuration, string? memory, string aggregation) => (configuration with
    {
        Mixers = [.. configuration.Mixers.Select(mixer => mixer with { Memory = memory ?? mixer.Memory, Cache = mixer.Cache with { Aggregation = aggregation } })],
    }).Validate();

    private static (string Name, string? Memory, string Aggregation)? FindForm(string word)
    {
        var index = Array.FindIndex(s_forms, form => form.Name == word);
        return index < 0 ? null : s_forms[index];
    }

    private static WeightFormat? FindFormat(string word) => word switch { "float32" => WeightFormat.Float32, "int8" => WeightFormat.Int8, _ => null };

    private static void WriteHeading(ModelConfiguration configuration, Device device)
    {
        Console.Out.WriteLine($"model    {ModelOptions.Describe(configuration)}; random weights");
        Console.Out.WriteLine($"device   {device.Description}");
        Console.Out.WriteLine();
        Console.Out.WriteLine(DecodeRow.Heading);
    }

    private static void WriteJson(ModelConfiguration configuration, Device device, List<DecodeRow> rows)
    {
        StandardStreams.WriteJson(json =>
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
        });
    }
}
