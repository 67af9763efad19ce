using System.Globalization;
using System.Text;

namespace Loci.Evaluation.Reporting;

/// <summary>Draws a line chart as an SVG element whose colours come from the page's style.</summary>
internal static class ChartSvg
{
    private const double Top = 12;
    private const double Right = 14;
    private const double Bottom = 46;
    private const double CharacterWidth = 7.3; // of the 13-pixel tick labels
    private const double BucketWidth = 1.5; // pixels; finer detail cannot be seen
    private const int HoverPoints = 48;
    private const int MarkerPoints = 32;

    /// <summary>Draws a chart.</summary>
    /// <param name="svg">Receives the element.</param>
    /// <param name="chart">The chart.</param>
    /// <param name="width">Its width, in pixels at full size.</param>
    /// <param name="height">Its height, in pixels at full size.</param>
    /// <param name="id">Unique on the page.</param>
    public static void Draw(StringBuilder svg, LineChart chart, int width, int height, string id)
    {
        svg.Append(CultureInfo.InvariantCulture, $"<svg viewBox=\"0 0 {width} {height}\" role=\"img\" aria-label=\"");
        Html.Escape(svg, chart.Title);
        svg.Append("\">");
        if (Axes(chart, width, height) is not var (x, y))
        {
            svg.Append(CultureInfo.InvariantCulture, $"<text class=\"t\" x=\"{width / 2}\" y=\"{height / 2}\" text-anchor=\"middle\">no data</text></svg>\n");
            return;
        }

        double left = 30 + (CharacterWidth * y.Labels.Select(label => label.Length).DefaultIfEmpty().Max());
        Frame frame = new(left, Top, width - left - Right, height - Top - Bottom, x, y);
        DrawAxes(svg, chart, frame, height);
        svg.Append(CultureInfo.InvariantCulture, $"<clipPath id=\"{id}\"><rect x=\"{frame.Left:0.#}\" y=\"{frame.Top - 2:0.#}\" ")
            .Append(CultureInfo.InvariantCulture, $"width=\"{frame.Width:0.#}\" height=\"{frame.Height + 4:0.#}\"/></clipPath><g clip-path=\"url(#{id})\">");
        for (int i = 0; i < chart.Series.Count; i++)
        {
            ChartSeries series = chart.Series[i];
            svg.Append(CultureInfo.InvariantCulture, $"<g class=\"s{i % Html.Colours}{(i >= Html.Colours ? " d" : "")}\">");
            IReadOnlyList<double> shown = series.Y;
            if (series.SmoothingHalfLife > 0)
            {
                DrawPath(svg, frame, series.X, series.Y, "f");
                shown = ChartSeries.Smooth(series.Y, series.SmoothingHalfLife);
            }

            DrawPath(svg, frame, series.X, shown, "l");
            svg.Append("</g>");
        }

        // Above all curves, so that none hides another's points from the pointer.
        for (int i = 0; i < chart.Series.Count; i++)
        {
            DrawPoints(svg, chart, frame, chart.Series[i], i);
        }

        svg.Append("</g></svg>\n");
    }

    private static (ChartAxis X, ChartAxis Y)? Axes(LineChart chart, int width, int height)
    {
        double minimumX = double.PositiveInfinity, maximumX = double.NegativeInfinity;
        double minimumY = double.PositiveInfinity, maximumY = double.NegativeInfinity;
        foreach (ChartSeries series in chart.Series)
        {
            for (int i = 0; i < series.X.Count; i++)
            {
                (double x, double y) = (series.X[i], series.Y[i]);
                if (ChartAxis.CanShow(x, chart.LogarithmicX) && ChartAxis.CanShow(y, chart.LogarithmicY))
                {
                    (minimumX, maximumX) = (Math.Min(minimumX, x), Math.Max(maximumX, x));
                    (minimumY, maximumY) = (Math.Min(minimumY, y), Math.Max(maximumY, y));
                }
            }
        }

        if (minimumX > maximumX)
        {
            return null;
        }

        minimumY = chart.MinimumY ?? minimumY;
        maximumY = Math.Max(chart.MaximumY ?? maximumY, minimumY);
        bool fixedY = chart.MinimumY is not null || chart.MaximumY is not null;
        return (ChartAxis.Create(minimumX, maximumX, chart.LogarithmicX, Math.Max(3, width / 90), margin: 0.01),
            ChartAxis.Create(minimumY, maximumY, chart.LogarithmicY, Math.Max(3, height / 60), fixedY ? 0 : 0.04));
    }

