using System.Globalization;
using Loci.Evaluation;
using Loci.Evaluation.Tasks.Recall;
using Loci.Memory.Segments;
using Loci.Models;
using Loci.Numerics;
using Loci.Tests.Models;
using Xunit;

namespace Loci.Tests.Evaluation.Recall;

public sealed class MultiQueryRecallTaskTests : IDisposable
{
    private readonly CpuDevice _device = new(1);
    private readonly LanguageModel _model;
    private readonly LanguageEvaluationModel _evaluated;

    public MultiQueryRecallTaskTests()
    {
        _model = IdentityTests.Sharpened(IdentityTests.Configuration("gated-linear", "grm", SegmentKind.Constant, SegmentStart.Checkpoint), _device);
        _evaluated = new LanguageEvaluationModel(_model, null, "m");
    }

    public void Dispose()
    {
        _model.Dispose();
        _device.Dispose();
    }

    [Theory]
    [InlineData(true)]
    [InlineData(false)]
    public void MeasuresWhatTheRecallMeasurementDoesOnTheSameRows(bool random)
    {
        const int Rows = 60;
        var measured = RecallMeasurement.Measure(
            _model, new MultiQueryRecallOptions { VocabularySize = IdentityTests.Vocabulary, Length = 24, Pairs = [6, 2], RandomNonQueries = random }, Rows, 9, TestContext.Current.CancellationToken);
        var result = Run(new TaskOptions { Samples = Rows, Seed = 9 }, ("length", "24"), ("pairs", "6, 2"), ("random-non-queries", random ? "true" : "false"));
        Assert.InRange(measured.Correct, 1, measured.Queries - 1);
        Assert.Equal(measured.Queries, result.Examples);
        Assert.Equal(measured.Accuracy, result.Values["accuracy"].Value, 1e-12);
        Assert.Equal(measured.Loss, result.Values["loss"].Value, 1e-4);
        Same(measured.ByPairs, result, "pairs", count => $"{count.From}");
        Same(measured.ByDistance, result, "distance", count => $"{count.From}-{count.To}");
        Assert.DoesNotContain(result.Slices, slice => slice.Name == "length");
        Assert.True(result.Tokens < 2 * Rows * 24 * 1.05, "The queries of a row did not go on from each other.");
    }

    [Fact]
    public void LengthsAreASliceOfTheirOwn()
    {
        var result = Run(new TaskOptions { Samples = 3, Lengths = [28, 12] }, ("pairs", "2"), ("length", "16"));
        Assert.Equal(["12", "28"], result.Slices.Single(slice => slice.Name == "length").Values.Select(value => value.Value));
        Assert.Equal(12, result.Examples);
        Assert.Equal(result.Examples, Run(new TaskOptions { Samples = 3, Lengths = [28, 12], Seed = 1 }, ("pairs", "2")).Examples);
        Assert.NotEqual(result.Values["loss"].Value, Run(new TaskOptions { Samples = 3, Lengths = [28, 12], Seed = 1 }, ("pairs", "2")).Values["loss"].Value);
    }

    [Theory]
    [InlineData("pairs", "four", "The setting pairs of the task mqar takes whole numbers such as 4,8,16, not 'four'.")]
    [InlineData("pairs", "9", "cannot hold 9 pairs")]
    [InlineData("length", "7", "even length")]
    [InlineData("vocabulary", "32", "the model 31")]
    [InlineData("power", "-", "takes a number such as 0.01, not '-'")]
    [InlineData("random-non-queries", "yes", "takes true or false, not 'yes'")]
    public void SettingsThatCannotBeAreNamed(string name, string value, string part)
    {
        var failure = Assert.Throws<LociException>(() => Run(new TaskOptions(), new Dictionary<string, string> { ["length"] = "16", ["pairs"] = "4", [name] = value }));
        Assert.Contains(part, failure.Message, StringComparison.Ordinal);
    }

    private static void Same(IReadOnlyList<RecallCount> expected, EvaluationTaskResult result, string slice, Func<RecallCount, string> name)
    {
        var values = result.Slices.Single(one => one.Name == slice).Values;
        Assert.Equal(expected.Select(name), values.Select(value => value.Value));
        Assert.Equal(expected.Select(count => count.Queries), values.Select(value => (long)value.Metrics["accuracy"].Examples));
        Assert.Equal(expected.Select(count => count.Accuracy.ToString("F9", CultureInfo.InvariantCulture)), values.Select(value => value.Metrics["accuracy"].Value.ToString("F9", CultureInfo.InvariantCulture)));
    }

    private EvaluationTaskResult Run(TaskOptions options, params (string Name, string Value)[] settings) => Run(options, settings.ToDictionary(setting => setting.Name, setting => setting.Value));

    private EvaluationTaskResult Run(TaskOptions options, Dictionary<string, string> settings) =>
        Evaluator.Run(_evaluated, EvaluationTasks.Find("mqar"), options with { Settings = settings }, cancellationToken: TestContext.Current.CancellationToken);
}
