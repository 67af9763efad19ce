namespace Loci.Evaluation.Reporting;

/// <summary>One value of a bar chart.</summary>
/// <param name="Label">What it belongs to.</param>
/// <param name="Value">The value; NaN or an infinity leaves the place empty.</param>
/// <param name="Error">Half the length of the whisker across the value's end; null for none.</param>
/// <param name="Text">What is written beside it.</param>
public sealed record ChartBar(string Label, double Value, double? Error, string Text);

/// <summary>A chart that compares values, one below the other.</summary>
/// <param name="Title">What it shows.</param>
/// <param name="ValueLabel">What is measured, with its unit.</param>
/// <param name="Bars">The values.</param>
public sealed record BarChart(string Title, string ValueLabel, IReadOnlyList<ChartBar> Bars)
{
    /// <summary>Whether the axis begins at 0 and values are bars; otherwise it fits the data and values are points, since bars that are cut off mislead.</summary>
    public bool FromZero { get; init; } = true;

    /// <summary>A sentence below the chart.</summary>
    public string? Caption { get; init; }
}
