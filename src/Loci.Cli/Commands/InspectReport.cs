using System.Globalization;
using System.Text.Json;
using Loci.Cli.Terminal;
using Loci.Data;
using Loci.Evaluation.Reporting;
using Loci.Memory.Segments;
using Loci.Numerics;
using Loci.Sessions;

namespace Loci.Cli.Commands;

/// <summary>What <c>loci inspect</c> says, in the terminal, as a page and as JSON.</summary>
internal sealed class InspectReport(Session session, Tokenizer tokenizer, SegmentReadTable table, string name, string? path, bool isRaw)
{
    private const int MostColumns = 8;
    private const int MostSegments = 20;
    private const int TokenWidth = 14;
    private const string Explanation =
        "Mean gate: of the tokens that could read the segment. Chosen: the part of their reads, one a head, with a gate above 0. Largest: the part in which no other cached segment had a larger one.";

    private static readonly string[] Headers = ["Segment", "Tokens", "Mean gate", "Chosen", "Largest", "Text"];

    /// <summary>Writes what the memory holds.</summary>
    public void WriteMemory()
    {
        var output = Console.Out;
        output.WriteLine(FormattableString.Invariant($"tokens       {session.Position:#,0}"));
        output.WriteLine($"checkpoints  {MemoryOptions.Name(session.Options.Checkpoints)}" + (session.Options.KeepsReturns ? "" : ", without going back"));
        if (session.Options.AfterTraining is { } cache)
        {
            output.WriteLine(FormattableString.Invariant($"cache        after training: {cache.Read} of segments of {cache.SegmentLength:#,0}"));
        }

        output.WriteLine("cached       " + SessionText.Segments(session));
        output.WriteLine("memory       " + SessionText.Memory(session));
        output.WriteLine("file         " + ByteSize.Format(MemoryFile.Length(path!)));
        foreach (var (layers, spans) in Blocks())
        {
            output.WriteLine();
            output.WriteLine($"{layers}");
            output.WriteLine($"{"segment",9}  {"tokens",-17}  text");
            for (var i = 0; i < spans.Count; i++)
            {
                output.WriteLine($"{i,9}  {Range(spans[i]),-17}  {Shown(spans[i])}");
            }

            var live = Live(spans);
            if (live.Length > 0)
            {
                output.WriteLine($"{"live",9}  {Range(live),-17}  {Shown(live)}");
            }
        }
    }

    /// <summary>Writes which segments every token read.</summary>
    public void WriteReads(SegmentReads reads)
    {
        var output = Console.Out;
        output.WriteLine(FormattableString.Invariant($"Gates of {(reads.Layer is { } layer ? $"layer {layer}" : $"{table.Layers.Count} layers (their mean)")}; segment numbers as below"));
        output.WriteLine();
        var isWhole = reads.Segments.Count <= MostColumns;
        output.WriteLine($"{"position",9}  {"token",-TokenWidth}{"live",7}" + (isWhole ? string.Concat(Enumerable.Range(0, reads.Segments.Count).Select(i => $"{i,7}")) : "   largest of the segments"));
        for (var i = 0; i < reads.Tokens; i++)
        {
            var gates = reads.GatesOf(i).ToArray();
            var line = string.Create(CultureInfo.InvariantCulture, $"{reads.Start + i,9}  {Token(reads.Start + i),-TokenWidth}{Gate(gates[^1]),7}")
                + (isWhole ? string.Concat(gates[..^1].Select(gate => $"{Gate(gate),7}")) : "   " + Top(gates, 4));
            output.WriteLine(line.TrimEnd());
        }

        output.WriteLine();
        var shown = Enumerable.Range(0, reads.Segments.Count).OrderByDescending(i => reads.Uses[i].MeanGate).Take(MostSegments).Order().ToList();
        if (shown.Count < reads.Segments.Count)
        {
            output.WriteLine(FormattableString.Invariant($"The {shown.Count} of {reads.Segments.Count:#,0} segments with the largest mean gates; --html and --json show all"));
            output.WriteLine();
        }

        output.WriteLine($"{"segment",9}  {"tokens",-17}{"mean gate",9}{"chosen",9}{"largest",9}  text");
        foreach (var i in shown)
        {
            var use = reads.Uses[i];
            output.WriteLine($"{i,9}  {Range(reads.Segments[i]),-17}{Gate(use.MeanGate),9}{Percent(use.Chosen),9}{Percent(use.Largest),9}  {Shown(reads.Segments[i])}");
        }

        output.WriteLine($"{"live",9}  {"",-17}{Gate(reads.Uses[^1].MeanGate),9}");
    }

