using System.Globalization;
using Loci.Evaluation.Tasks.Files;

namespace Loci.Evaluation.Tasks.MultipleChoice;

/// <summary>BoolQ (Clark et al., 2019, arXiv 1905.10044).</summary>
internal sealed class BoolQTask : ChoiceTask
{
    private const string PassageMark = "Passage: ";
    private const string QuestionMark = "\nQuestion: ";

    public override string Name => "boolq";

    public override string Title => "BoolQ";

    public override string Description => "Is the answer to a question about a passage yes or no?";

    public override string Source => $"Clark et al., 2019, arXiv 1905.10044; asked as in {Harness}, boolq";

    public override string DataSource =>
        $"dev.jsonl (question, title, answer, passage) from github.com/google-research-datasets/boolean-questions, SuperGLUE's val.jsonl (question, passage, label), or {Foundry}";

    protected override IReadOnlyList<string> FileNames => ["dev.jsonl", "val.jsonl", "boolq.jsonl"];

    protected override ChoiceQuestion Question(TaskRow row, string? label)
    {
        if (FoundryQuestion(row, query => Context(row, query)) is { } question)
        {
            return question;
        }

        // SuperGLUE, which the harness reads, puts the title before the passage.
        var passage = row.Has("title") ? $"{row.Text("title")} -- {row.Text("passage")}" : row.Text("passage");
        var answer = row.Text(row.Has("answer") ? "answer" : "label");
        return Ask(passage, row.Text("question"), (TaskRow.Whole(answer)?.ToString(CultureInfo.InvariantCulture) ?? answer) switch
        {
            "true" or "1" => 1,
            "false" or "0" => 0,
            _ => throw row.Wrong($"has the answer '{answer}', which is neither true nor false"),
        });
    }

    private static ChoiceQuestion Ask(string passage, string question, int gold) => ChoiceQuestion.After($"{passage}\nQuestion: {question}?\nAnswer:", ["no", "yes"], gold);

    private static string Context(TaskRow row, string query)
    {
        var end = query.LastIndexOf(QuestionMark, StringComparison.Ordinal);
        return query.StartsWith(PassageMark, StringComparison.Ordinal) && end >= 0
            ? $"{query[PassageMark.Length..]}\nAnswer:"
            : throw row.Wrong("has a query without passage and question");
    }
}
