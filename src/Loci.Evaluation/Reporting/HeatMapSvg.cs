using System.Globalization;
using System.Text;

namespace Loci.Evaluation.Reporting;

/// <summary>Draws a heat map as an SVG element whose colours come from the page's style: one path per strength of colour, which keeps large maps small.</summary>
internal static class HeatMapSvg
{
    private const int Levels = 12;
    private const double Top = 24;
    private const double RowHeight = 16;
    private const double Width = 560;
    private const double Least = 4;
    private const double Most = 40;
    private const double Label = 34; // room for what is written above a column
    private const double Character = 7.3;

    /// <summary>Draws a map and, above it, what its colours mean.</summary>
    public static void Draw(StringBuilder html, HeatMap map)
    {
        foreach (var row in map.Rows)
        {
            if (row.Values.Count != map.Columns.Count)
            {
                throw new ArgumentException($"The row '{row.Label}' has {row.Values.Count} values under {map.Columns.Count} columns.", nameof(map));
            }
        }

        var maximum = map.Maximum ?? map.Rows.SelectMany(row => row.Values).Where(double.IsFinite).DefaultIfEmpty().Max();
        Legend(html, map, maximum);
        var left = 8 + (Character * Math.Min(24, map.Rows.Select(row => row.Label.Length).DefaultIfEmpty().Max()));
        var cell = Math.Clamp(Width / Math.Max(1, map.Columns.Count), Least, Most);
        var (width, height) = (left + Math.Max(cell * map.Columns.Count, Label) + 20, Top + (RowHeight * map.Rows.Count) + 4);
        html.Append(CultureInfo.InvariantCulture, $"<div class=\"heat\"><svg viewBox=\"0 0 {width:0.#} {height:0.#}\" style=\"width:{width:0.#}px;height:{height:0.#}px\" role=\"img\" aria-label=\"");
        Html.Escape(html, map.Title);
        html.Append("\">");
        var next = double.NegativeInfinity;
        for (var column = map.Columns.Count - 1; column >= 0; column--)
        {
            // From the right, where the last one is always named.
            var x = left + (cell * (column + 0.5));
            if (double.IsNegativeInfinity(next) || x <= next)
            {
                Text(html, x, Top - 8, "middle", map.Columns[column]);
                next = x - Math.Max(Label, (Character * map.Columns[column].Length) + 8);
            }
        }

        html.Append(CultureInfo.InvariantCulture, $"<g class=\"s0 q\" transform=\"translate({left:0.##} {Top:0.##}) scale({cell:0.####} {RowHeight})\">");
        for (var level = 0; level <= Levels; level++)
        {
            Path(html, map, maximum, level);
        }

        html.Append("</g>");
        for (var i = 0; i < map.Rows.Count; i++)
        {
            Text(html, left - 8, Top + (RowHeight * (i + 0.75)), "end", map.Rows[i].Label);
            if (map.Rows[i].Details is { } details)
            {
                html.Append(CultureInfo.InvariantCulture, $"<rect class=\"p\" x=\"0\" y=\"{Top + (RowHeight * i):0.#}\" width=\"{width:0.#}\" height=\"{RowHeight}\"><title>");
                Html.Escape(html, details);
                html.Append("</title></rect>");
            }
        }

        html.Append("</svg></div>\n");
    }

    private static void Legend(StringBuilder html, HeatMap map, double maximum)
    {
        var isCut = map.Rows.Any(row => row.Values.Any(value => value > maximum));
        html.Append("<ul class=\"legend\"><li>");
        Html.Escape(html, map.ValueLabel);
        html.Append("</li>");
        for (var level = 0; level <= Levels; level += Levels / 4)
        {
            html.Append(CultureInfo.InvariantCulture, $"<li class=\"s0 k\"><i{(level == 0 ? " class=\"z\"" : "")} style=\"opacity:{Opacity(level):0.##}\"></i>{maximum * level * level / (Levels * Levels):0.####}{(level == Levels && isCut ? " or more" : "")}</li>");
        }

        if (map.Rows.Any(row => row.Values.Any(value => !double.IsFinite(value))))
        {
            html.Append("<li class=\"k\"><i class=\"e\"></i>");
            Html.Escape(html, map.EmptyLabel);
            html.Append("</li>");
        }

        html.Append("</ul>\n");
    }

    private static void Path(StringBuilder html, HeatMap map, double maximum, int level)
    {
        var isEmpty = true;
        for (var i = 0; i < map.Rows.Count; i++)
        {
            var values = map.Rows[i].Values;
            for (var column = 0; column < values.Count; column++)
            {
                if (LevelOf(values[column], maximum) != level)
                {
                    continue;
                }

                var first = column;
                while (column + 1 < values.Count && LevelOf(values[column + 1], maximum) == level)
                {
                    column++;
                }

                if (isEmpty)
                {
                    html.Append(CultureInfo.InvariantCulture, $"<path{(level == 0 ? " class=\"z\"" : "")} opacity=\"{Opacity(level):0.##}\" d=\"");
                    isEmpty = false;
                }

                html.Append(CultureInfo.InvariantCulture, $"M{first} {i}h{column - first + 1}v1H{first}z");
            }
        }

        if (!isEmpty)
        {
            html.Append("\"/>");
        }
    }

    private static int LevelOf(double value, double maximum) =>
        !double.IsFinite(value) ? -1 : value <= 0 ? 0 : Math.Clamp((int)Math.Ceiling(Math.Sqrt(value / maximum) * Levels), 1, Levels);

    private static double Opacity(int level) => level == 0 ? 1 : 0.06 + (0.94 * level / Levels);

    private static void Text(StringBuilder html, double x, double y, string anchor, string text)
    {
        html.Append(CultureInfo.InvariantCulture, $"<text class=\"n\" x=\"{x:0.#}\" y=\"{y:0.#}\" text-anchor=\"{anchor}\">");
        Html.Escape(html, text);
        html.Append("</text>");
    }
}
