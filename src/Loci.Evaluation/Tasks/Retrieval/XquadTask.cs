using Loci.Evaluation.Tasks.Files;

namespace Loci.Evaluation.Tasks.Retrieval;

/// <summary>The English part of XQuAD: 1,190 questions about 240 paragraphs of SQuAD's development set; it ships with Loci.</summary>
internal sealed class XquadTask : RetrievalTask
{
    private const string Resource = "xquad.en.json.gz";

    public override string Name => "xquad";

    public override string Title => "XQuAD (English)";

    public override string Description => "Which words of a paragraph of Wikipedia answer a question about it? A part of SQuAD that ships with Loci.";

    public override string Source => "Artetxe et al., 2019, arXiv 1910.11856, github.com/google-deepmind/xquad; scored as squad";

    protected override IEnumerable<RetrievalItem> Items(TaskOptions options) =>
        options.DataPath is null ? Shipped() : TaskFiles.Rows(this, TaskFiles.Find(this, options, ["xquad.en.json"])).SelectMany(QuestionRows.Read);

    private IEnumerable<RetrievalItem> Shipped()
    {
        using var reader = TaskFiles.OpenResource(Resource);
        foreach (var item in TaskFiles.Rows(this, reader, Resource).SelectMany(QuestionRows.Read))
        {
            yield return item;
        }
    }
}
