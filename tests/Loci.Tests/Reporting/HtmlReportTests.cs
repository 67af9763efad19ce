using System.Globalization;
using System.Text.RegularExpressions;
using System.Xml.Linq;
using Loci.Evaluation.Reporting;
using Loci.Tests.Formats;
using Xunit;

namespace Loci.Tests.Reporting;

public sealed partial class HtmlReportTests
{
    private static double[] Range(int count, Func<double, double> value) => [.. Enumerable.Range(1, count).Select(i => value(i))];

    private static XElement Body(HtmlReport report)
    {
        // What lies between the body's tags is well-formed XML, so a standard parser can judge it.
        string html = report.ToHtml();
        int start = html.IndexOf("<main>", StringComparison.Ordinal);
        return XElement.Parse(html[start..(html.IndexOf("</main>", StringComparison.Ordinal) + 7)]);
    }

    private static LineChart Chart(params IReadOnlyList<ChartSeries> series) => new("Loss", "step", "nats", series);

    [Fact]
    public void ThePageIsWholeAndAsksTheNetworkForNothing()
    {
        HtmlReport report = new HtmlReport("A title", "below") { Footer = "end" }.Heading("h").Paragraph("p").Facts(("name", "1"))
            .Table(["a"], [["1"]], "caption").Chart(Chart(new ChartSeries("s", [1, 2], [3, 4]))).Preformatted("sample", "caption");
        string html = report.ToHtml();
        Assert.StartsWith("<!DOCTYPE html>", html, StringComparison.Ordinal);
        Assert.EndsWith("</html>\n", html, StringComparison.Ordinal);
        Assert.DoesNotContain("http:", html, StringComparison.Ordinal);
        Assert.DoesNotContain("https:", html, StringComparison.Ordinal);
        Assert.DoesNotContain("<script", html, StringComparison.Ordinal);
        Assert.DoesNotMatch(@"url\((?!#)", html);
        Assert.Contains("default-src 'none'", html, StringComparison.Ordinal);
        Assert.Equal(["h1", "p", "h2", "p", "dl", "div", "figure", "figure", "footer"], Body(report).Elements().Select(element => element.Name.LocalName));
    }

    [Fact]
    public void AllTextIsEscapedEverywhere()
    {
        const string Evil = "</pre><script>alert('\"&')</script>\0\u001B\u202E\ud800";
        HtmlReport report = new HtmlReport(Evil, Evil) { Footer = Evil }.Heading(Evil).Paragraph(Evil).Facts((Evil, Evil)).Table([Evil], [[Evil]], Evil)
            .Chart(new LineChart(Evil, Evil, Evil, [new ChartSeries(Evil, [1, 2], [1, 2]), new ChartSeries(Evil, [1], [1])]) { Caption = Evil })
            .Preformatted("\n" + Evil, Evil);
        Assert.DoesNotContain("<script", report.ToHtml(), StringComparison.Ordinal);
        string shown = "</pre><script>alert('\"&')</script>" + new string('\uFFFD', 4);
        XElement body = Body(report);
        Assert.Equal("\n\n" + shown, body.Descendants("pre").Single().Value);
        Assert.All(body.Descendants("svg"), svg => Assert.Equal(shown, svg.Attribute("aria-label")!.Value));
        Assert.True(Regex.Count(body.Value, "<script>") > 20);
    }

    [Fact]
    public void ColumnsOfNumbersAreFlushRight()
    {
        XElement body = Body(new HtmlReport("t").Table(["model", "loss", "mixed"], [["base", "1,204.5", "3"], ["GRM", "—", "x ± 1"], ["SSC", "4 %", "-1e-3"], ["Soup", "3.1 ± 0.2", "4"]]));
        Assert.Equal([false, true, false], body.Descendants("th").Select(cell => cell.Attribute("class") is not null));
        Assert.Equal(["base", "1,204.5", "3"], body.Descendants("tr").ElementAt(1).Elements().Select(cell => cell.Value));
        Assert.Throws<ArgumentException>(() => new HtmlReport("t").Table(["a", "b"], [["1"]]));
    }

