using System.Globalization;

namespace Loci.Numerics;

/// <summary>Numbers of bytes for people, in the unit that shows them.</summary>
public static class ByteSize
{
    private static readonly string[] Units = ["B", "KiB", "MiB", "GiB", "TiB", "PiB"];

    /// <summary>A number of bytes to three digits: <c>640 B</c>, <c>9.77 KiB</c>, <c>34.1 MiB</c>.</summary>
    /// <param name="bytes">The bytes.</param>
    public static string Format(long bytes)
    {
        var (amount, unit) = ((double)bytes, 0);
        for (; amount >= 1023.5 && unit < Units.Length - 1; unit++)
        {
            amount /= 1024;
        }

        var digits = unit == 0 || amount >= 99.95 ? "#,0" : amount >= 9.995 ? "0.0" : "0.00";
        return $"{amount.ToString(digits, CultureInfo.InvariantCulture)} {Units[unit]}";
    }

    /// <summary>
    /// A number of bytes so that it can be told from another one in the same sentence: exact where three digits are the same.
    /// </summary>
    /// <param name="bytes">The bytes.</param>
    /// <param name="other">The other number.</param>
    public static string Format(long bytes, long other) =>
        bytes != other && Format(bytes) == Format(other) ? $"{bytes.ToString("#,0", CultureInfo.InvariantCulture)} B" : Format(bytes);
}
