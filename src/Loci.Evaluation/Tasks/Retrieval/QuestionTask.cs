using Loci.Evaluation.Tasks.Files;

namespace Loci.Evaluation.Tasks.Retrieval;

/// <summary>A task of questions about passages.</summary>
internal abstract class QuestionTask : RetrievalTask
{
    protected const string Rows = "or rows with context, question and answers as JSON lines";

    /// <summary>The names of its files in a folder.</summary>
    protected abstract IReadOnlyList<string> FileNames { get; }

    protected override IEnumerable<RetrievalItem> Items(TaskOptions options) => TaskFiles.Rows(this, TaskFiles.Find(this, options, FileNames)).SelectMany(QuestionRows.Read);
}
