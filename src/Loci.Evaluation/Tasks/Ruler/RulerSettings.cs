using System.Globalization;

namespace Loci.Evaluation.Tasks.Ruler;

/// <summary>Reads the settings of generated tasks.</summary>
internal static class RulerSettings
{
    /// <summary>A whole number in a range.</summary>
    public static int Integer(TaskOptions options, string name, int otherwise, int least, int most)
    {
        if (!options.Settings.TryGetValue(name, out string? text))
        {
            return otherwise;
        }

        return int.TryParse(text, NumberStyles.None, CultureInfo.InvariantCulture, out int value) && value >= least && value <= most
            ? value
            : throw new LociException(ErrorKind.Usage, $"The setting {name} is '{text}'; use a whole number from {least} to {most}.");
    }

    /// <summary>A decimal number in a range.</summary>
    public static double Number(TaskOptions options, string name, double otherwise, double least, double most)
    {
        if (!options.Settings.TryGetValue(name, out string? text))
        {
            return otherwise;
        }

        return double.TryParse(text, NumberStyles.AllowDecimalPoint, CultureInfo.InvariantCulture, out double value) && value >= least && value <= most
            ? value
            : throw new LociException(ErrorKind.Usage, string.Create(CultureInfo.InvariantCulture, $"The setting {name} is '{text}'; use a number from {least} to {most}."));
    }

    /// <summary>One of the values of an enumeration, in lower case.</summary>
    public static T Choice<T>(TaskOptions options, string name, T otherwise) where T : struct, Enum
    {
        if (!options.Settings.TryGetValue(name, out string? text))
        {
            return otherwise;
        }

        foreach (T value in Enum.GetValues<T>())
        {
            if (Name(value) == text)
            {
                return value;
            }
        }

        throw new LociException(ErrorKind.Usage, $"The setting {name} is '{text}'; use {string.Join(", ", Enum.GetValues<T>().Select(Name))}.");

        static string Name(T value) => value.ToString().ToLowerInvariant();
    }
}