    /// <summary>Writes the page.</summary>
    public void SaveHtml(string file)
    {
        var mean = table.Mean();
        SegmentReads[] layers = [.. table.Layers.Select(table.Of)];
        var report = new HtmlReport("What the tokens read", $"{name}, {SessionText.Count(layers[0].Tokens, "token")} from position {layers[0].Start.ToString("#,0", CultureInfo.InvariantCulture)} on")
        {
            Footer = "Made by loci inspect.",
        };
        _ = report
            .Facts(
                ("tokens read", session.Position.ToString("#,0", CultureInfo.InvariantCulture)), ("cached segments", string.Join(" + ", session.Segments.Select(segments => segments.Count).Distinct())),
                ("memory", ByteSize.Format(session.Bytes + session.MappedBytes)), ("checkpoints", MemoryOptions.Name(session.Options.Checkpoints)))
            .Paragraph("The text is cut into segments, and the memory's state at the end of each is kept. Every token reads the live memory and the kept states, each with a gate; the gates of a token add up to 1. "
                + "They are shown as means over heads.");
        if (mean is not null)
        {
            _ = report.Heading("All layers").Chart(Map("Mean of all layers: tokens down, segments across", mean));
            if (layers.Length > 1)
            {
                _ = report.Chart(Scaled(new HeatMap(
                    "Mean gate of every segment in every layer", "mean gate", Columns(mean),
                    [.. layers.Select(layer => new HeatMapRow(
                        $"layer {layer.Layer}", [.. layer.Uses.Select(use => use.MeanGate)], $"layer {layer.Layer}, live {Gate(layer.Uses[^1].MeanGate)}, {Top([.. layer.Uses.Select(use => (float)use.MeanGate)], 5)}"))])));
            }

            _ = report.Table(Headers, Rows(mean), Explanation);
        }

        foreach (var layer in layers.Length > 1 || mean is null ? layers : [])
        {
            _ = report.Heading($"Layer {layer.Layer}").Chart(Map("Tokens down, segments across", layer)).Table(Headers, Rows(layer), mean is null ? Explanation : null);
        }

        report.Save(file);
    }

    /// <summary>Writes everything.</summary>
    public void WriteJson()
    {
        StandardStreams.WriteJson(!table.HasGates, json =>
        {
            json.WriteStartObject();
            json.WriteString("name", name);
            json.WriteNumber("tokens", session.Position);
            json.WriteString("checkpoints", MemoryOptions.Name(session.Options.Checkpoints));
            json.WriteNumber("memory_bytes", session.Bytes);
            json.WriteNumber("mapped_bytes", session.MappedBytes);
            if (path is not null)
            {
                json.WriteNumber("file_bytes", MemoryFile.Length(path));
            }

            json.WriteStartArray("layers");
            for (var layer = 0; layer < session.Segments.Count; layer++)
            {
                WriteLayer(json, layer);
            }

            json.WriteEndArray();
            json.WriteEndObject();
        });
    }

    private void WriteLayer(Utf8JsonWriter json, int layer)
    {
        var reads = table.Layers.Contains(layer) ? table.Of(layer) : null;
        var segments = reads?.Segments ?? Spans(session.Segments[layer]);
        json.WriteStartObject();
        json.WriteNumber("layer", layer);
        json.WriteStartArray("segments");
        for (var i = 0; i < segments.Count; i++)
        {
            json.WriteStartObject();
            json.WriteNumber("start", segments[i].Start);
            json.WriteNumber("length", segments[i].Length);
            json.WriteString("text", Snippet(segments[i]));
            if (reads is not null)
            {
                WriteNumber(json, "mean_gate", reads.Uses[i].MeanGate);
                WriteNumber(json, "chosen", reads.Uses[i].Chosen);
                WriteNumber(json, "largest", reads.Uses[i].Largest);
            }

            json.WriteEndObject();
        }

        json.WriteEndArray();
        if (reads is not null)
        {
            WriteNumber(json, "live_mean_gate", reads.Uses[^1].MeanGate);
            json.WriteStartArray("reads");
            for (var i = 0; i < reads.Tokens; i++)
            {
                var gates = reads.GatesOf(i);
                var id = session.Tokens[reads.Start + i];
                json.WriteStartObject();
                json.WriteNumber("position", reads.Start + i);
                json.WriteNumber("token", id);
                json.WriteString("text", tokenizer.Decode([id]));
                WriteNumber(json, "live", gates[^1]);
                json.WriteStartArray("gates"); // one for each of the segments, null where it was not there yet
                foreach (var gate in gates[..^1])
                {
                    if (float.IsNaN(gate))
                    {
                        json.WriteNullValue();
                    }
                    else
                    {
                        json.WriteNumberValue(gate);
                    }
                }

                json.WriteEndArray();
                json.WriteEndObject();
            }

            json.WriteEndArray();
        }

        json.WriteEndObject();
    }

    private static void WriteNumber(Utf8JsonWriter json, string name, double value)
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

    private HeatMap Map(string title, SegmentReads reads) => Scaled(new HeatMap(title, "gate", Columns(reads), [.. Enumerable.Range(0, reads.Tokens).Select(i => Row(reads, i))]));

    /// <summary>The live memory, last, mostly has by far the largest gate; with its scale the others could hardly be told apart.</summary>
    private static HeatMap Scaled(HeatMap map)
    {
        var largest = map.Rows.SelectMany(row => row.Values.SkipLast(1)).Where(double.IsFinite).DefaultIfEmpty().Max();
        return map with { EmptyLabel = "not there yet", Maximum = largest > 0 ? largest : null };
    }

    private List<IReadOnlyList<string>> Rows(SegmentReads reads) =>
    [
        .. reads.Segments.Select((segment, i) => (IReadOnlyList<string>)[
            $"{i}", Range(segment), Gate(reads.Uses[i].MeanGate), Percent(reads.Uses[i].Chosen), Percent(reads.Uses[i].Largest), Shown(segment)]),
        ["live", "", Gate(reads.Uses[^1].MeanGate), "", "", ""],
    ];

    private HeatMapRow Row(SegmentReads reads, int token)
    {
        var gates = reads.GatesOf(token).ToArray();
        var position = reads.Start + token;
        return new HeatMapRow($"{Token(position)} {position.ToString(CultureInfo.InvariantCulture)}", [.. gates.Select(gate => (double)gate)], $"{Token(position)}, live {Gate(gates[^1])}, {Top(gates, 5)}");
    }

    private static string[] Columns(SegmentReads reads) => [.. Enumerable.Range(0, reads.Segments.Count).Select(i => $"{i}"), "live"];

    /// <summary>The layers' segments, those of layers that cut the text in the same way together.</summary>
    private IEnumerable<(string Layers, IReadOnlyList<SegmentSpan> Spans)> Blocks()
    {
        var layers = session.Segments;
        var groups = Enumerable.Range(0, layers.Count).GroupBy(i => string.Join(' ', layers[i])).ToList();
        foreach (var group in groups)
        {
            yield return (
                groups.Count == 1 ? layers.Count == 1 ? "The layer" : $"All {layers.Count} layers" : $"{(group.Count() == 1 ? "Layer" : "Layers")} {string.Join(", ", group)}", Spans(layers[group.First()]));
        }
    }

    private static List<SegmentSpan> Spans(IReadOnlyList<int> lengths)
    {
        List<SegmentSpan> spans = [];
        foreach (var length in lengths)
        {
            spans.Add(new SegmentSpan(spans.Count == 0 ? 0 : spans[^1].End, length));
        }

        return spans;
    }

    private SegmentSpan Live(IReadOnlyList<SegmentSpan> spans)
    {
        var start = spans.Count == 0 ? 0 : spans[^1].End;
        return new SegmentSpan(start, session.Position - start);
    }

    private string Snippet(SegmentSpan span) => SessionText.Snippet(tokenizer, session.Tokens.Slice(span.Start, span.Length));

    private string Shown(SegmentSpan span) => isRaw ? Snippet(span) : Visible.Line(Snippet(span));

    private static string Range(SegmentSpan span) => string.Create(CultureInfo.InvariantCulture, $"{span.Start:#,0}-{span.End - 1:#,0}");

    /// <summary>The largest gates of the cached segments.</summary>
    private static string Top(float[] gates, int count)
    {
        var top = Enumerable.Range(0, gates.Length - 1).Where(i => gates[i] > 0).OrderByDescending(i => gates[i]).Take(count);
        return string.Join("  ", top.Select(i => $"{i}: {Gate(gates[i])}"));
    }

    /// <summary>A token's text with white space made visible.</summary>
    private string Token(int position)
    {
        var id = session.Tokens[position];
        if (tokenizer.IsSpecial(id))
        {
            return id == tokenizer.EndOfTextId ? Tokenizer.EndOfText : "(special)";
        }

        var text = tokenizer.Decode([id]).Replace('\n', '⏎').Replace(' ', '·').Replace('\t', '⇥');
        var shown = isRaw ? text : Visible.Line(text);
        return shown.Length < TokenWidth ? shown : shown[..(TokenWidth - 2)] + "…";
    }

    private static string Gate(double gate) => double.IsNaN(gate) ? "" : gate.ToString(gate == 0 ? "0" : "0.000", CultureInfo.InvariantCulture);

    private static string Percent(double share) => double.IsNaN(share) ? "" : (100 * share).ToString("0.0", CultureInfo.InvariantCulture) + " %";
}
