using System.Globalization;
using System.IO.Compression;
using System.Text.Json;
using Loci.Data;

namespace Loci.Evaluation.Tasks.Files;

/// <summary>Finds and reads the files of tasks: JSON lines, a JSON array or one JSON document, told apart by their content, as they are or compressed with gzip.</summary>
internal static class TaskFiles
{
    /// <summary>The file of a task: the path itself, or in a folder the first of the known names that is there (with <c>.gz</c> or without).</summary>
    /// <exception cref="LociException">No path is given, or nothing is there.</exception>
    public static string Find(EvaluationTask task, TaskOptions options, IReadOnlyList<string> names)
    {
        if (options.DataPath is not { } path)
        {
            throw new LociException(ErrorKind.Usage, $"The task {task.Name} needs its data: give --data {task.Name}=PATH, a file or folder with {Reads(task)}.");
        }

        if (File.Exists(path))
        {
            return path;
        }

        if (!Directory.Exists(path))
        {
            throw MissingPath.Of(path, $"the task {task.Name} reads {Reads(task)}");
        }

        return names.SelectMany(name => new[] { Path.Combine(path, name), Path.Combine(path, name + ".gz") }).FirstOrDefault(File.Exists)
            ?? throw new LociException($"The folder {path} has none of the files {string.Join(", ", names)}: the task {task.Name} reads {Reads(task)}.");
    }

    /// <summary>The tokenizer of a model.</summary>
    /// <exception cref="LociException">It has none.</exception>
    public static Tokenizer Tokenizer(EvaluationTask task, IEvaluationModel model) =>
        model.Tokenizer ?? throw new LociException($"The task {task.Name} is text, and the model {model.Name} only knows token ids: give the model a tokenizer.");

    /// <summary>A whole number of at least a minimum from the settings; null where it is not given.</summary>
    /// <exception cref="LociException">It is not a whole number, or too small.</exception>
    public static int? Setting(EvaluationTask task, TaskOptions options, string name, int minimum)
    {
        if (!options.Settings.TryGetValue(name, out var text))
        {
            return null;
        }

        return int.TryParse(text, NumberStyles.AllowLeadingSign, CultureInfo.InvariantCulture, out var value) && value >= minimum
            ? value
            : throw new LociException(ErrorKind.Usage, $"The setting {name} of the task {task.Name} is '{text}': give a whole number of at least {minimum}.");
    }

    /// <summary>Whether a setting is <c>true</c>.</summary>
    /// <exception cref="LociException">It is neither <c>true</c> nor <c>false</c>.</exception>
    public static bool Switch(EvaluationTask task, TaskOptions options, string name)
    {
        if (!options.Settings.TryGetValue(name, out var text))
        {
            return false;
        }

        return bool.TryParse(text, out var value) ? value : throw new LociException(ErrorKind.Usage, $"The setting {name} of the task {task.Name} is '{text}': give true or false.");
    }

    /// <summary>The first examples, if only so many are wanted.</summary>
    /// <exception cref="LociException">Fewer than one is asked for.</exception>
    public static IEnumerable<T> Limit<T>(IEnumerable<T> items, TaskOptions options) => options.Samples switch
    {
        null => items,
        < 1 => throw new LociException($"{options.Samples} samples are too few: ask for at least 1."),
        int count => items.Take(count),
    };

    /// <summary>The lines of a text file.</summary>
    /// <exception cref="LociException">It cannot be read.</exception>
    public static IEnumerable<string> Lines(string path)
    {
        using var reader = Open(path);
        while (reader.ReadLine() is { } line)
        {
            yield return line;
        }
    }

    /// <summary>The rows of a file.</summary>
    /// <exception cref="LociException">It cannot be read, is not JSON or holds no row.</exception>
    public static IEnumerable<TaskRow> Rows(EvaluationTask task, string path)
    {
        using var reader = Open(path);
        foreach (var row in Rows(task, reader, path))
        {
            yield return row;
        }
    }

