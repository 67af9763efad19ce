using Loci.Evaluation.Tasks.Metrics;

namespace Loci.Evaluation.Tasks.Retrieval;

/// <summary>Asks what the model writes to the end of the line, and how likely the right answer is.</summary>
/// <param name="prompt">The prompt.</param>
/// <param name="answers">The right answers.</param>
/// <param name="byWords">Whether the words of the answers are compared as well.</param>
/// <param name="slices">What results are taken apart by.</param>
internal sealed class RetrievalExample(string prompt, IReadOnlyList<GoldAnswer> answers, bool byWords, IReadOnlyList<(string Slice, string Value)> slices) : EvaluationExample
{
    private const int MaximumTokens = 48;

    public static readonly TaskMetric Contains = new("contains", "Answer contained");
    public static readonly TaskMetric F1 = new("f1", "F1");
    public static readonly TaskMetric ExactMatch = new("exact_match", "Exact match");
    public static readonly TaskMetric AnswerLoss = new("answer_loss", "Loss of the answer", "nats", HigherIsBetter: false);

    public override IReadOnlyList<EvaluationRequest> Requests { get; } =
        [new GenerationRequest(prompt, ["\n"], MaximumTokens), new LogLikelihoodRequest(prompt, " " + answers[0].Text)];

    public override IReadOnlyList<(string Slice, string Value)> Slices => slices;

    public override IReadOnlyDictionary<string, ExampleValue> Score(IReadOnlyList<EvaluationResponse> responses)
    {
        var written = ((Generation)responses[0]).Text;
        var likelihood = (LogLikelihood)responses[1];
        var tokens = Math.Max(1, likelihood.Tokens);
        var values = new Dictionary<string, ExampleValue>
        {
            [Contains.Name] = new(answers.Any(answer => answer.IsIn(written)) ? 1 : 0),
            [AnswerLoss.Name] = new(-likelihood.LogProbability / tokens, tokens),
        };
        if (byWords)
        {
            values[F1.Name] = new(answers.Max(answer => AnswerMetrics.F1(written, answer.Text)));
            values[ExactMatch.Name] = new(answers.Max(answer => AnswerMetrics.ExactMatch(written, answer.Text)));
        }

        return values;
    }
}
