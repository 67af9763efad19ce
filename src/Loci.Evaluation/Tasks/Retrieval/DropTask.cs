namespace Loci.Evaluation.Tasks.Retrieval;

/// <summary>DROP: questions that need counting, sorting and arithmetic over a paragraph.</summary>
internal sealed class DropTask : QuestionTask
{
    public override string Name => "drop";

    public override string Title => "DROP";

    public override string Description => "What answers a question about a paragraph, sometimes after counting or reckoning?";

    public override string Source => $"Dua et al., 2019, arXiv 1903.00161, in the form of {Papers}";

    public override string DataSource =>
        $"huggingface.co/datasets/hazyresearch/based_drop (context, question, orig_question, answers), part validation, saved with to_json, or drop_dataset_dev.json from allenai.org/data/drop, {Rows}";

    protected override bool LeavesOutShort => false;

    protected override IReadOnlyList<string> FileNames => ["drop.jsonl", "based_drop.jsonl", "drop_dataset_dev.json", "validation.jsonl"];
}
