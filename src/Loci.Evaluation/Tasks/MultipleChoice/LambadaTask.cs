using Loci.Evaluation.Tasks.Files;

namespace Loci.Evaluation.Tasks.MultipleChoice;

/// <summary>LAMBADA (Paperno et al., 2016, arXiv 1606.06031) in OpenAI's form: the last word of a passage.</summary>
internal sealed class LambadaTask : EvaluationTask
{
    private static readonly TaskMetric AccuracyMetric = new("acc", "Accuracy");
    private static readonly TaskMetric PerplexityMetric = new("perplexity", "Perplexity", "", HigherIsBetter: false, MetricKind.ExponentialOfMean);

    public override string Group => "commonsense";

    public override string Name => "lambada";

    public override string Title => "LAMBADA";

    public override string Description => "What is the last word of a passage that can only be guessed from the whole of it? Right if every token of it is the most likely one.";

    public override string Source => "Paperno et al., 2016, arXiv 1606.06031; asked as in github.com/EleutherAI/lm-evaluation-harness, lambada_openai";

    public override string DataSource => "OpenAI's lambada_test.jsonl (text; 5,153 rows)";

    public override IReadOnlyList<TaskMetric> Metrics { get; } = [AccuracyMetric, PerplexityMetric];

    public override IEnumerable<EvaluationExample> Load(IEvaluationModel model, TaskOptions options)
    {
        ArgumentNullException.ThrowIfNull(options);
        var path = TaskFiles.Find(this, options, ["lambada_test.jsonl", "lambada_test_openai.jsonl", "lambada_test_en.jsonl"]);
        return TaskFiles.Limit(TaskFiles.Rows(this, path), options).Select(Read);
    }

    private static Example Read(TaskRow row)
    {
        var text = row.Text("text").TrimEnd();
        var space = text.LastIndexOf(' ');
        return space >= 0 ? new Example(text[..space], text[space..]) : throw row.Wrong("has no last word after a space");
    }

    private sealed class Example(string context, string word) : EvaluationExample
    {
        public override IReadOnlyList<EvaluationRequest> Requests { get; } = [new LogLikelihoodRequest(context, word)];

        public override IReadOnlyDictionary<string, ExampleValue> Score(IReadOnlyList<EvaluationResponse> responses)
        {
            var likelihood = (LogLikelihood)responses[0];
            return new Dictionary<string, ExampleValue>
            {
                [AccuracyMetric.Name] = new(likelihood.IsGreedy ? 1 : 0),
                [PerplexityMetric.Name] = new(-likelihood.LogProbability),
            };
        }
    }
}
