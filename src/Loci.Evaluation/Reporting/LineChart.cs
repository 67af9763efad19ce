namespace Loci.Evaluation.Reporting;

/// <summary>A line chart of one or several curves.</summary>
/// <param name="Title">What it shows.</param>
/// <param name="XLabel">What the horizontal axis measures, with its unit.</param>
/// <param name="YLabel">What the vertical axis measures, with its unit.</param>
/// <param name="Series">The curves.</param>
public sealed record LineChart(string Title, string XLabel, string YLabel, IReadOnlyList<ChartSeries> Series)
{
    /// <summary>Whether the horizontal axis is logarithmic; points at 0 and below are then left out.</summary>
    public bool LogarithmicX { get; init; }

    /// <summary>Whether the vertical axis is logarithmic; points at 0 and below are then left out.</summary>
    public bool LogarithmicY { get; init; }

    /// <summary>Where the vertical axis begins; null fits the data. Curves are cut there.</summary>
    public double? MinimumY { get; init; }

    /// <summary>Where the vertical axis ends; null fits the data. Curves are cut there.</summary>
    public double? MaximumY { get; init; }

    /// <summary>A sentence below the chart.</summary>
    public string? Caption { get; init; }
}
