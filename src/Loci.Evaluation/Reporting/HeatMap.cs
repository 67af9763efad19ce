namespace Loci.Evaluation.Reporting;

/// <summary>One row of a heat map.</summary>
/// <param name="Label">What is written beside it.</param>
/// <param name="Values">A value for every column, at least 0; NaN leaves the place empty.</param>
/// <param name="Details">Shown where somebody points at the row; null for nothing.</param>
public sealed record HeatMapRow(string Label, IReadOnlyList<double> Values, string? Details = null);

/// <summary>A table of values from 0 on as colours, as strong as the value's square root, so that small ones can be told from none. Long ones scroll.</summary>
/// <param name="Title">What it shows.</param>
/// <param name="ValueLabel">What the colours mean.</param>
/// <param name="Columns">What is written above the columns, as far as there is room.</param>
/// <param name="Rows">The rows, from above.</param>
public sealed record HeatMap(string Title, string ValueLabel, IReadOnlyList<string> Columns, IReadOnlyList<HeatMapRow> Rows)
{
    /// <summary>The value of the strongest colour; null takes the largest there is.</summary>
    public double? Maximum { get; init; }

    /// <summary>What an empty place means.</summary>
    public string EmptyLabel { get; init; } = "no value";

    /// <summary>A sentence below the map.</summary>
    public string? Caption { get; init; }
}
