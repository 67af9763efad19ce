namespace Loci.Evaluation.Tasks.MultipleChoice;

/// <summary>The hard questions of ARC.</summary>
internal sealed class ArcChallengeTask : ArcTask
{
    public override string Name => "arc-challenge";

    public override string Title => "ARC, challenge";

    public override string Description => "Questions of school science with three to five answers, those that retrieval and word statistics get wrong.";

    public override string DataSource => $"ARC-Challenge-Test.jsonl (question, answerKey) from allenai.org/data/arc, or {Foundry}";

    protected override IReadOnlyList<string> FileNames => ["ARC-Challenge-Test.jsonl", "arc_challenge.jsonl"];
}
