using Loci.Evaluation.Tasks.Files;

namespace Loci.Evaluation.Tasks.MultipleChoice;

/// <summary>A task of choosing the likeliest of several texts, asked as the lm-evaluation-harness asks it, without examples before.</summary>
internal abstract class ChoiceTask : EvaluationTask
{
    protected const string Harness = "github.com/EleutherAI/lm-evaluation-harness";
    protected const string Foundry = "the file of github.com/mosaicml/llm-foundry (query, choices, gold)";

    internal static readonly TaskMetric Accuracy = new("acc", "Accuracy");
    internal static readonly TaskMetric NormalizedAccuracy = new("acc_norm", "Accuracy, normalised by length");

    public override string Group => "commonsense";

    public override IReadOnlyList<TaskMetric> Metrics => IsNormalized ? [Accuracy, NormalizedAccuracy] : [Accuracy];

    /// <summary>Whether the harness reports the accuracy by length as well.</summary>
    protected virtual bool IsNormalized => false;

    /// <summary>The names of its files in a folder.</summary>
    protected abstract IReadOnlyList<string> FileNames { get; }

    public override IEnumerable<EvaluationExample> Load(IEvaluationModel model, TaskOptions options)
    {
        ArgumentNullException.ThrowIfNull(options);
        var path = TaskFiles.Find(this, options, FileNames);
        return TaskFiles.Limit(Questions(path), options).Select(question => new ChoiceExample(question, IsNormalized));
    }

    /// <summary>The questions of a file.</summary>
    protected virtual IEnumerable<ChoiceQuestion> Questions(string path) => TaskFiles.Rows(this, path).Select(row => Check(row, Question(row, null)));

    /// <summary>The question of a row.</summary>
    /// <param name="row">The row.</param>
    /// <param name="label">Its line of the file with labels beside it; null where there is none.</param>
    protected abstract ChoiceQuestion Question(TaskRow row, string? label);

    /// <summary>The questions of a file whose labels may stand in another: <c>NAME-labels.lst</c> beside <c>NAME.jsonl</c>.</summary>
    protected IEnumerable<ChoiceQuestion> QuestionsWithLabels(string path)
    {
        var labelsPath = LabelsPath(path);
        if (labelsPath is null)
        {
            foreach (var row in TaskFiles.Rows(this, path))
            {
                yield return Check(row, Question(row, null));
            }

            yield break;
        }

        using var labels = TaskFiles.Lines(labelsPath).Where(line => line.Length > 0).GetEnumerator();
        foreach (var row in TaskFiles.Rows(this, path))
        {
            var label = labels.MoveNext() ? labels.Current.Trim() : throw row.Wrong($"has no line in {labelsPath}");
            yield return Check(row, Question(row, label));
        }

        if (labels.MoveNext())
        {
            throw new LociException($"{labelsPath} has more lines than {path} has questions: take both files from the same set.");
        }
    }

    /// <summary>A question in the form of llm-foundry; null for another form.</summary>
    /// <param name="row">The row.</param>
    /// <param name="context">Makes the context of the query.</param>
    protected static ChoiceQuestion? FoundryQuestion(TaskRow row, Func<string, string> context) =>
        row.Has("query") ? ChoiceQuestion.After(context(row.Text("query")), row.Texts("choices"), Gold(row, row.Text("gold"), 0)) : null;

    /// <summary>The index that a label means.</summary>
    /// <param name="row">The row, for messages.</param>
    /// <param name="label">The label; null where there is none.</param>
    /// <param name="first">The label of the first choice.</param>
    protected static int Gold(TaskRow row, string? label, int first)
    {
        const string Unpublished =
            "labels of test sets are not published, so take the validation set, with its labels in the rows or in NAME-labels.lst beside NAME.jsonl";
        if (string.IsNullOrEmpty(label))
        {
            throw row.Wrong($"has no label; {Unpublished}");
        }

        var value = TaskRow.Whole(label) ?? throw row.Wrong($"has the label '{label}', which is not a whole number");
        return value >= 0 ? value - first : throw row.Wrong($"has the label {value}, which stands for none; {Unpublished}");
    }

    /// <summary>A question whose label is the index of one of its choices, none of them empty.</summary>
    protected static ChoiceQuestion Check(TaskRow row, ChoiceQuestion question)
    {
        if (question.Gold < 0 || question.Gold >= question.Choices.Count)
        {
            throw row.Wrong($"has a label for choice {question.Gold + 1} of {question.Choices.Count}");
        }

        return question.Choices.All(choice => choice.Length > 0) ? question : throw row.Wrong("has an empty choice");
    }

    private static string? LabelsPath(string path)
    {
        var name = path.EndsWith(".gz", StringComparison.Ordinal) ? path[..^3] : path;
        var labels = Path.ChangeExtension(name, null) + "-labels.lst";
        return File.Exists(labels) ? labels : File.Exists(labels + ".gz") ? labels + ".gz" : null;
    }
}
