using System.Globalization;
using System.Text;
using Loci.Formats;

namespace Loci.Evaluation.Reporting;

/// <summary>
/// Builds a report as one HTML file that needs nothing else: no scripts, no fonts, no network. It follows the reader's light or dark setting and
/// fits a phone. All text is escaped.
/// </summary>
/// <remarks>Parts appear in the order they are added; every method returns the report.</remarks>
public sealed class HtmlReport
{
    private const int WideWidth = 760;
    private const int WideHeight = 390;
    private const int NarrowWidth = 360;
    private const int NarrowHeight = 300;

    private readonly StringBuilder _body = new();
    private readonly string _title;
    private readonly string? _subtitle;
    private int _charts;

    /// <summary>Begins a report.</summary>
    /// <param name="title">Its title.</param>
    /// <param name="subtitle">A line below the title, or null.</param>
    public HtmlReport(string title, string? subtitle = null)
    {
        ArgumentException.ThrowIfNullOrEmpty(title);
        _title = title;
        _subtitle = subtitle;
    }

    /// <summary>A line at the end, such as how the report was made; null for none.</summary>
    public string? Footer { get; init; }

    /// <summary>Begins a section.</summary>
    /// <param name="text">Its heading.</param>
    public HtmlReport Heading(string text) => Element("h2", text);

    /// <summary>Adds a paragraph.</summary>
    /// <param name="text">Its text.</param>
    public HtmlReport Paragraph(string text) => Element("p", text);

    /// <summary>Adds the numbers to be seen first, as tiles.</summary>
    /// <param name="facts">What each is and its value with its unit.</param>
    public HtmlReport Facts(params IReadOnlyList<(string Name, string Value)> facts)
    {
        ArgumentNullException.ThrowIfNull(facts);
        _body.Append("<dl class=\"facts\">");
        foreach ((string name, string value) in facts)
        {
            _body.Append("<div><dt>");
            Html.Escape(_body, name);
            _body.Append("</dt><dd>");
            Html.Escape(_body, value);
            _body.Append("</dd></div>");
        }

        _body.Append("</dl>\n");
        return this;
    }

    /// <summary>Adds a table; columns that hold only numbers are set flush right.</summary>
    /// <param name="headers">The columns' headings.</param>
    /// <param name="rows">The rows, each with as many cells as there are headings.</param>
    /// <param name="caption">A sentence above the table, or null.</param>
    /// <exception cref="ArgumentException">A row has another number of cells.</exception>
    public HtmlReport Table(IReadOnlyList<string> headers, IReadOnlyList<IReadOnlyList<string>> rows, string? caption = null)
    {
        ArgumentNullException.ThrowIfNull(headers);
        ArgumentNullException.ThrowIfNull(rows);
        for (int i = 0; i < rows.Count; i++)
        {
            if (rows[i].Count != headers.Count)
            {
                throw new ArgumentException($"Row {i} has {rows[i].Count} cells under {headers.Count} headings.", nameof(rows));
            }
        }

        bool[] numbers = [.. headers.Select((_, column) => rows.Count > 0 && rows.All(row => IsNumber(row[column])))];
        _body.Append("<div class=\"scroll\"><table>");
        if (caption is not null)
        {
            Element("caption", caption);
        }

        _body.Append("<thead>");
        Row("th scope=\"col\"", "th", headers);
        _body.Append("</thead><tbody>");
        foreach (IReadOnlyList<string> row in rows)
        {
            Row("td", "td", row);
        }

        _body.Append("</tbody></table></div>\n");
        return this;

        void Row(string open, string close, IReadOnlyList<string> cells)
        {
            _body.Append("<tr>");
            for (int column = 0; column < cells.Count; column++)
            {
                _body.Append('<').Append(open).Append(numbers[column] ? " class=\"r\">" : ">");
                Html.Escape(_body, cells[column]);
                _body.Append("</").Append(close).Append('>');
            }

            _body.Append("</tr>\n");
        }
    }

    /// <summary>Adds a line chart, drawn for wide and for narrow screens.</summary>
    /// <param name="chart">The chart.</param>
    public HtmlReport Chart(LineChart chart)
    {
        ArgumentNullException.ThrowIfNull(chart);
        _body.Append("<figure>");
        Element("h3", chart.Title);
        if (chart.Series.Count > 1)
        {
            _body.Append("<ul class=\"legend\">");
            for (int i = 0; i < chart.Series.Count; i++)
            {
                _body.Append(CultureInfo.InvariantCulture, $"<li class=\"s{i % Html.Colours}{(i >= Html.Colours ? " d" : "")}\"><i></i>");
                Html.Escape(_body, chart.Series[i].Name);
                _body.Append("</li>");
            }

            _body.Append("</ul>\n");
        }

        _charts++;
        _body.Append("<div class=\"wide\">");
        ChartSvg.Draw(_body, chart, WideWidth, WideHeight, string.Create(CultureInfo.InvariantCulture, $"w{_charts}"));
        _body.Append("</div><div class=\"narrow\">");
        ChartSvg.Draw(_body, chart, NarrowWidth, NarrowHeight, string.Create(CultureInfo.InvariantCulture, $"n{_charts}"));
        _body.Append("</div>");
        if (chart.Caption is not null)
        {
            Element("figcaption", chart.Caption);
        }

        _body.Append("</figure>\n");
        return this;
    }