    [Fact]
    public void CurvesStayInsideTheDrawingAndHitTheirPoints()
    {
        XElement svg = Body(new HtmlReport("t").Chart(Chart(new ChartSeries("s", [0, 50, 100], [2, 4, 3])))).Descendants("svg").First();
        double[] size = [.. svg.Attribute("viewBox")!.Value.Split(' ').Select(Number)];
        (double X, double Y)[] points = [.. svg.Descendants("circle").Select(circle => (Number(circle.Attribute("cx")!.Value), Number(circle.Attribute("cy")!.Value)))];
        Assert.Equal(3, points.Length);
        Assert.All(points, point => Assert.True(point.X > 40 && point.X < size[2] && point.Y > 0 && point.Y < size[3] - 40));
        Assert.Equal(points[1].X - points[0].X, points[2].X - points[1].X, 0.11);
        Assert.Equal(2 * (points[0].Y - points[2].Y), points[0].Y - points[1].Y, 0.31); // upwards is more
        Assert.Equal("s\nstep: 50\nnats: 4", svg.Descendants("title").ElementAt(1).Value);
        Assert.Equal(points, Path(svg, "l"));
    }

    [Fact]
    public void ALogarithmicAxisGivesEqualRatiosEqualLengths()
    {
        XElement svg = Body(new HtmlReport("t").Chart(Chart(new ChartSeries("s", [0, 1, 10, 100, 1000], [1, 1, 2, 3, 4])) with { LogarithmicX = true })).Descendants("svg").First();
        (double X, double Y)[] points = Path(svg, "l");
        Assert.Equal(4, points.Length); // the point at 0 has no place
        Assert.Equal(points[1].X - points[0].X, points[3].X - points[2].X, 0.21);
        Assert.Contains(svg.Descendants("text"), text => text.Value == "1000");
    }

    [Fact]
    public void NonFiniteValuesLeaveGaps()
    {
        XElement svg = Body(new HtmlReport("t").Chart(Chart(
            new ChartSeries("s", [1, 2, 3, 4, 5], [1, double.NaN, 2, 3, double.PositiveInfinity])))).Descendants("svg").First();
        string path = Curve(svg, "l");
        Assert.Equal(2, path.Count(c => c == 'M'));
        Assert.Equal(1, path.Count(c => c == 'L'));
        Assert.DoesNotContain("NaN", svg.ToString(), StringComparison.Ordinal);
    }

    [Theory]
    [InlineData(0)]
    [InlineData(1)]
    [InlineData(-3)]
    [InlineData(1e-9)]
    [InlineData(1e300)]
    [InlineData(double.MaxValue)]
    [InlineData(double.NaN)]
    [InlineData(double.Epsilon)]
    public void DegenerateDataIsDrawnWithoutNonsense(double value)
    {
        foreach (bool logarithmic in (bool[])[false, true])
        {
            HtmlReport report = new HtmlReport("t").Chart(Chart(new ChartSeries("s", [1], [value]), new ChartSeries("none", [], [])) with { LogarithmicY = logarithmic })
                .Chart(Chart());
            string drawn = string.Concat(Body(report).Descendants("svg").SelectMany(svg => svg.DescendantsAndSelf().Attributes()).Select(attribute => attribute.Value + " "));
            Assert.DoesNotMatch("NaN|Infinity|∞|E[+-]?[0-9]", drawn);
            Assert.Contains("no data", Body(report).Value, StringComparison.Ordinal);
        }
    }