    private static void DrawAxes(StringBuilder svg, LineChart chart, Frame frame, int height)
    {
        svg.Append("<path class=\"g\" d=\"");
        foreach (double tick in frame.Y.Ticks)
        {
            svg.Append(CultureInfo.InvariantCulture, $"M{frame.Left:0.#} {frame.PlaceY(tick):0.#}h{frame.Width:0.#}");
        }

        svg.Append("\"/><path class=\"a\" d=\"");
        svg.Append(CultureInfo.InvariantCulture, $"M{frame.Left:0.#} {frame.Top + frame.Height:0.#}h{frame.Width:0.#}");
        foreach (double tick in frame.X.Ticks)
        {
            svg.Append(CultureInfo.InvariantCulture, $"M{frame.PlaceX(tick):0.#} {frame.Top + frame.Height:0.#}v5");
        }

        svg.Append("\"/>");
        double end = double.NegativeInfinity;
        for (int i = 0; i < frame.X.Ticks.Count; i++)
        {
            double place = frame.PlaceX(frame.X.Ticks[i]);
            double half = frame.X.Labels[i].Length * CharacterWidth / 2;
            if (place - half < end + 6)
            {
                continue; // no room beside the one before
            }

            end = place + half;
            Text(svg, "t", place, frame.Top + frame.Height + 19, "middle", frame.X.Labels[i]);
        }

        for (int i = 0; i < frame.Y.Ticks.Count; i++)
        {
            Text(svg, "t", frame.Left - 7, frame.PlaceY(frame.Y.Ticks[i]) + 4.5, "end", frame.Y.Labels[i]);
        }

        Text(svg, "n", frame.Left + (frame.Width / 2), height - 7, "middle", chart.XLabel);
        svg.Append(CultureInfo.InvariantCulture, $"<g transform=\"translate(14 {frame.Top + (frame.Height / 2):0.#}) rotate(-90)\">");
        Text(svg, "n", 0, 0, "middle", chart.YLabel);
        svg.Append("</g>");
    }

    private static void Text(StringBuilder svg, string style, double x, double y, string anchor, string text)
    {
        svg.Append(CultureInfo.InvariantCulture, $"<text class=\"{style}\" x=\"{x:0.#}\" y=\"{y:0.#}\" text-anchor=\"{anchor}\">");
        Html.Escape(svg, text);
        svg.Append("</text>");
    }

    /// <summary>Draws a curve; where several points share a strip of the width, only the least and the greatest of them.</summary>
    private static void DrawPath(StringBuilder svg, Frame frame, IReadOnlyList<double> xs, IReadOnlyList<double> ys, string style)
    {
        svg.Append("<path class=\"").Append(style).Append("\" d=\"");
        bool pen = false;
        for (int i = 0; i < xs.Count;)
        {
            if (!frame.Shows(xs[i], ys[i]))
            {
                pen = false;
                i++;
                continue;
            }

            int low = i, high = i;
            double strip = Math.Floor(frame.PlaceX(xs[i]) / BucketWidth);
            int next = i + 1;
            for (; next < xs.Count && frame.Shows(xs[next], ys[next]) && Math.Floor(frame.PlaceX(xs[next]) / BucketWidth) == strip; next++)
            {
                low = ys[next] < ys[low] ? next : low;
                high = ys[next] > ys[high] ? next : high;
            }

            (int first, int second) = low < high ? (low, high) : (high, low);
            Point(first);
            if (second != first)
            {
                Point(second);
            }

            i = next;
        }

        svg.Append("\"/>");

        void Point(int index)
        {
            svg.Append(pen ? 'L' : 'M')
                .Append(CultureInfo.InvariantCulture, $"{frame.PlaceX(xs[index]):0.#} {frame.PlaceY(ys[index]):0.#}");
            pen = true;
        }
    }

    private static void DrawPoints(StringBuilder svg, LineChart chart, Frame frame, ChartSeries series, int index)
    {
        bool smooth = series.SmoothingHalfLife > 0;
        IReadOnlyList<double> ys = smooth ? ChartSeries.Smooth(series.Y, series.SmoothingHalfLife) : series.Y;
        bool markers = !smooth && ys.Count <= MarkerPoints;
        svg.Append(CultureInfo.InvariantCulture, $"<g class=\"s{index % Html.Colours} {(markers ? "m" : "h")}\">");
        double last = double.NegativeInfinity;
        for (int i = 0; i < ys.Count; i++)
        {
            if (!frame.Shows(series.X[i], ys[i]))
            {
                continue;
            }

            double place = frame.PlaceX(series.X[i]);
            if (!markers && place - last < frame.Width / HoverPoints)
            {
                continue;
            }

            last = place;
            svg.Append(CultureInfo.InvariantCulture, $"<circle cx=\"{place:0.#}\" cy=\"{frame.PlaceY(ys[i]):0.#}\" r=\"{(markers ? 3 : 5)}\"><title>");
            Html.Escape(svg, series.Name);
            svg.Append('\n');
            Html.Escape(svg, chart.XLabel);
            svg.Append(CultureInfo.InvariantCulture, $": {series.X[i]:G6}\n");
            Html.Escape(svg, chart.YLabel);
            svg.Append(CultureInfo.InvariantCulture, $": {ys[i]:G5}</title></circle>");
        }

        svg.Append("</g>");
    }

    private readonly record struct Frame(double Left, double Top, double Width, double Height, ChartAxis X, ChartAxis Y)
    {
        public double PlaceX(double value) => Left + (Width * X.Place(value));

        // Far outside the frame is cut off, so that no renderer meets a huge number.
        public double PlaceY(double value) => Top + (Height * Math.Clamp(1 - Y.Place(value), -10, 11));

        public bool Shows(double x, double y) => ChartAxis.CanShow(x, X.Logarithmic) && ChartAxis.CanShow(y, Y.Logarithmic);
    }
}
