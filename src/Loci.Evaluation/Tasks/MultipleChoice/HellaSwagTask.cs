using System.Text.RegularExpressions;
using Loci.Evaluation.Tasks.Files;

namespace Loci.Evaluation.Tasks.MultipleChoice;

/// <summary>HellaSwag (Zellers et al., 2019, arXiv 1905.07830).</summary>
internal sealed partial class HellaSwagTask : ChoiceTask
{
    private const int TextLines = 6;

    public override string Name => "hellaswag";

    public override string Title => "HellaSwag";

    public override string Description => "How does a scene or a how-to go on, of four ways?";

    public override string Source => $"Zellers et al., 2019, arXiv 1905.07830; asked as in {Harness}, hellaswag";

    public override string DataSource =>
        "hellaswag_val.jsonl (activity_label, ctx_a, ctx_b, endings, label) from github.com/rowanz/hellaswag, or hellaswag_val_full.txt (six lines a question) from github.com/klosax/hellaswag_text_data";

    protected override bool IsNormalized => true;

    protected override IReadOnlyList<string> FileNames => ["hellaswag_val.jsonl", "hellaswag_val_full.txt"];

    /// <summary>Without the marks that the how-to part of the data has.</summary>
    internal static string Clean(string text) => Brackets().Replace(text.Trim().Replace(" [title]", ". ", StringComparison.Ordinal), "").Replace("  ", " ", StringComparison.Ordinal);

    protected override IEnumerable<ChoiceQuestion> Questions(string path)
    {
        var first = TaskFiles.Lines(path).FirstOrDefault(line => !string.IsNullOrWhiteSpace(line));
        return first is null || first.TrimStart() is ['{' or '[', ..] ? base.Questions(path) : TextQuestions(path);
    }

    protected override ChoiceQuestion Question(TaskRow row, string? label)
    {
        var context = Clean($"{row.Text("activity_label")}: {row.Text("ctx_a")} {Capitalize(row.Text("ctx_b"))}");
        IReadOnlyList<(string, string)> slices = row.Has("split_type") ? [("domain", row.Text("split_type"))] : [];
        return ChoiceQuestion.After(context, [.. row.Texts("endings").Select(Clean)], Gold(row, row.Has("label") ? row.Text("label") : null, 0), slices);
    }

    /// <summary>Six lines a question: the context, the index of the right ending, four endings.</summary>
    private IEnumerable<ChoiceQuestion> TextQuestions(string path)
    {
        var number = 1;
        foreach (var lines in TaskFiles.Lines(path).Chunk(TextLines))
        {
            if (lines.Length != TextLines || lines[1] is not (['0'] or ['1'] or ['2'] or ['3']) || lines.Skip(2).Any(string.IsNullOrWhiteSpace))
            {
                throw new LociException($"{path}, line {number}, does not begin a question of {TextLines} lines: the task {Name} reads {DataSource}.");
            }

            yield return ChoiceQuestion.After(Clean(CapitalizeEnd(lines[0])), [.. lines.Skip(2).Select(Clean)], lines[1][0] - '0');
            number += TextLines;
        }
    }

    /// <summary>The first letter as a capital and the others small.</summary>
    private static string Capitalize(string text) => text.Length == 0 ? text : char.ToUpperInvariant(text[0]) + text[1..].ToLowerInvariant();

    /// <summary>The text form does not tell where the begun sentence at the end starts: after the last sentence, where that is not the end.</summary>
    private static string CapitalizeEnd(string context)
    {
        var end = BegunSentence().Match(context);
        return end.Success ? context[..end.Index] + Capitalize(end.Value) : context;
    }

    [GeneratedRegex(@"\[.*?\]")]
    private static partial Regex Brackets();

    [GeneratedRegex(@"(?<=[.!?] )[a-z][^.!?]*$")]
    private static partial Regex BegunSentence();
}
