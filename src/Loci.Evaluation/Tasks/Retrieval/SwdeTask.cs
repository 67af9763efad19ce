namespace Loci.Evaluation.Tasks.Retrieval;

/// <summary>SWDE: attributes of films and universities from web pages.</summary>
internal sealed class SwdeTask : KeyValueTask
{
    private const string Summary = "Summary of information above...";

    public override string Name => "swde";

    public override string Title => "SWDE";

    public override string Description => "What is an attribute of the film or university that a web page is about?";

    public override string Source => $"Lockard et al., 2019, in the form of {Papers}";

    public override string DataSource => "rows of text, key and value as JSON lines: huggingface.co/datasets/hazyresearch/based-swde-v2, part validation, saved with to_json";

    protected override IReadOnlyList<string> FileNames => ["swde.jsonl", "based-swde-v2.jsonl", "validation.jsonl"];

    protected override bool IsPage => true;

    /// <summary>Without the summary that rows have at their end.</summary>
    protected override string Document(string text)
    {
        var end = text.IndexOf(Summary, StringComparison.Ordinal);
        return end >= 0 ? text[..end] : text;
    }
}
