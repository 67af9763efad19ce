namespace Loci.Evaluation.Tasks.Retrieval;

/// <summary>TriviaQA: trivia questions and passages that hold their answers.</summary>
internal sealed class TriviaQaTask : QuestionTask
{
    public override string Name => "triviaqa";

    public override string Title => "TriviaQA";

    public override string Description => "What answers a trivia question, according to a passage?";

    public override string Source => $"Joshi et al., 2017, arXiv 1705.03551, in the form of {Papers}";

    public override string DataSource =>
        $"huggingface.co/datasets/hazyresearch/based_triviaqa (context, question, orig_question, answers), part validation, saved with to_json, {Rows}, or without passages the file triviaqa_sm_sub.jsonl of github.com/mosaicml/llm-foundry (context, answer, aliases)";

    protected override bool LeavesOutShort => false;

    protected override IReadOnlyList<string> FileNames => ["triviaqa.jsonl", "based_triviaqa.jsonl", "triviaqa_sm_sub.jsonl", "validation.jsonl"];
}
