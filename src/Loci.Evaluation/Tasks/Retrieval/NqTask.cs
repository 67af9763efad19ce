namespace Loci.Evaluation.Tasks.Retrieval;

/// <summary>Natural Questions: what people asked a search engine, and passages of Wikipedia.</summary>
internal sealed class NqTask : QuestionTask
{
    public override string Name => "nq";

    public override string Title => "Natural Questions";

    public override string Description => "What answers a question that someone asked a search engine, according to a passage of Wikipedia?";

    public override string Source => $"Kwiatkowski et al., 2019, and Lee et al., 2019, arXiv 1906.00300, in the form of {Papers}";

    public override string DataSource =>
        $"huggingface.co/datasets/hazyresearch/based_nq_2048 (context, question, orig_question, answers), part validation, saved with to_json, {Rows}, rows with ctxs as the retriever DPR writes them, or without passages NQ-open.dev.jsonl from github.com/google-research-datasets/natural-questions";

    protected override IReadOnlyList<string> FileNames => ["nq.jsonl", "based_nq_2048.jsonl", "based_nq_1024.jsonl", "based_nq_512.jsonl", "NQ-open.dev.jsonl", "validation.jsonl"];
}
