using Loci.Training;
using Xunit;

namespace Loci.Tests.Training;

public sealed class LearningRateScheduleTests
{
    // Peak 1, 4 steps of warm-up, 15 steps: the steps 4 to 14 fall, so step 9 is half of the way.
    [Theory]
    [InlineData(ScheduleKind.Cosine, 0, 0.2)]
    [InlineData(ScheduleKind.Cosine, 3, 0.8)]
    [InlineData(ScheduleKind.Cosine, 4, 1.0)]
    [InlineData(ScheduleKind.Cosine, 9, 0.55)]
    [InlineData(ScheduleKind.Cosine, 14, 0.1)]
    [InlineData(ScheduleKind.Cosine, 100, 0.1)]
    [InlineData(ScheduleKind.Linear, 2, 0.6)]
    [InlineData(ScheduleKind.Linear, 4, 1.0)]
    [InlineData(ScheduleKind.Linear, 5, 0.91)]
    [InlineData(ScheduleKind.Linear, 9, 0.55)]
    [InlineData(ScheduleKind.Linear, 14, 0.1)]
    [InlineData(ScheduleKind.WarmupStableDecay, 1, 0.4)]
    [InlineData(ScheduleKind.WarmupStableDecay, 12, 1.0)]
    [InlineData(ScheduleKind.WarmupStableDecay, 13, 0.55)]
    [InlineData(ScheduleKind.WarmupStableDecay, 14, 0.1)]
    [InlineData(ScheduleKind.Constant, 0, 0.2)]
    [InlineData(ScheduleKind.Constant, 14, 1.0)]
    public void FollowsItsCurve(ScheduleKind kind, long step, double expected)
    {
        var schedule = new LearningRateSchedule { Kind = kind, Peak = 1, WarmupSteps = 4, FinalFraction = 0.1, DecayFraction = 0.2 };
        Assert.Equal(expected, schedule.RateAt(step, 15L), 12);
    }

    [Fact]
    public void CosineIsTheFormula()
    {
        var schedule = new LearningRateSchedule { Peak = 0.002, WarmupSteps = 0, FinalFraction = 0.25 };
        for (var step = 0; step < 10; step++)
        {
            Assert.Equal(0.002 * (0.25 + (0.75 * 0.5 * (1 + Math.Cos(Math.PI * step / 9)))), schedule.RateAt(step, 10L), 15);
        }
    }

    [Fact]
    public void OneStepRunHasThePeak() => Assert.Equal(0.5, new LearningRateSchedule { Peak = 0.5, WarmupSteps = 0 }.RateAt(0, 1L));

    [Fact]
    public void RunShorterThanItsWarmupOnlyRises()
    {
        var schedule = new LearningRateSchedule { Peak = 1, WarmupSteps = 9 };
        Assert.Equal([0.1, 0.2, 0.3], new[] { 0L, 1, 2 }.Select(step => Math.Round(schedule.RateAt(step, 3L), 12)));
    }

    [Theory]
    [InlineData(0, 0.0, 0.1)]
    [InlineData(9, 0.0, 1.0)]
    [InlineData(0, 0.05, 0.5 * 0.955)] // the warm-up ends after a tenth of the time at the latest
    [InlineData(0, 0.5, 0.55)]
    [InlineData(1000, 1.0, 0.1)]
    [InlineData(1000, 7.0, 0.1)]
    public void TimeDecidesWhereItIsTheEnd(long step, double progress, double expected) =>
        Assert.Equal(expected, new LearningRateSchedule { Kind = ScheduleKind.Linear, Peak = 1, WarmupSteps = 9 }.RateAt(step, progress), 12);
}