    [Fact]
    public void LongCurvesAreThinnedWithoutLosingTheirPeaks()
    {
        const int Count = 200_000;
        double[] y = Range(Count, i => Math.Sin(i));
        y[123_456] = 50;
        HtmlReport report = new HtmlReport("t").Chart(Chart(new ChartSeries("s", Range(Count, i => i), y)));
        Assert.InRange(report.ToHtml().Length, 10_000, 100_000);
        XElement svg = Body(report).Descendants("svg").First();
        double least = Path(svg, "l").Min(point => point.Y);
        Assert.Single(Path(svg, "l"), point => point.Y == least);
        Assert.True(least < 60);
    }

    [Fact]
    public void SmoothingFollowsWithoutLagAndShowsTheValuesBehind()
    {
        double[] line = Range(101, i => 3 * i);
        double[] smooth = ChartSeries.Smooth(line, 5);
        Assert.Equal(line[50], smooth[50], 1e-3);
        Assert.All(ChartSeries.Smooth(Range(20, _ => 7), 3), value => Assert.Equal(7, value, 1e-12));
        double[] gap = ChartSeries.Smooth([1, double.NaN, 3], 1);
        Assert.Equal((1 + 0.25 * 3) / 1.25, gap[0], 1e-12); // weights halve per point, the gap has none
        Assert.True(double.IsNaN(gap[1]));
        Assert.Equal((3 + 0.25 * 1) / 1.25, gap[2], 1e-12);
        XElement svg = Body(new HtmlReport("t").Chart(Chart(new ChartSeries("s", line, line) { SmoothingHalfLife = 5 }))).Descendants("svg").First();
        Assert.NotEmpty(Curve(svg, "f"));
        Assert.Throws<ArgumentOutOfRangeException>(() => new ChartSeries("s", [], []) { SmoothingHalfLife = -1 });
        Assert.Throws<ArgumentException>(() => new ChartSeries("s", [1], []));
    }

    [Theory]
    [InlineData(0, 10, false, "0 2 4 6 8 10")]
    [InlineData(1.9, 3.6, false, "2.0 2.2 2.4 2.6 2.8 3.0 3.2 3.4 3.6")]
    [InlineData(-0.25, 0.1, false, "−0.25 −0.20 −0.15 −0.10 −0.05 0 0.05 0.10")]
    [InlineData(0, 2_500_000, false, "0 500k 1M 1.5M 2M 2.5M")]
    [InlineData(0, 0.00003, false, "0 5e−6 1e−5 1.5e−5 2e−5 2.5e−5 3e−5")]
    [InlineData(1, 1000, true, "1 10 100 1000")]
    [InlineData(1, 50, true, "1 2 5 10 20 50")]
    [InlineData(1, 1e12, true, "1 1k 1M 1G 1T")]
    [InlineData(2, 7, true, "2 3 4 5 6 7")]
    public void TicksAreRoundNumbers(double minimum, double maximum, bool logarithmic, string expected) =>
        Assert.Equal(expected, string.Join(' ', ChartAxis.Create(minimum, maximum, logarithmic, 5, 0).Labels));

    [Fact]
    public void SavesAsUtf8()
    {
        using TemporaryFolder folder = new();
        HtmlReport report = new HtmlReport("é").Paragraph("日本語 🙂");
        report.Save(folder.File("report.html"));
        Assert.Equal(report.ToHtml(), File.ReadAllText(folder.File("report.html")));
        Assert.Contains("日本語 🙂", report.ToHtml(), StringComparison.Ordinal);
    }

    private static string Curve(XElement svg, string style) =>
        svg.Descendants("path").Single(path => path.Attribute("class")!.Value == style).Attribute("d")!.Value;

    private static (double X, double Y)[] Path(XElement svg, string style) =>
        [.. Points().Matches(Curve(svg, style)).Select(match => (Number(match.Groups[1].Value), Number(match.Groups[2].Value)))];

    private static double Number(string text) => double.Parse(text, CultureInfo.InvariantCulture);

    [GeneratedRegex(@"[ML]([0-9.-]+) ([0-9.-]+)")]
    private static partial Regex Points();
}
