namespace Loci.Evaluation.Tasks.Retrieval;

/// <summary>SQuAD 1.1: questions about paragraphs of Wikipedia.</summary>
internal sealed class SquadTask : QuestionTask
{
    public override string Name => "squad";

    public override string Title => "SQuAD";

    public override string Description => "Which words of a paragraph of Wikipedia answer a question about it?";

    public override string Source => $"Rajpurkar et al., 2016, arXiv 1606.05250, in the form of {Papers}";

    public override string DataSource =>
        $"the sentences to complete of huggingface.co/datasets/hazyresearch/based-squad (text, value), part validation, saved with to_json, or dev-v1.1.json from rajpurkar.github.io/SQuAD-explorer, {Rows}";

    protected override IReadOnlyList<string> FileNames => ["squad.jsonl", "based-squad.jsonl", "dev-v1.1.json", "validation.jsonl"];
}
