using System.Globalization;

namespace Loci.Cli.Terminal;

/// <summary>What a progress display counts.</summary>
/// <param name="Name">The plural, as in <c>tokens</c>.</param>
/// <param name="IsBytes">Whether amounts are shown in kB, MB and GB.</param>
internal sealed record ProgressUnit(string Name, bool IsBytes = false)
{
    public static ProgressUnit Tokens { get; } = new("tokens");

    public static ProgressUnit Steps { get; } = new("steps");

    public static ProgressUnit Bytes { get; } = new("bytes", IsBytes: true);

    /// <summary>An amount: <c>12,345</c>, or <c>12.3 MB</c>.</summary>
    public string Amount(double amount) => IsBytes ? Size(amount) : Count(amount);

    /// <summary>A rate: <c>4,512 tokens/s</c>, or <c>12.3 MB/s</c>.</summary>
    public string Rate(double perSecond) => IsBytes ? Size(perSecond) + "/s" : $"{perSecond.ToString(perSecond < 9.95 ? "0.0" : "#,0", CultureInfo.InvariantCulture)} {Name}/s";

    private static string Count(double amount) => amount.ToString("#,0", CultureInfo.InvariantCulture);

    private static string Size(double bytes) => bytes switch
    {
        >= 1e9 => (bytes / 1e9).ToString("0.0", CultureInfo.InvariantCulture) + " GB",
        >= 1e6 => (bytes / 1e6).ToString("0.0", CultureInfo.InvariantCulture) + " MB",
        >= 1e3 => (bytes / 1e3).ToString("0.0", CultureInfo.InvariantCulture) + " kB",
        _ => bytes.ToString("0", CultureInfo.InvariantCulture) + " B",
    };
}
