using System.Globalization;

namespace Loci.Evaluation.Tasks.Babi;

/// <summary>Reads the settings that the tasks of bAbI share.</summary>
internal static class BabiSettings
{
    /// <summary>The tasks in a list such as <c>1-5,7</c>.</summary>
    public static IReadOnlyList<int> TasksOf(TaskOptions options, string otherwise, int most)
    {
        string text = options.Settings.TryGetValue("tasks", out string? given) ? given : otherwise;
        SortedSet<int> tasks = [];
        foreach (string part in text.Split(','))
        {
            string[] ends = part.Trim().Split('-');
            if (ends.Length > 2
                || !int.TryParse(ends[0], NumberStyles.None, CultureInfo.InvariantCulture, out int first)
                || !int.TryParse(ends[^1], NumberStyles.None, CultureInfo.InvariantCulture, out int last)
                || first < 1 || last < first || last > most)
            {
                throw new LociException(ErrorKind.Usage, $"The setting tasks is '{text}'; use numbers from 1 to {most}, such as 1-5,7.");
            }

            tasks.UnionWith(Enumerable.Range(first, last - first + 1));
        }

        return [.. tasks];
    }

    /// <summary>Where the data is.</summary>
    public static string PathOf(TaskOptions options, string task) =>
        options.DataPath ?? throw new LociException(ErrorKind.Usage, $"The task {task} needs the files of bAbI; give the path of {BabiFiles.Source}.");

    /// <summary>The split that is asked for.</summary>
    public static string SplitOf(TaskOptions options) => !options.Settings.TryGetValue("split", out string? split) ? "test"
        : split is "test" or "train" ? split
        : throw new LociException(ErrorKind.Usage, $"The setting split is '{split}'; use test or train.");

    /// <summary>The folder that is asked for; null for none.</summary>
    public static string? SetOf(TaskOptions options) => options.Settings.TryGetValue("set", out string? set) ? set : null;
}
