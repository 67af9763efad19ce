using System.CommandLine;
using System.Globalization;
using System.Text.Json;
using Loci.Cli.Terminal;
using Loci.Evaluation.Tasks.Ruler;
using Loci.Models;

namespace Loci.Cli.Commands;

/// <summary><c>loci eval routing</c>.</summary>
internal static class RoutingCommand
{
    private const string None = "-";

    public static Command Create()
    {
        RoutingOptions defaults = new();
        var folder = Options.Text("--model", "Folder of the model: a run, or any folder with its files.", "FOLDER", required: true);
        Option<string?> needle = new("--needle")
        {
            Description = $"The task, one of RULER's (default {defaults.Needle}): {string.Join(", ", NeedleOptions.PresetNames)}.",
            HelpName = "NAME",
        };
        needle.Validators.Add(result =>
        {
            if (result.Tokens is [var token] && !NeedleOptions.PresetNames.Contains(token.Value))
            {
                result.AddError($"--needle takes one of {string.Join(", ", NeedleOptions.PresetNames)}, not '{token.Value}'.");
            }
        });
        var lengths = Options.Lengths("--lengths", $"Tokens of the examples (default {string.Join(',', defaults.Lengths)}).", 32, 1 << 24);
        var depths = Options.Depths($"Where the needle stands, 0 at the start (default {string.Join(',', defaults.Depths.Select(depth => depth.ToString(CultureInfo.InvariantCulture)))}).");
        var samples = Options.Whole("--samples", $"Examples of each length and depth (default {defaults.Samples}).", 1, 1 << 20);
        var digits = Options.Whole("--digits", $"Digits of the numbers (default {defaults.Digits}).", 1, 18);
        var keys = Options.Choice("--keys", "What keys are (default those of the task)", ("words", NeedleKind.Words), ("numbers", NeedleKind.Numbers), ("uuids", NeedleKind.Uuids));
        var template = Options.Choice("--template", "How prompts are worded (default short)", ("short", NeedleTemplate.Short), ("ruler", NeedleTemplate.Ruler));
        var haystack = Options.Text("--haystack", "Prose to hide needles in, its last fifth (default what ships with Loci).", "PATH");
        var seed = Options.Whole<ulong>("--seed", "Decides what the examples are (default 0).", 0);
        var json = Options.Flag("--json", "Writes the result as JSON.");
        var threads = Options.Threads();
        var command = new DocumentedCommand(
            "routing",
            "Measures where a model's router looks for a needle when it answers, and what it would answer if the router found the needle always, or never.",
            """
            Examples:
              loci eval routing --model runs/ssc --needle niah-single-2 --lengths 512,1024,4096 --depths 0.1,0.5,0.9 --samples 20
              loci eval routing --model runs/grm --lengths 2048 --json
            """)
        {
            folder, needle, lengths, depths, samples, keys, digits, template, haystack, seed, json, threads,
        };
        command.SetAction(result =>
        {
            var path = result.GetValue(folder)!;
            LoadedModel.Require(path);
            var options = Options.Checked(() => new RoutingOptions
            {
                Needle = result.GetValue(needle) ?? defaults.Needle,
                Template = result.GetValue(template) ?? defaults.Template,
                Keys = result.GetValue(keys),
                Digits = result.GetValue(digits) ?? defaults.Digits,
                Lengths = result.GetValue(lengths) is { Length: > 0 } some ? some : defaults.Lengths, // an array that is not given is empty
                Depths = result.GetValue(depths) is { Length: > 0 } places ? places : defaults.Depths,
                Samples = result.GetValue(samples) ?? defaults.Samples,
                Seed = result.GetValue(seed) ?? defaults.Seed,
            }.Validate());
            using var loaded = LoadedModel.Load(path, result.GetValue(threads), null);
            RoutingMeasurement.RequireRouter(loaded.Model);
            var (_, held) = HaystackText.Open(result.GetValue(haystack)).Divide();
            RoutingResult measured;
            using (var display = ProgressDisplay.Start("measuring", (long)options.Lengths.Count * options.Depths.Count * options.Samples, new ProgressUnit("examples")))
            {
                measured = RoutingMeasurement.Measure(loaded.Model, loaded.Tokenizer, options, held, new Reporter<long>(done => display.Report(done)));
            }

            if (result.GetValue(json))
            {
                WriteJson(measured, options);
            }
            else
            {
                WriteText(measured, options, loaded.Model.Configuration);
            }

            return 0;
        });
        return command;
    }

