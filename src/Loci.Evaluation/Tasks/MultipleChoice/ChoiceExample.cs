namespace Loci.Evaluation.Tasks.MultipleChoice;

/// <summary>Asks how likely each choice is; the most likely one is the answer (the first of equals).</summary>
/// <param name="question">The question.</param>
/// <param name="normalized">Whether the accuracy by length is measured as well.</param>
internal sealed class ChoiceExample(ChoiceQuestion question, bool normalized) : EvaluationExample
{
    public override IReadOnlyList<EvaluationRequest> Requests { get; } = [.. question.Choices.Select(choice => new LogLikelihoodRequest(choice.Context, choice.Continuation))];

    public override IReadOnlyList<(string Slice, string Value)> Slices => question.Slices;

    public override IReadOnlyDictionary<string, ExampleValue> Score(IReadOnlyList<EvaluationResponse> responses)
    {
        var likelihoods = responses.Select(response => ((LogLikelihood)response).LogProbability).ToArray();
        var values = new Dictionary<string, ExampleValue> { [ChoiceTask.Accuracy.Name] = IsGold(likelihoods) };
        if (normalized)
        {
            values[ChoiceTask.NormalizedAccuracy.Name] = IsGold([.. likelihoods.Zip(question.Choices, (likelihood, choice) => likelihood / choice.Length)]);
        }

        return values;
    }

    private ExampleValue IsGold(double[] likelihoods) => new(likelihoods.IndexOf(likelihoods.Max()) == question.Gold ? 1 : 0);
}
