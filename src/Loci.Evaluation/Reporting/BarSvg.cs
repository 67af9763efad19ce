using System.Globalization;
using System.Text;

namespace Loci.Evaluation.Reporting;

/// <summary>Draws a bar chart as an SVG element whose colours come from the page's style.</summary>
internal static class BarSvg
{
    private const double Top = 6;
    private const double Right = 14;
    private const double Bottom = 46;
    private const double RowHeight = 46;
    private const double BarHeight = 14;
    private const double LabelHeight = 18; // above each bar, so that long labels have room on a phone
    private const double Whisker = 5;

    /// <summary>Draws a chart.</summary>
    /// <param name="svg">Receives the element.</param>
    /// <param name="chart">The chart.</param>
    /// <param name="width">Its width, in pixels at full size.</param>
    public static void Draw(StringBuilder svg, BarChart chart, int width)
    {
        var height = Top + (RowHeight * chart.Bars.Count) + Bottom;
        svg.Append(CultureInfo.InvariantCulture, $"<svg viewBox=\"0 0 {width} {height:0.#}\" role=\"img\" aria-label=\"");
        Html.Escape(svg, chart.Title);
        svg.Append("\">");
        if (Axis(chart, width) is not { } axis)
        {
            svg.Append(CultureInfo.InvariantCulture, $"<text class=\"t\" x=\"{width / 2}\" y=\"{height / 2:0.#}\" text-anchor=\"middle\">no data</text></svg>\n");
            return;
        }

        const double Left = 14;
        var length = width - Left - Right;
        var end = Top + (RowHeight * chart.Bars.Count);
        svg.Append("<path class=\"g\" d=\"");
        foreach (var tick in axis.Ticks)
        {
            svg.Append(CultureInfo.InvariantCulture, $"M{Place(tick):0.#} {Top:0.#}V{end:0.#}");
        }

        svg.Append("\"/>");
        for (var i = 0; i < axis.Ticks.Count; i++)
        {
            Text(svg, "t", Place(axis.Ticks[i]), end + 19, "middle", axis.Labels[i]);
        }

        Text(svg, "n", Left + (length / 2), height - 7, "middle", chart.ValueLabel);
        for (var i = 0; i < chart.Bars.Count; i++)
        {
            DrawBar(chart.Bars[i], i, Top + (RowHeight * i));
        }

        svg.Append("</svg>\n");

        double Place(double value) => Left + (length * axis.Place(value));

        void DrawBar(ChartBar bar, int index, double top)
        {
            Text(svg, "n", Left, top + 14, "start", bar.Label);
            Text(svg, "t", width - Right, top + 14, "end", bar.Text);
            if (!double.IsFinite(bar.Value))
            {
                return;
            }

            var middle = top + LabelHeight + (BarHeight / 2);
            svg.Append(CultureInfo.InvariantCulture, $"<g class=\"s{index % Html.Colours} b\"><title>");
            Html.Escape(svg, $"{bar.Label}: {bar.Text}");
            svg.Append("</title>");
            if (chart.FromZero)
            {
                var (from, to) = (Math.Min(Place(0), Place(bar.Value)), Math.Max(Place(0), Place(bar.Value)));
                svg.Append(CultureInfo.InvariantCulture, $"<rect x=\"{from:0.#}\" y=\"{top + LabelHeight:0.#}\" width=\"{to - from:0.#}\" height=\"{BarHeight:0.#}\" rx=\"2\"/>");
            }
            else
            {
                svg.Append(CultureInfo.InvariantCulture, $"<circle cx=\"{Place(bar.Value):0.#}\" cy=\"{middle:0.#}\" r=\"5\"/>");
            }

            svg.Append("</g>");
            if (bar.Error is { } error && double.IsFinite(error))
            {
                var (from, to) = (Place(Low(chart, bar)), Place(bar.Value + error));
                svg.Append(CultureInfo.InvariantCulture, $"<path class=\"w\" d=\"M{from:0.#} {middle - Whisker:0.#}v{2 * Whisker}M{to:0.#} {middle - Whisker:0.#}v{2 * Whisker}M{from:0.#} {middle:0.#}H{to:0.#}\"/>");
            }
        }
    }

    private static double Low(BarChart chart, ChartBar bar) => chart.FromZero && bar.Value >= 0 ? Math.Max(0, bar.Value - (bar.Error ?? 0)) : bar.Value - (bar.Error ?? 0);

    private static ChartAxis? Axis(BarChart chart, int width)
    {
        List<ChartBar> shown = [.. chart.Bars.Where(bar => ChartAxis.CanShow(bar.Value, false) && ChartAxis.CanShow(bar.Error ?? 0, false))];
        if (shown.Count == 0)
        {
            return null;
        }

        var minimum = shown.Min(bar => Low(chart, bar));
        var maximum = shown.Max(bar => bar.Value + (bar.Error ?? 0));
        return chart.FromZero
            ? ChartAxis.Create(Math.Min(0, minimum), Math.Max(0, maximum), false, Math.Max(3, width / 90), 0)
            : ChartAxis.Create(minimum, maximum, false, Math.Max(3, width / 90), 0.06);
    }

    private static void Text(StringBuilder svg, string style, double x, double y, string anchor, string text)
    {
        svg.Append(CultureInfo.InvariantCulture, $"<text class=\"{style}\" x=\"{x:0.#}\" y=\"{y:0.#}\" text-anchor=\"{anchor}\">");
        Html.Escape(svg, text);
        svg.Append("</text>");
    }
}
