using Loci.Data;
using Loci.Evaluation;
using Loci.Memory.Rules;
using Loci.Tests.Data;

namespace Loci.Tests.Evaluation.Ruler;

/// <summary>A model that writes what a function makes of the prompt, and finds nothing else likely.</summary>
internal sealed class PromptModel(Func<string, string> answer, Tokenizer? tokenizer) : IEvaluationModel
{
    public PromptModel(Func<string, string> answer) : this(answer, TestFiles.Gpt2)
    {
    }

    public string Name => "answers";

    public Tokenizer? Tokenizer => tokenizer;

    public int VocabularySize => tokenizer?.VocabularySize ?? 256;

    public int Written { get; private set; }

    public IReadOnlyList<LogLikelihood> LogLikelihoods(IReadOnlyList<LogLikelihoodRequest> requests, IProgress<int>? progress = null, CancellationToken cancellationToken = default) =>
        [.. requests.Select(request =>
        {
            bool right = answer(request.Context.Text!) == request.Continuation.Text;
            int tokens = tokenizer!.Encode(request.Continuation.Text).Length;
            return new LogLikelihood(right ? 0 : -2 * tokens, right, tokens);
        })];

    public IReadOnlyList<RollingLogLikelihood> RollingLogLikelihoods(IReadOnlyList<RollingRequest> requests, IProgress<int>? progress = null, CancellationToken cancellationToken = default) =>
        throw new NotSupportedException();

    public IReadOnlyList<Generation> GenerateUntil(IReadOnlyList<GenerationRequest> requests, IProgress<int>? progress = null, CancellationToken cancellationToken = default) =>
        [.. requests.Select(request =>
        {
            string text = answer(request.Context.Text!);
            Written++;
            foreach (string end in request.Until)
            {
                text = text.Split(end)[0];
            }

            int[] tokens = tokenizer!.Encode(text);
            return new Generation(tokenizer.Decode(tokens.AsSpan(0, Math.Min(tokens.Length, request.MaximumTokens))), tokens);
        })];

    /// <summary>The mean of each metric over all examples of a task, and how many they are.</summary>
    public (Dictionary<string, double> Metrics, List<EvaluationExample> Examples) Measure(EvaluationTask task, TaskOptions options)
    {
        List<EvaluationExample> examples = [.. task.Load(this, options)];
        Dictionary<string, (double Sum, double Weight)> sums = [];
        foreach (EvaluationExample example in examples)
        {
            List<EvaluationResponse> responses = [.. example.Requests.Select(EvaluationResponse (request) => request switch
            {
                GenerationRequest generation => GenerateUntil([generation])[0],
                LogLikelihoodRequest likelihood => LogLikelihoods([likelihood])[0],
                _ => throw new InvalidOperationException(),
            })];
            foreach ((string metric, ExampleValue value) in example.Score(responses))
            {
                (double sum, double weight) = sums.GetValueOrDefault(metric);
                sums[metric] = (sum + (value.Value * value.Weight), weight + value.Weight);
            }
        }

        return (sums.ToDictionary(sum => sum.Key, sum => sum.Value.Sum / sum.Value.Weight), examples);
    }
}
