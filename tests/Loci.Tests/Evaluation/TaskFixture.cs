using Loci.Data;
using Loci.Evaluation;
using Loci.Tests.Data;

namespace Loci.Tests.Evaluation;

/// <summary>Models that answer from a list, and runs of tasks on them.</summary>
internal static class TaskFixture
{
    public static readonly AnsweringModel Silent = new((_, _) => new LogLikelihood(-8, false, 4), _ => "");

    public static string PathOf(string name) => TestFiles.PathOf(Path.Combine("evaluation", name));

    public static List<EvaluationExample> Load(string task, TaskOptions options, IEvaluationModel? model = null) => [.. EvaluationTasks.Find(task).Load(model ?? Silent, options)];

    public static List<EvaluationExample> Load(string task, string path) => Load(task, new TaskOptions { DataPath = path });

    /// <summary>A task on a file of this content.</summary>
    public static List<EvaluationExample> LoadText(string task, string name, string content, TaskOptions? options = null)
    {
        using var folder = new TemporaryFolder();
        return Load(task, (options ?? new TaskOptions()) with { DataPath = folder.Write(name, content) });
    }

    /// <summary>Context and continuation, or context alone, of each request.</summary>
    public static (string Context, string? Continuation)[] Texts(EvaluationExample example) =>
        [.. example.Requests.Select(request => request switch
        {
            LogLikelihoodRequest likelihood => (likelihood.Context.Text!, (string?)likelihood.Continuation.Text!),
            GenerationRequest generation => (generation.Context.Text!, (string?)null),
            _ => throw new InvalidOperationException(),
        })];

    /// <summary>The score when the choices have these log-probabilities.</summary>
    public static IReadOnlyDictionary<string, ExampleValue> Choose(EvaluationExample example, params double[] likelihoods) =>
        example.Score([.. likelihoods.Select(likelihood => new LogLikelihood(likelihood, false, 1))]);

    /// <summary>What examples come to, with the kind of each metric.</summary>
    public static Dictionary<string, double> Run(IEvaluationModel model, string task, IReadOnlyList<EvaluationExample> examples)
    {
        var values = examples.Select(example => example.Score([.. example.Requests.Select(request => (EvaluationResponse)(request switch
        {
            LogLikelihoodRequest likelihood => model.LogLikelihoods([likelihood])[0],
            GenerationRequest generation => model.GenerateUntil([generation])[0],
            _ => throw new InvalidOperationException(),
        }))])).ToList();
        return EvaluationTasks.Find(task).Metrics.ToDictionary(metric => metric.Name, metric =>
        {
            var mean = values.Sum(value => value[metric.Name].Value * value[metric.Name].Weight) / values.Sum(value => value[metric.Name].Weight);
            return metric.Kind == MetricKind.Mean ? mean : Math.Exp(mean);
        });
    }

    /// <summary>Knows what may follow each context, and writes it and a little more.</summary>
    public static AnsweringModel Oracle(IEnumerable<EvaluationExample> examples)
    {
        var answers = examples.SelectMany(example => example.Requests).OfType<LogLikelihoodRequest>().GroupBy(request => request.Context.Text!).ToDictionary(group => group.Key, group => group.Select(request => request.Continuation.Text!).ToList());
        return new AnsweringModel(
            (context, continuation) => answers[context].Contains(continuation) ? new LogLikelihood(-0.5, true, 2) : new LogLikelihood(-20, false, 2), context => string.Join(" or", answers[context]) + " and more");
    }
}

/// <summary>A model of two functions, with a tokenizer of bytes.</summary>
internal sealed class AnsweringModel(Func<string, string, LogLikelihood> likelihood, Func<string, string> write, Tokenizer? tokenizer = null) : IEvaluationModel
{
    public string Name => "answers";

    public Tokenizer? Tokenizer { get; } = tokenizer ?? new ByteTokenizer();

    public int VocabularySize => Tokenizer!.VocabularySize;

    public IReadOnlyList<LogLikelihood> LogLikelihoods(IReadOnlyList<LogLikelihoodRequest> requests, IProgress<int>? progress = null, CancellationToken cancellationToken = default) =>
        [.. requests.Select(request => likelihood(request.Context.Text!, request.Continuation.Text!))];

    public IReadOnlyList<RollingLogLikelihood> RollingLogLikelihoods(IReadOnlyList<RollingRequest> requests, IProgress<int>? progress = null, CancellationToken cancellationToken = default) =>
        throw new NotSupportedException();

    public IReadOnlyList<Generation> GenerateUntil(IReadOnlyList<GenerationRequest> requests, IProgress<int>? progress = null, CancellationToken cancellationToken = default) =>
        [.. requests.Select(request => new Generation(write(request.Context.Text!), []))];
}
