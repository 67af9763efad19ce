using Loci.Evaluation.Tasks.Files;

namespace Loci.Evaluation.Tasks.MultipleChoice;

/// <summary>PIQA (Bisk et al., 2019, arXiv 1911.11641).</summary>
internal sealed class PiqaTask : ChoiceTask
{
    public override string Name => "piqa";

    public override string Title => "PIQA";

    public override string Description => "Which of two ways to reach an everyday goal works?";

    public override string Source => $"Bisk et al., 2019, arXiv 1911.11641; asked as in {Harness}, piqa";

    public override string DataSource => $"PIQA's valid.jsonl (goal, sol1, sol2) and valid-labels.lst beside it from yonatanbisk.com/piqa, or {Foundry}";

    protected override bool IsNormalized => true;

    protected override IReadOnlyList<string> FileNames => ["valid.jsonl", "piqa.jsonl", "piqa_official_valid.jsonl"];

    protected override IEnumerable<ChoiceQuestion> Questions(string path) => QuestionsWithLabels(path);

    protected override ChoiceQuestion Question(TaskRow row, string? label) =>
        FoundryQuestion(row, query => query.TrimEnd('\n') + "\nAnswer:")
        ?? ChoiceQuestion.After(
            $"Question: {row.Text("goal")}\nAnswer:", [row.Text("sol1"), row.Text("sol2")], Gold(row, label ?? (row.Has("label") ? row.Text("label") : null), 0));
}
