namespace Loci.Evaluation.Tasks.Ruler;

/// <summary>What is asked about a prompt.</summary>
internal enum AnswerMeasure
{
    /// <summary>What the model writes, and how likely it finds the right answer.</summary>
    Both,

    /// <summary>What the model writes.</summary>
    Generate,

    /// <summary>How likely it finds the right answer.</summary>
    Likelihood,
}

/// <summary>A prompt that ends where the model is to answer, judged by what it writes and by how likely it finds the right answer there.</summary>
/// <param name="input">The prompt.</param>
/// <param name="continuation">The right answer, as it goes on from the prompt.</param>
/// <param name="maximumTokens">The most tokens to write.</param>
/// <param name="until">Texts that end what is written.</param>
/// <param name="measure">What is asked.</param>
/// <param name="slices">What results are taken apart by.</param>
/// <param name="judge">What a written text is worth, by metric.</param>
internal sealed class AnswerExample(
    string input, string continuation, int maximumTokens, IReadOnlyList<string> until, AnswerMeasure measure, IReadOnlyList<(string Slice, string Value)> slices, Func<string, (string Metric, double Value)[]> judge)
    : EvaluationExample
{
    public const string Loss = "answer_loss";
    public const string Greedy = "answer_greedy";

    /// <summary>The metrics of the right answer's likelihood.</summary>
    public static readonly TaskMetric[] LikelihoodMetrics =
    [
        new(Loss, "Loss of the answer", "nats", HigherIsBetter: false),
        new(Greedy, "Answer is greedy"),
    ];

    public string Input => input;

    public string Continuation => continuation;

    public override IReadOnlyList<EvaluationRequest> Requests { get; } = measure switch
    {
        AnswerMeasure.Generate => [new GenerationRequest(input, until, maximumTokens)],
        AnswerMeasure.Likelihood => [new LogLikelihoodRequest(input, continuation)],
        _ => [new GenerationRequest(input, until, maximumTokens), new LogLikelihoodRequest(input, continuation)],
    };

    public override IReadOnlyList<(string Slice, string Value)> Slices => slices;

    public override IReadOnlyDictionary<string, ExampleValue> Score(IReadOnlyList<EvaluationResponse> responses)
    {
        Dictionary<string, ExampleValue> values = [];
        foreach (EvaluationResponse response in responses)
        {
            switch (response)
            {
                case Generation generation:
                    foreach ((string metric, double value) in judge(generation.Text))
                    {
                        values[metric] = new ExampleValue(value);
                    }

                    break;
                case LogLikelihood likelihood:
                    values[Loss] = new ExampleValue(-likelihood.LogProbability / Math.Max(1, likelihood.Tokens), likelihood.Tokens);
                    values[Greedy] = new ExampleValue(likelihood.IsGreedy ? 1 : 0);
                    break;
            }
        }

        return values;
    }
}