    private static void WriteText(RoutingResult result, RoutingOptions options, ModelConfiguration model)
    {
        var output = Console.Out;
        output.WriteLine(FormattableString.Invariant($"{options.Needle}, {options.Samples} examples of each length and depth; read by the last token of the prompt and the answer's tokens"));
        output.WriteLine();
        output.WriteLine($"{"",-16}{"examples",9}{"online",8}{"hit rate",17}{"chance",9}{"gate mass",17}{"x uniform",18}");
        foreach (var (name, slice) in Named(result))
        {
            output.WriteLine(string.Create(CultureInfo.InvariantCulture, $"{name,-16}{slice.Examples,9}{slice.InOnlineSegment,8}{Use(slice.All)}"));
        }

        output.WriteLine();
        output.WriteLine($"{"answers",-16}{"accuracy: router",19}{"oracle",17}{"online alone",17}{"loss: router",16}{"oracle",10}{"online",10}");
        foreach (var (name, slice) in Named(result))
        {
            output.WriteLine(string.Create(
                CultureInfo.InvariantCulture,
                $"{name,-16}{Percent(slice.Router.Accuracy),19}{Percent(slice.Oracle.Accuracy),17}{Percent(slice.Online.Accuracy),17}{Number(slice.Router.Loss.Value),16}{Number(slice.Oracle.Loss.Value),10}{Number(slice.Online.Loss.Value),10}"));
        }

        output.WriteLine();
        output.WriteLine($"{"block, head",-33}{"hit rate",17}{"chance",9}{"gate mass",17}{"x uniform",18}");
        foreach (var use in result.All.Heads)
        {
            output.WriteLine($"{(use.Head is { } head ? $"  {use.Layer}, {head}" : $"{use.Layer}"),-33}{Use(use)}");
        }

        output.WriteLine();
        output.WriteLine("online     needles in the online segment of every block, which nothing else counts");
        output.WriteLine("hit rate   how often a chosen segment holds part of the needle (sparse selective caching)");
        output.WriteLine("gate mass  gates of the needle's segments; x uniform: against the same gate for all segments");
        output.WriteLine("oracle     only the needle's segments are read beside the online memory, from the prompt's last token on");
        if (model.Mixers.Any(mixer => mixer.IsAttention))
        {
            output.WriteLine("           (attention blocks read everything throughout)");
        }
    }

    private static IEnumerable<(string Name, RoutingSlice Slice)> Named(RoutingResult result)
    {
        yield return ("all", result.All);
        foreach (var slice in result.Lengths)
        {
            yield return (FormattableString.Invariant($"{slice.Length:#,0} tokens"), slice);
        }

        foreach (var slice in result.Depths)
        {
            yield return (FormattableString.Invariant($"depth {slice.Depth:0.##}"), slice);
        }
    }

    private static string Use(RoutingUse use)
    {
        var ratio = use.GateRatio.Count == 0 ? None : Number(use.GateRatio.Value) + Error(use.GateRatio.StandardError, "0.00");
        return string.Create(
            CultureInfo.InvariantCulture, $"{(use.HitRate is { } rate ? Percent(rate) : None),17}{(use.Chance is { } chance ? $"{100 * chance:0.0} %" : None),9}{Percent(use.GateMass),17}{ratio,18}");
    }

    private static string Percent(RoutingMean mean) =>
        mean.Count == 0 ? None : string.Create(CultureInfo.InvariantCulture, $"{100 * mean.Value:0.0}{Error(100 * mean.StandardError, "0.0")} %");

    private static string Error(double error, string format) => double.IsNaN(error) ? "" : " ± " + error.ToString(format, CultureInfo.InvariantCulture);

    private static string Number(double value) => double.IsNaN(value) ? None : value.ToString("0.000", CultureInfo.InvariantCulture);

    private static void WriteJson(RoutingResult result, RoutingOptions options)
    {
        StandardStreams.WriteJson(json =>
        {
            json.WriteStartObject();
            json.WriteString("needle", options.Needle);
            json.WriteString("template", options.Template == NeedleTemplate.Short ? "short" : "ruler");
            json.WriteNumber("digits", options.Digits);
            json.WriteNumber("samples", options.Samples);
            json.WriteNumber("seed", options.Seed);
            json.WritePropertyName("all");
            Write(json, result.All);
            foreach (var (name, slices) in new[] { ("lengths", result.Lengths), ("depths", result.Depths), ("cells", result.Cells) })
            {
                json.WriteStartArray(name);
                foreach (var slice in slices)
                {
                    Write(json, slice);
                }

                json.WriteEndArray();
            }

            json.WriteEndObject();
        });
    }

    private static void Write(Utf8JsonWriter json, RoutingSlice slice)
    {
        json.WriteStartObject();
        if (slice.Length is { } length)
        {
            json.WriteNumber("length", length);
        }

        if (slice.Depth is { } depth)
        {
            json.WriteNumber("depth", depth);
        }

        json.WriteNumber("examples", slice.Examples);
        json.WriteNumber("in_online_segment", slice.InOnlineSegment);
        Write(json, slice.All);
        foreach (var (name, answers) in new[] { ("router", slice.Router), ("oracle", slice.Oracle), ("online", slice.Online) })
        {
            json.WriteStartObject(name);
            Write(json, "accuracy", answers.Accuracy);
            Write(json, "loss", answers.Loss);
            json.WriteEndObject();
        }

        json.WriteStartArray("heads");
        foreach (var use in slice.Heads)
        {
            json.WriteStartObject();
            json.WriteNumber("layer", use.Layer!.Value);
            if (use.Head is { } head)
            {
                json.WriteNumber("head", head);
            }

            Write(json, use);
            json.WriteEndObject();
        }

        json.WriteEndArray();
        json.WriteEndObject();
    }

    private static void Write(Utf8JsonWriter json, RoutingUse use)
    {
        if (use.HitRate is { } rate)
        {
            Write(json, "hit_rate", rate);
            json.WriteNumber("chance", use.Chance!.Value);
        }

        Write(json, "gate_mass", use.GateMass);
        Write(json, "gate_ratio", use.GateRatio);
    }

    private static void Write(Utf8JsonWriter json, string name, RoutingMean mean)
    {
        Write(json, name, mean.Value);
        Write(json, name + "_error", mean.StandardError);
    }

    private static void Write(Utf8JsonWriter json, string name, double value)
    {
        if (double.IsFinite(value))
        {
            json.WriteNumber(name, value);
        }
        else
        {
            json.WriteNull(name);
        }
    }
}
