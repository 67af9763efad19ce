using System.Text.Json;
using Loci.Evaluation.Tasks.Files;

namespace Loci.Evaluation.Tasks.MultipleChoice;

/// <summary>The AI2 Reasoning Challenge (Clark et al., 2018, arXiv 1803.05457).</summary>
internal abstract class ArcTask : ChoiceTask
{
    public override string Source => $"Clark et al., 2018, arXiv 1803.05457; asked as in {Harness}, {Name.Replace('-', '_')}";

    protected override bool IsNormalized => true;

    protected override ChoiceQuestion Question(TaskRow row, string? label)
    {
        if (FoundryQuestion(row, query => query + "\nAnswer:") is { } question)
        {
            return question;
        }

        // As published the choices stand inside the question, one object each; in other copies beside it, as two lists.
        var published = row.Find("question") is { ValueKind: JsonValueKind.Object } inside ? row.Inside(inside) : (TaskRow?)null;
        var (stem, texts, labels) = published is { } part
            ? (part.Text("stem"), Choices(part, "text"), Choices(part, "label"))
            : (row.Text("question"), Lists(row, "text"), Lists(row, "label"));
        var gold = row.Text("answerKey");
        return ChoiceQuestion.After($"Question: {stem}\nAnswer:", texts, labels.Contains(gold) ? labels.IndexOf(gold) : throw row.Wrong($"has the answer '{gold}', which is not among its choices"));
    }

    private static List<string> Choices(TaskRow row, string field) =>
        row.Find("choices") is { ValueKind: JsonValueKind.Array } list ? [.. list.EnumerateArray().Select(choice => row.Inside(choice).Text(field))] : throw row.Wrong("has no list of choices");

    private static List<string> Lists(TaskRow row, string field) => row.Find("choices") is { } choices ? [.. row.Inside(choices).Texts(field)] : throw row.Wrong("has no choices");
}
