using System.Globalization;
using System.Text.Json;

namespace Loci.Evaluation.Tasks.Files;

/// <summary>One row of a task's data: a JSON object and where it stands.</summary>
/// <param name="Task">The task that reads it.</param>
/// <param name="Where">The file and line, for messages.</param>
/// <param name="Json">The object.</param>
internal readonly record struct TaskRow(EvaluationTask Task, string Where, JsonElement Json)
{
    /// <summary>Whether a field is there and not null.</summary>
    public bool Has(string field) => Find(field) is not null;

    /// <summary>A field that is there and not null.</summary>
    public JsonElement? Find(string field) =>
        Json.ValueKind == JsonValueKind.Object && Json.TryGetProperty(field, out var value) && value.ValueKind != JsonValueKind.Null ? value : null;

    /// <summary>A text field; a number or truth value as it is written.</summary>
    /// <exception cref="LociException">It is not there.</exception>
    public string Text(string field) => Find(field) switch
    {
        { ValueKind: JsonValueKind.String } value => value.GetString()!,
        { ValueKind: JsonValueKind.Number or JsonValueKind.True or JsonValueKind.False } value => value.GetRawText(),
        _ => throw Wrong($"has no text in the field '{field}'"),
    };

    /// <summary>A list of texts.</summary>
    /// <exception cref="LociException">It is not there.</exception>
    public IReadOnlyList<string> Texts(string field)
    {
        if (Find(field) is not { ValueKind: JsonValueKind.Array } list)
        {
            throw Wrong($"has no list of texts in the field '{field}'");
        }

        var texts = new List<string>(list.GetArrayLength());
        foreach (var item in list.EnumerateArray())
        {
            texts.Add(item.ValueKind == JsonValueKind.String ? item.GetString()! : throw Wrong($"has something other than text in the list '{field}'"));
        }

        return texts;
    }

    /// <summary>A whole number, written as a number or as text.</summary>
    /// <exception cref="LociException">It is not there.</exception>
    public int Integer(string field) => Whole(Text(field)) ?? throw Wrong($"has no whole number in the field '{field}'");

    /// <summary>
    /// The whole number that a text is, also with zeros behind a point, as tables with gaps are written (<c>1.0</c>); null for another
    /// text.
    /// </summary>
    public static int? Whole(string text) =>
        decimal.TryParse(text, NumberStyles.Float, CultureInfo.InvariantCulture, out var value) && value == decimal.Truncate(value) && decimal.Abs(value) <= int.MaxValue
            ? (int)value
            : null;

    /// <summary>An object inside this row, as a row.</summary>
    public TaskRow Inside(JsonElement json) => this with { Json = json };

    /// <summary>The failure to read this row.</summary>
    /// <param name="what">What is wrong with it, after "FILE, line N".</param>
    public LociException Wrong(string what) => new($"{Where} {what}: the task {Task.Name} reads {TaskFiles.Reads(Task)}.");
}
