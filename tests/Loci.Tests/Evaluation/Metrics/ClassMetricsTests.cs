using Loci.Evaluation.Tasks.Metrics;
using Xunit;

namespace Loci.Tests.Evaluation.Metrics;

public sealed class ClassMetricsTests
{
    private static readonly string[] Classes = ["Date", "Number of something", "Other number", "Other location"];

    [Theory]
    [InlineData("Date", "Date", 1)]
    [InlineData(" The type is Date.", "Date", 1)]
    [InlineData("Date or Other number", "Date", 0.5)]
    [InlineData("Date", "Other number", 0)]
    [InlineData("date", "Date", 0)] // case counts
    [InlineData("", "Date", 0)]
    public void SharesOneAmongTheClassesNamed(string written, string answer, double expected) => Assert.Equal(expected, ClassMetrics.Score(written, answer, Classes));

    // "City" is a part of "Other City", so it is not counted when that is right.
    [Fact]
    public void PartsOfTheRightNameAreNotCounted() => Assert.Equal(1, ClassMetrics.Score("Other City", "Other City", ["City", "Other City"]));

    // "Other" is taken from the list, and the script goes on at the place after it, where "Other City" has moved from: "City" is passed over. Two are left.
    [Fact]
    public void TheClassAfterOneTakenOutIsPassedOver() => Assert.Equal(0.5, ClassMetrics.Score("Other City", "Other City", ["Other", "City", "Other City"]));
}
