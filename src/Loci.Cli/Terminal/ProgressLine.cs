using Spectre.Console;
using Spectre.Console.Rendering;

namespace Loci.Cli.Terminal;

/// <summary>Draws a meter on one terminal line that fits whatever width there is: the bar shrinks first, then the least important parts go.</summary>
internal sealed class ProgressLine(ProgressMeter meter) : Renderable
{
    private const int LeastBar = 10;
    private const int GreatestBar = 40;
    private static readonly Style Filled = new(Color.Green);
    private static readonly Style Empty = new(Color.Grey);
    private static readonly Style Soft = new(Color.Grey);

    protected override IEnumerable<Segment> Render(RenderOptions options, int maxWidth)
    {
        ProgressState state = meter.Look();
        bool known = !double.IsNaN(state.Fraction);

        // In the order in which they are shown; the number says who leaves first when there is no room.
        List<(string Text, Style Style, int Rank)> parts = [];
        parts.Add((known ? ProgressMeter.Percent(state.Fraction).PadLeft(6) : meter.Unit.Amount(state.Done), Style.Plain, 5));
        if (!double.IsNaN(state.Rate))
        {
            parts.Add((meter.Unit.Rate(state.Rate), Style.Plain, 3));
        }

        if (!double.IsNaN(state.Loss))
        {
            parts.Add((ProgressMeter.LossText(state.Loss), Style.Plain, 4));
        }

        parts.Add((ProgressMeter.Duration(state.Elapsed), Soft, 1));
        if (known && state.Fraction < 1)
        {
            parts.Add(((state.Left is { } left ? ProgressMeter.Duration(left) : "-:--") + " left", Soft, 2));
        }

        // One cell stays free: some terminals wrap when the last one is written.
        int width = Math.Max(1, maxWidth - 1);
        string description = meter.Description;
        int bar = known ? LeastBar : 0;
        int Needed() => Cells(description) + (bar > 0 ? 1 + bar : 0) + parts.Sum(part => 2 + Cells(part.Text));
        while (Needed() > width && parts.Count > 1)
        {
            parts.Remove(parts.MinBy(part => part.Rank));
        }

        if (Needed() > width)
        {
            bar = 0;
        }

        if (bar > 0)
        {
            bar += Math.Clamp(width - Needed(), 0, GreatestBar - LeastBar);
        }

        List<Segment> segments = [new(description)];
        if (bar > 0)
        {
            int full = (int)(state.Fraction * bar);
            segments.Add(new Segment(" "));
            segments.Add(new Segment(new string(options.Unicode ? '━' : '#', full), Filled));
            segments.Add(new Segment(new string(options.Unicode ? '━' : '-', bar - full), Empty));
        }

        foreach ((string text, Style style, _) in parts)
        {
            segments.Add(new Segment("  "));
            segments.Add(new Segment(text, style));
        }

        return Segment.Truncate(segments, width);
    }

    private static int Cells(string text) => new Segment(text).CellCount();
}