    /// <summary>Adds a bar chart, drawn for wide and for narrow screens.</summary>
    /// <param name="chart">The chart.</param>
    public HtmlReport Chart(BarChart chart)
    {
        ArgumentNullException.ThrowIfNull(chart);
        _body.Append("<figure>");
        Element("h3", chart.Title);
        _body.Append("<div class=\"wide\">");
        BarSvg.Draw(_body, chart, WideWidth);
        _body.Append("</div><div class=\"narrow\">");
        BarSvg.Draw(_body, chart, NarrowWidth);
        _body.Append("</div>");
        if (chart.Caption is not null)
        {
            Element("figcaption", chart.Caption);
        }

        _body.Append("</figure>\n");
        return this;
    }

    /// <summary>Adds a heat map.</summary>
    /// <param name="map">The map.</param>
    /// <exception cref="ArgumentException">A row has more or fewer values than there are columns.</exception>
    public HtmlReport Chart(HeatMap map)
    {
        ArgumentNullException.ThrowIfNull(map);
        _body.Append("<figure>");
        Element("h3", map.Title);
        HeatMapSvg.Draw(_body, map);
        if (map.Caption is not null)
        {
            Element("figcaption", map.Caption);
        }

        _body.Append("</figure>\n");
        return this;
    }

    /// <summary>Adds text as it is, such as a model's sample.</summary>
    /// <param name="text">The text; line breaks are kept.</param>
    /// <param name="caption">A sentence above it, or null.</param>
    public HtmlReport Preformatted(string text, string? caption = null)
    {
        ArgumentNullException.ThrowIfNull(text);
        _body.Append("<figure>");
        if (caption is not null)
        {
            Element("figcaption", caption);
        }

        // The line break after the tag is not part of the text; without it a text that begins with one would lose it.
        _body.Append("<pre>\n");
        Html.Escape(_body, text);
        _body.Append("</pre></figure>\n");
        return this;
    }

    /// <summary>The whole page.</summary>
    public string ToHtml()
    {
        StringBuilder html = new(_body.Length + 8192);
        html.Append("<!DOCTYPE html>\n<html lang=\"en\">\n<head>\n<meta charset=\"utf-8\">\n")
            .Append("<meta http-equiv=\"Content-Security-Policy\" content=\"default-src 'none'; style-src 'unsafe-inline'\">\n")
            .Append("<meta name=\"viewport\" content=\"width=device-width,initial-scale=1\">\n<title>");
        Html.Escape(html, _title);
        html.Append("</title>\n<style>\n").Append(Html.Style).Append("</style>\n</head>\n<body>\n<main>\n<h1>");
        Html.Escape(html, _title);
        html.Append("</h1>\n");
        if (_subtitle is not null)
        {
            html.Append("<p class=\"subtitle\">");
            Html.Escape(html, _subtitle);
            html.Append("</p>\n");
        }

        html.Append(_body);
        if (Footer is not null)
        {
            html.Append("<footer>");
            Html.Escape(html, Footer);
            html.Append("</footer>\n");
        }

        return html.Append("</main>\n</body>\n</html>\n").ToString();
    }

    /// <summary>Writes the page to a file, aside first and then over the old one.</summary>
    /// <param name="path">The file; its folder must exist.</param>
    /// <exception cref="LociException">The disk is full or the folder cannot be written to.</exception>
    public void Save(string path) => AtomicFile.WriteAllText(path, ToHtml());

    private static bool IsNumber(string cell) =>
        cell.Length == 0 || cell is "-" or "–" or "—" or "NaN" || (cell.Split(" ± ") is [var value, var error] && IsNumber(value) && IsNumber(error))
        || double.TryParse(cell.TrimEnd('%', 'x', '×', ' ').TrimStart('+'), NumberStyles.Float | NumberStyles.AllowThousands, CultureInfo.InvariantCulture, out _);

    private HtmlReport Element(string name, string text)
    {
        ArgumentNullException.ThrowIfNull(text);
        _body.Append('<').Append(name).Append('>');
        Html.Escape(_body, text);
        _body.Append("</").Append(name).Append(">\n");
        return this;
    }
}
