using Loci.Evaluation.Tasks.Files;

namespace Loci.Evaluation.Tasks.Retrieval;

/// <summary>A task of documents with keys and values, in the form of the sets hazyresearch/based-*: text, key, value.</summary>
internal abstract class KeyValueTask : RetrievalTask
{
    protected override bool ComparesWords => false;

    /// <summary>The names of its files in a folder.</summary>
    protected abstract IReadOnlyList<string> FileNames { get; }

    protected override IEnumerable<RetrievalItem> Items(TaskOptions options) => TaskFiles.Rows(this, TaskFiles.Find(this, options, FileNames)).Select(Item);

    /// <summary>Whether white space around documents is left out.</summary>
    protected virtual bool IsPage => false;

    /// <summary>The document of a row's text.</summary>
    protected virtual string Document(string text) => text;

    private RetrievalItem Item(TaskRow row)
    {
        var (key, value) = (row.Text("key"), row.Text("value"));
        return key.Length > 0 && value.Length > 0
            ? new RetrievalItem
            {
                Form = PromptForm.KeyValue,
                Document = Document(row.Text("text")),
                Question = key,
                Introduction = key,
                Answers = [new GoldAnswer(value)],
                Around = [key, value],
                IsPage = IsPage,
            }
            : throw row.Wrong("has an empty key or value");
    }
}
