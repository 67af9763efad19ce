using System.Text.Json.Serialization;

namespace Loci.Training;

/// <summary>How the learning rate falls after the warm-up.</summary>
public enum ScheduleKind
{
    /// <summary>Along half a cosine (Loshchilov and Hutter, 2017).</summary>
    [JsonStringEnumMemberName("cosine")]
    Cosine,

    /// <summary>Along a straight line.</summary>
    [JsonStringEnumMemberName("linear")]
    Linear,

    /// <summary>Not at all until the last part of the run, then along a straight line (warm-up, stable, decay: Hu et al., 2024).</summary>
    [JsonStringEnumMemberName("wsd")]
    WarmupStableDecay,

    /// <summary>Not at all.</summary>
    [JsonStringEnumMemberName("constant")]
    Constant,
}

/// <summary>
/// The learning rate of every step: it rises in a straight line over the warm-up, reaches the peak in the first step after it, and the last step of the run
/// has the final fraction of the peak.
/// </summary>
public sealed record LearningRateSchedule
{
    private const double LongestWarmup = 0.1;

    /// <summary>How the rate falls.</summary>
    public ScheduleKind Kind { get; init; } = ScheduleKind.Cosine;

    /// <summary>The highest rate.</summary>
    public double Peak { get; init; } = 2e-3;

    /// <summary>Steps before the peak: step i of them has (i + 1) / (warm-up + 1) of the peak.</summary>
    public int WarmupSteps { get; init; } = 100;

    /// <summary>The rate of the last step as a fraction of the peak; constant schedules ignore it.</summary>
    public double FinalFraction { get; init; } = 0.1;

    /// <summary>The last part of the run in which a warm-up, stable, decay schedule falls, as a fraction of the steps after the warm-up.</summary>
    public double DecayFraction { get; init; } = 0.2;

    /// <summary>The rate of a step.</summary>
    /// <param name="step">The step, from 0.</param>
    /// <param name="totalSteps">Steps of the whole run; the rate stays at its end after them.</param>
    public double RateAt(long step, long totalSteps)
    {
        var falling = totalSteps - 1 - WarmupSteps;
        return RateAt(step, falling <= 0 ? 0 : (double)(step - WarmupSteps) / falling);
    }

    /// <summary>The rate of a step where the end of the run is a time rather than a number of steps.</summary>
    /// <param name="step">The step, from 0; decides the warm-up, which ends after a tenth of the way at the latest.</param>
    /// <param name="progress">How much of the way is done, 0 to 1; decides the fall.</param>
    public double RateAt(long step, double progress)
    {
        ArgumentOutOfRangeException.ThrowIfNegative(step);
        progress = Math.Clamp(progress, 0, 1);
        var risen = Math.Min(1, Math.Max((step + 1.0) / (WarmupSteps + 1.0), progress / LongestWarmup));
        var fallen = Kind switch
        {
            ScheduleKind.Cosine => 0.5 * (1 - Math.Cos(Math.PI * progress)),
            ScheduleKind.Linear => progress,
            ScheduleKind.WarmupStableDecay => DecayFraction > 0 ? Math.Max(0, 1 - ((1 - progress) / DecayFraction)) : 0,
            _ => 0,
        };
        return Peak * risen * (1 - (fallen * (1 - FinalFraction)));
    }

    /// <summary>Checks that the numbers are in range.</summary>
    /// <exception cref="LociException">One is not; the message says which.</exception>
    internal void Validate()
    {
        Require(Enum.IsDefined(Kind), $"There is no learning rate schedule number {(int)Kind}: use cosine, linear, wsd or constant.");
        Require(Peak > 0 && double.IsFinite(Peak), $"The learning rate is {Peak}: use a positive number such as 0.002.");
        Require(WarmupSteps >= 0, $"The warm-up takes {WarmupSteps} steps: use 0 or more.");
        Require(FinalFraction is >= 0 and <= 1, $"The final fraction of the learning rate is {FinalFraction}: use 0 to 1.");
        Require(DecayFraction is >= 0 and <= 1, $"The decay takes {DecayFraction} of the run: use 0 to 1.");
    }

    private static void Require(bool condition, string message)
    {
        if (!condition)
        {
            throw new LociException(message);
        }
    }
}
