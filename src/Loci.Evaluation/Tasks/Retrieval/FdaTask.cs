namespace Loci.Evaluation.Tasks.Retrieval;

/// <summary>FDA: attributes of medical devices from the agency's reports.</summary>
internal sealed class FdaTask : KeyValueTask
{
    public override string Name => "fda";

    public override string Title => "FDA";

    public override string Description => "What is an attribute of the medical device that a report of the Food and Drug Administration is about?";

    public override string Source => $"Arora et al., 2023, arXiv 2304.09433, in the form of {Papers}";

    public override string DataSource => "rows of text, key and value as JSON lines: huggingface.co/datasets/hazyresearch/based-fda, part validation, saved with to_json";

    protected override IReadOnlyList<string> FileNames => ["fda.jsonl", "based-fda.jsonl", "validation.jsonl"];
}
