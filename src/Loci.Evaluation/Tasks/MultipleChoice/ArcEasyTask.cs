namespace Loci.Evaluation.Tasks.MultipleChoice;

/// <summary>The easy questions of ARC.</summary>
internal sealed class ArcEasyTask : ArcTask
{
    public override string Name => "arc-easy";

    public override string Title => "ARC, easy";

    public override string Description => "Questions of school science with three to five answers, those that simple methods can answer.";

    public override string DataSource => $"ARC-Easy-Test.jsonl (question, answerKey) from allenai.org/data/arc, or {Foundry}";

    protected override IReadOnlyList<string> FileNames => ["ARC-Easy-Test.jsonl", "arc_easy.jsonl"];
}
