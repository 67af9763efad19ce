using Loci.Evaluation.Tasks.Files;

namespace Loci.Evaluation.Tasks.MultipleChoice;

/// <summary>Social IQa (Sap et al., 2019, arXiv 1904.09728).</summary>
internal sealed class SiqaTask : ChoiceTask
{
    public override string Name => "siqa";

    public override string Title => "Social IQa";

    public override string Description => "Why do people do what they do, and what comes of it, of three answers?";

    public override string Source => $"Sap et al., 2019, arXiv 1904.09728; asked as in {Harness}, social_iqa";

    public override string DataSource =>
        "dev.jsonl (context, question, answerA, answerB, answerC) and dev-labels.lst beside it from allenai.org/data/socialiqa, or a copy with the fields context, question, options and answer";

    protected override IReadOnlyList<string> FileNames => ["dev.jsonl", "siqa_dev_3choice.jsonl"];

    protected override IEnumerable<ChoiceQuestion> Questions(string path) => QuestionsWithLabels(path);

    protected override ChoiceQuestion Question(TaskRow row, string? label)
    {
        var context = $"Q: {row.Text("context")} {row.Text("question")}\nA:";
        if (!row.Has("options"))
        {
            return ChoiceQuestion.After(
                context, [row.Text("answerA"), row.Text("answerB"), row.Text("answerC")], Gold(row, label ?? (row.Has("label") ? row.Text("label") : null), 1));
        }

        var options = row.Texts("options").ToList();
        var gold = options.IndexOf(row.Text("answer"));
        return gold >= 0 ? ChoiceQuestion.After(context, options, gold) : throw row.Wrong("has an answer that is not among its options");
    }
}
