using System.Globalization;
using System.IO.Compression;
using System.Text.RegularExpressions;
using Loci.Data;

namespace Loci.Evaluation.Tasks.Babi;

/// <summary>Reads the files of bAbI (Weston et al., 2015, arXiv 1502.05698) from a folder or a zip archive.</summary>
internal static partial class BabiFiles
{
    /// <summary>The number of tasks.</summary>
    public const int Tasks = 20;

    /// <summary>Where they can be had.</summary>
    public const string Source = "tasks_1-20_v1-2 of the bAbI project (research.fb.com/downloads/babi): the folder or the .zip with files such as en-10k/qa1_single-supporting-fact_test.txt";

    /// <summary>Reads the questions of a task.</summary>
    /// <param name="path">The folder or archive.</param>
    /// <param name="task">The task, from 1.</param>
    /// <param name="split"><c>test</c> or <c>train</c>.</param>
    /// <param name="set">The folder within, such as <c>en-10k</c>; null for that one where there is one, else any.</param>
    public static IReadOnlyList<BabiQuestion> Read(string path, int task, string split, string? set)
    {
        try
        {
            if (Directory.Exists(path))
            {
                string[] files = [.. Directory.EnumerateFiles(path, "qa*.txt", SearchOption.AllDirectories)];
                string file = Choose(path, files, file => Path.GetRelativePath(path, file), task, split, set);
                using FileStream stream = File.OpenRead(file);
                return Parse(stream, file);
            }

            if (!File.Exists(path))
            {
                throw MissingPath.Of(path, $"give {Source}");
            }

            using ZipArchive archive = ArchiveEntry.OpenZip(File.OpenRead(path));
            ZipArchiveEntry entry = Choose(path, archive.Entries.Where(entry => !SourceNames.IsHidden(entry.FullName)), entry => entry.FullName, task, split, set);
            using ExactStream content = new(ArchiveEntry.OpenFile(entry), entry.Length);
            return Parse(content, $"{path}/{entry.FullName}");
        }
        catch (Exception exception) when (ReadFailure.Is(exception))
        {
            throw ReadFailure.Of(path, exception);
        }
    }

    /// <summary>Reads questions from a file's text.</summary>
    public static IReadOnlyList<BabiQuestion> Parse(Stream stream, string name)
    {
        List<BabiQuestion> questions = [];
        List<string> facts = [];
        Dictionary<int, int> places = [];
        int previous = 0;
        int number = 0;
        using var reader = TextInput.OpenReader(stream, name);
        while (reader.ReadLine() is { } line)
        {
            number++;
            if (string.IsNullOrWhiteSpace(line))
            {
                continue;
            }

            int space = line.IndexOf(' ', StringComparison.Ordinal);
            if (space < 1 || !int.TryParse(line.AsSpan(0, space), NumberStyles.None, CultureInfo.InvariantCulture, out int id))
            {
                throw Bad("does not begin with a number and a space");
            }

            if (id == 1)
            {
                facts = [];
                places = [];
            }
            else if (id != previous + 1)
            {
                throw Bad($"has the number {id} after {previous}");
            }

            previous = id;
            string[] columns = line[(space + 1)..].Split('\t');
            if (columns.Length == 1)
            {
                places[id] = facts.Count;
                facts.Add(columns[0].Trim());
                continue;
            }

            string answer = columns[1].Trim();
            if (columns.Length > 3 || answer.Length == 0)
            {
                throw Bad("is a question without an answer and the numbers of its facts after tabs");
            }

            List<int> supporting = [];
            foreach (string text in columns.Length == 3 ? columns[2].Split(' ', StringSplitOptions.RemoveEmptyEntries) : [])
            {
                supporting.Add(int.TryParse(text, NumberStyles.None, CultureInfo.InvariantCulture, out int fact) && places.TryGetValue(fact, out int place)
                    ? place
                    : throw Bad($"says that its answer follows from '{text}', which is no fact before it"));
            }

            questions.Add(new BabiQuestion([.. facts], columns[0].Trim(), answer, supporting));
        }

        return questions.Count > 0 ? questions : throw new LociException($"{name} has no questions; give a file of bAbI, such as qa1_single-supporting-fact_test.txt.");

        LociException Bad(string what) => new($"Line {number} of {name} {what}; give a file of bAbI as it is published.");
    }

    private static T Choose<T>(string path, IEnumerable<T> files, Func<T, string> pathOf, int task, string split, string? set)
    {
        var found = files.Select(file => (File: file, Parts: pathOf(file).Replace('\\', '/').Split('/')))
            .Where(file => FileName().Match(file.Parts[^1]) is { Success: true } match && match.Groups[1].Value == task.ToString(CultureInfo.InvariantCulture) && match.Groups[2].Value == split)
            .OrderBy(file => string.Join('/', file.Parts), StringComparer.Ordinal)
            .ToArray();
        string wanted = set ?? "en-10k";
        foreach (var file in found)
        {
            if (file.Parts.Length > 1 && file.Parts[^2] == wanted)
            {
                return file.File;
            }
        }

        return found.Length > 0 && set is null
            ? found[0].File
            : throw new LociException(ErrorKind.NotFound, $"There is no file {(set is null ? "" : set + "/")}qa{task}_*_{split}.txt in {path}; give {Source}.");
    }

    [GeneratedRegex(@"^qa(\d+)_.*_(test|train)\.txt$", RegexOptions.CultureInvariant)]
    private static partial Regex FileName();
}
