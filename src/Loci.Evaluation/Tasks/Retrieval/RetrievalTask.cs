using Loci.Data;
using Loci.Evaluation.Tasks.Files;

namespace Loci.Evaluation.Tasks.Retrieval;

/// <summary>A task of finding something in a document and writing it down.</summary>
internal abstract class RetrievalTask : EvaluationTask
{
    protected const string Papers = "Arora et al., 2024, arXiv 2402.18668 and 2407.05483, github.com/HazyResearch/prefix-linear-attention";

    private const string ContextSetting = "context";
    private const string TwiceSetting = "twice";
    private const int MinimumContext = 2 * RetrievalPrompt.AnswerTokens;

    private static readonly int[] Lengths = [512, 1024, 2048, 4096, 8192, 16384];

    public override string Group => "retrieval";

    public override IReadOnlyList<string> SettingNames => [ContextSetting, TwiceSetting];

    public override IReadOnlyList<TaskMetric> Metrics =>
        ComparesWords
            ? [RetrievalExample.Contains, RetrievalExample.F1, RetrievalExample.ExactMatch, RetrievalExample.AnswerLoss]
            : [RetrievalExample.Contains, RetrievalExample.AnswerLoss];

    /// <summary>Whether the words of the answers are compared as well.</summary>
    protected virtual bool ComparesWords => true;

    /// <summary>Whether items are left out whose answer is a single character, where documents are cut around the answer: it cannot be found.</summary>
    protected virtual bool LeavesOutShort => true;

    public override IEnumerable<EvaluationExample> Load(IEvaluationModel model, TaskOptions options)
    {
        ArgumentNullException.ThrowIfNull(model);
        ArgumentNullException.ThrowIfNull(options);
        var tokenizer = TaskFiles.Tokenizer(this, model);
        var context = TaskFiles.Setting(this, options, ContextSetting, MinimumContext);
        var twice = TaskFiles.Switch(this, options, TwiceSetting);
        var items = Items(options);
        if (context is not null && LeavesOutShort)
        {
            items = items.Where(item => item.Form == PromptForm.Closed || item.Around.All(text => text.Length > 1));
        }

        return TaskFiles.Limit(items, options).Select(item => Example(tokenizer, item, context, twice));
    }

    /// <summary>Reads the items.</summary>
    /// <param name="options">Where.</param>
    protected abstract IEnumerable<RetrievalItem> Items(TaskOptions options);

    /// <summary>The name of the bucket of a length in tokens.</summary>
    internal static string Bucket(int tokens)
    {
        var from = 0;
        foreach (var to in Lengths)
        {
            if (tokens <= to)
            {
                return $"{from}-{to}";
            }

            from = to + 1;
        }

        return $"{from}+";
    }

    private RetrievalExample Example(Tokenizer tokenizer, RetrievalItem item, int? context, bool twice)
    {
        if (context is { } length && item.Form != PromptForm.Closed)
        {
            item = item with { Document = RetrievalPrompt.Cut(tokenizer, item.Document, [.. item.Around.Where(text => text.Length > 1)], length) };
        }

        if (twice && item.Introduction is null)
        {
            throw new LociException($"The data of the task {Name} does not say what to put before a document that is given twice: leave the setting {TwiceSetting} out.");
        }

        var prompt = RetrievalPrompt.Make(item, twice);
        return new RetrievalExample(prompt, item.Answers, ComparesWords, [.. item.Slices, ("tokens", Bucket(tokenizer.Encode(prompt).Length))]);
    }
}
