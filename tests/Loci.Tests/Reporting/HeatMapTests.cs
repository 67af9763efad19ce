using System.Globalization;
using System.Text.RegularExpressions;
using System.Xml.Linq;
using Loci.Evaluation.Reporting;
using Xunit;

namespace Loci.Tests.Reporting;

public sealed class HeatMapTests
{
    [Fact]
    public void EveryValueIsInItsPlaceWithItsStrength()
    {
        double[][] values = [[0, 0.01, 0.25], [1, double.NaN, 1], [0.25, 0.25, 0.25]];
        var figure = Draw(new HeatMap("Gates", "gate", ["0", "1", "live"], [.. values.Select((row, i) => new HeatMapRow($"token {i}", row, $"details {i}"))]) { EmptyLabel = "not there yet" });
        Dictionary<(int Row, int Column), double> strengths = [];
        foreach (var path in figure.Descendants("path"))
        {
            var opacity = path.Attribute("class") is null ? double.Parse(path.Attribute("opacity")!.Value, CultureInfo.InvariantCulture) : 0;
            foreach (Match cell in Regex.Matches(path.Attribute("d")!.Value, @"M(\d+) (\d+)h(\d+)v1H\1z"))
            {
                for (var i = 0; i < Number(cell, 3); i++)
                {
                    strengths.Add((Number(cell, 2), Number(cell, 1) + i), opacity);
                }
            }
        }

        Assert.Equal(8, strengths.Count);
        Assert.False(strengths.ContainsKey((1, 1)));
        Assert.Equal(0, strengths[(0, 0)]);
        Assert.InRange(strengths[(0, 1)], 0.1, 0.3);
        Assert.InRange(strengths[(0, 2)], 0.5, 0.6); // the square root
        Assert.Equal(1, strengths[(1, 0)]);
        Assert.Equal(["0", "0.0625", "0.25", "0.5625", "1", "not there yet"], figure.Descendants("li").Skip(1).Select(item => item.Value));
        Assert.Equal(["details 0", "details 1", "details 2"], figure.Descendants("title").Select(title => title.Value));
        Assert.Equal(["0", "1", "live", "token 0", "token 1", "token 2"], figure.Descendants("text").Select(text => text.Value).Order(StringComparer.Ordinal));

        static int Number(Match match, int group) => int.Parse(match.Groups[group].Value, CultureInfo.InvariantCulture);
    }

    [Fact]
    public void ValuesBeyondTheScaleAreAsStrongAsItsEnd()
    {
        var figure = Draw(new HeatMap("Gates", "gate", ["0", "live"], [new("a", [0.1, 0.9])]) { Maximum = 0.1 });
        Assert.Equal("M0 0h2v1H0z", Assert.Single(figure.Descendants("path")).Attribute("d")!.Value);
        Assert.Equal("0.1 or more", figure.Descendants("li").Last().Value);
    }

    [Fact]
    public void MapsOfAnySizeAreDrawn()
    {
        Assert.NotNull(Draw(new HeatMap("Nothing", "gate", [], [])));
        Assert.DoesNotContain(Draw(new HeatMap("Zeros", "gate", ["0"], [new("a", [0]), new("b", [double.NaN])])).Descendants("path"), path => path.Attribute("class") is null);
        var large = Draw(new HeatMap("Large", "gate", [.. Enumerable.Range(0, 500).Select(i => $"{i}")], [.. Enumerable.Range(0, 100).Select(row => new HeatMapRow($"{row}", [.. Enumerable.Range(0, 500).Select(i => 1.0 / (1 + ((i * row) % 37)))]))]));
        Assert.True(large.ToString().Length < 1_000_000);
        Assert.InRange(large.Descendants("text").Count(), 110, 200); // not every column has room for its number
        Assert.Throws<ArgumentException>(() => Draw(new HeatMap("Wrong", "gate", ["0", "1"], [new("a", [1])])));
        Assert.Contains("&lt;b&gt;", new HtmlReport("t").Chart(new HeatMap("<b>", "<b>", ["<b>"], [new("<b>", [1], "<b>")])).ToHtml(), StringComparison.Ordinal);
    }

    private static XElement Draw(HeatMap map)
    {
        var html = new HtmlReport("title").Chart(map).ToHtml();
        return XElement.Parse(html[html.IndexOf("<figure>", StringComparison.Ordinal)..(html.IndexOf("</figure>", StringComparison.Ordinal) + 9)]);
    }
}
