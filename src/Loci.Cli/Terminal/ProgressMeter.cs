using System.Globalization;

namespace Loci.Cli.Terminal;

/// <summary>
/// The numbers behind a progress display. The working thread only stores two of them; everything else is worked out when the display looks.
/// </summary>
internal sealed class ProgressMeter
{
    private const double RateSeconds = 15; // how far back the rate looks, roughly

    private readonly TimeProvider _clock;
    private readonly long _start;
    private long _total;
    private long _done;
    private long _loss = BitConverter.DoubleToInt64Bits(double.NaN);

    // Belongs to the thread that looks.
    private long _lookedAt;
    private long _lookedDone;
    private double _rate = double.NaN;

    public ProgressMeter(string description, long total, ProgressUnit unit, long startAt, TimeProvider clock)
    {
        ArgumentOutOfRangeException.ThrowIfNegative(total);
        ArgumentOutOfRangeException.ThrowIfNegative(startAt);
        Description = description;
        Total = total;
        Unit = unit;
        _clock = clock;
        _start = clock.GetTimestamp();
        _lookedAt = _start;
        _done = startAt;
        _lookedDone = startAt;
    }

    public string Description { get; }

    /// <summary>All there is to do; 0 when nobody knows.</summary>
    public long Total
    {
        get => Volatile.Read(ref _total);
        set => Volatile.Write(ref _total, value);
    }

    public ProgressUnit Unit { get; }

    /// <summary>Stores how far the work is; called by the working thread, allocates nothing.</summary>
    public void Report(long done, double loss)
    {
        Volatile.Write(ref _done, done);
        if (!double.IsNaN(loss))
        {
            Volatile.Write(ref _loss, BitConverter.DoubleToInt64Bits(loss));
        }
    }

    /// <summary>The state at this moment; called by one thread at a time.</summary>
    public ProgressState Look()
    {
        long now = _clock.GetTimestamp();
        long done = Volatile.Read(ref _done);
        double seconds = _clock.GetElapsedTime(_lookedAt, now).TotalSeconds;
        if (done < _lookedDone)
        {
            // The work began again, as in a second pass.
            (_lookedAt, _lookedDone) = (now, done);
        }
        else if (done > _lookedDone && seconds >= (done == Total && double.IsNaN(_rate) ? 0.02 : 0.2))
        {
            // Short work has a rate only at its end. Only when the count has moved, so that slow steps do not make the rate swing.
            double latest = (done - _lookedDone) / seconds;
            double keep = double.IsNaN(_rate) ? 0 : Math.Exp(-seconds / RateSeconds);
            _rate = (keep == 0 ? 0 : keep * _rate) + ((1 - keep) * latest);
            (_lookedAt, _lookedDone) = (now, done);
        }

        TimeSpan? left = Total > 0 && _rate > 0 ? TimeSpan.FromSeconds(Math.Clamp((Total - done) / _rate, 0, 1e9)) : null;
        return new ProgressState(
            done,
            Total > 0 ? Math.Clamp((double)done / Total, 0, 1) : double.NaN,
            _rate,
            BitConverter.Int64BitsToDouble(Volatile.Read(ref _loss)),
            _clock.GetElapsedTime(_start, now),
            left);
    }

    /// <summary>The state as a plain line without control characters.</summary>
    public string PlainLine(in ProgressState state)
    {
        List<string> parts = [];
        if (double.IsNaN(state.Fraction))
        {
            parts.Add($"{Unit.Amount(state.Done)}{(Unit.IsBytes ? "" : " " + Unit.Name)}");
        }
        else
        {
            string amount = $"{Unit.Amount(state.Done)} of {Unit.Amount(Total)}{(Unit.IsBytes ? "" : " " + Unit.Name)}";
            parts.Add($"{Percent(state.Fraction)} ({amount})");
        }

        if (!double.IsNaN(state.Rate))
        {
            parts.Add(Unit.Rate(state.Rate));
        }

        if (!double.IsNaN(state.Loss))
        {
            parts.Add(LossText(state.Loss));
        }

        parts.Add(Duration(state.Elapsed) + " elapsed");
        if (state.Left is { } left && state.Fraction < 1)
        {
            parts.Add(Duration(left) + " left");
        }

        return $"{Description}: {string.Join(", ", parts)}";
    }

    public static string Percent(double fraction) =>
        (Math.Floor(fraction * 1000) / 10).ToString("0.0", CultureInfo.InvariantCulture) + "%"; // rounded down: 100% means done

    public static string LossText(double loss) => "loss " + loss.ToString("0.0000", CultureInfo.InvariantCulture);

    public static string Duration(TimeSpan time) => time.TotalHours >= 1
        ? string.Create(CultureInfo.InvariantCulture, $"{(long)time.TotalHours}:{time.Minutes:00}:{time.Seconds:00}")
        : string.Create(CultureInfo.InvariantCulture, $"{time.Minutes}:{time.Seconds:00}");
}

/// <summary>What a progress display shows at one moment.</summary>
/// <param name="Done">Units done.</param>
/// <param name="Fraction">The part done, 0 to 1; NaN when the total is unknown.</param>
/// <param name="Rate">Units per second over the last seconds; NaN before the first have passed.</param>
/// <param name="Loss">The loss reported last; NaN for none.</param>
/// <param name="Elapsed">Time since the start.</param>
/// <param name="Left">Time left at that rate; null when it cannot be told.</param>
internal readonly record struct ProgressState(long Done, double Fraction, double Rate, double Loss, TimeSpan Elapsed, TimeSpan? Left);