    /// <summary>The rows of what a reader reads.</summary>
    /// <param name="task">The task that reads them.</param>
    /// <param name="reader">The text.</param>
    /// <param name="name">What it is called in messages.</param>
    /// <exception cref="LociException">It cannot be read, is not JSON or holds no row.</exception>
    public static IEnumerable<TaskRow> Rows(EvaluationTask task, TextReader reader, string name)
    {
        var number = 0;
        var found = false;
        while (reader.ReadLine() is { } line)
        {
            number++;
            if (string.IsNullOrWhiteSpace(line))
            {
                continue;
            }

            if (!found && !IsObject(line))
            {
                // Not a row a line: the first line is the beginning of a document.
                foreach (var row in Document(task, line + "\n" + reader.ReadToEnd(), name))
                {
                    found = true;
                    yield return row;
                }

                break;
            }

            found = true;
            var json = Parse(line) ?? throw new LociException($"{name}, line {number}, is not JSON: the task {task.Name} reads {Reads(task)}.");
            yield return new TaskRow(task, $"{name}, line {number},", json);
        }

        if (!found)
        {
            throw new LociException($"{name} is empty: the task {task.Name} reads {Reads(task)}.");
        }
    }

    /// <summary>Opens a text file, compressed or not.</summary>
    /// <exception cref="LociException">It cannot be read; also while the reader reads.</exception>
    public static TextReader Open(string path)
    {
        try
        {
            return Open(File.OpenRead(path), path);
        }
        catch (Exception failure) when (ReadFailure.Is(failure))
        {
            throw ReadFailure.Of(path, failure);
        }
    }

    /// <summary>Opens a compressed text that ships in the assembly.</summary>
    public static TextReader OpenResource(string name)
    {
        var resource = typeof(TaskFiles).Assembly.GetManifestResourceStream(name) ?? throw new InvalidOperationException($"There is no resource {name}.");
        return Open(resource, name);
    }

    /// <summary>Opens the first entry of a zip archive that has one of the names, in whatever folder.</summary>
    /// <exception cref="LociException">The archive cannot be read, or has none of them.</exception>
    public static TextReader OpenEntry(EvaluationTask task, string path, IReadOnlyList<string> names)
    {
        try
        {
            using var archive = ArchiveEntry.OpenZip(File.OpenRead(path));
            var entry = names.Select(name => archive.Entries.FirstOrDefault(entry => entry.Name == name)).FirstOrDefault(entry => entry is not null)
                ?? throw new LociException($"The archive {path} has none of the files {string.Join(", ", names)}: the task {task.Name} reads {Reads(task)}.");
            var contents = new MemoryStream();
            using (ExactStream text = new(ArchiveEntry.OpenFile(entry), entry.Length))
            {
                text.CopyTo(contents);
            }

            contents.Position = 0;
            return Open(contents, $"{path}/{entry.FullName}");
        }
        catch (Exception failure) when (ReadFailure.Is(failure))
        {
            throw ReadFailure.Of(path, failure);
        }
    }

    /// <summary>What a task reads, for messages.</summary>
    public static string Reads(EvaluationTask task) => task.DataSource ?? "data in the form of what ships with Loci";

    private static IEnumerable<TaskRow> Document(EvaluationTask task, string text, string name)
    {
        var json = Parse(text) ?? throw new LociException($"{name} is neither JSON lines nor JSON: the task {task.Name} reads {Reads(task)}.");
        if (json.ValueKind != JsonValueKind.Array)
        {
            yield return new TaskRow(task, name, json);
            yield break;
        }

        var number = 0;
        foreach (var row in json.EnumerateArray())
        {
            yield return new TaskRow(task, $"{name}, row {++number},", row);
        }
    }

    private static TextReader Open(Stream stream, string name)
    {
        SourceStream source = new(stream);
        return TextInput.OpenReader(source.Head.StartsWith(GzipReader.Start) ? new GzipReader(source) : source, name);
    }

    private static bool IsObject(string line) => Parse(line) is { ValueKind: JsonValueKind.Object };

    private static JsonElement? Parse(string text)
    {
        try
        {
            using var document = JsonDocument.Parse(text);
            return document.RootElement.Clone();
        }
        catch (JsonException)
        {
            return null;
        }
    }
}
