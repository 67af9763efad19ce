using System.Diagnostics;
using Loci.Evaluation.Tasks.Files;

namespace Loci.Evaluation;

/// <summary>How far a task is.</summary>
/// <param name="Examples">Examples done.</param>
/// <param name="Total">All of them; null where they are made as they are taken.</param>
/// <param name="Tokens">Tokens read and written; null for a model that does not count them.</param>
public readonly record struct EvaluationProgress(int Examples, int? Total, long? Tokens);

/// <summary>Runs tasks on models.</summary>
public static class Evaluator
{
    // Examples are asked together, so that what they have in common is read once; what is stopped half-way is lost.
    private const int MostExamples = 256;
    private const long MostText = 1 << 19;

    /// <summary>Runs a task on a model.</summary>
    /// <param name="model">The model.</param>
    /// <param name="task">The task.</param>
    /// <param name="options">What the task is told.</param>
    /// <param name="progress">Is told how far it is; null for no one.</param>
    /// <param name="onExample">Gets every example as it went, in their order; null for no one.</param>
    /// <param name="cancellationToken">Stops it: the result is then of the examples that were done, and says that it is not complete.</param>
    /// <exception cref="LociException">The model does not go with the task, or the task's data is missing or damaged.</exception>
    public static EvaluationTaskResult Run(
        IEvaluationModel model, EvaluationTask task, TaskOptions options, IProgress<EvaluationProgress>? progress = null, Action<EvaluatedExample>? onExample = null,
        CancellationToken cancellationToken = default)
    {
        ArgumentNullException.ThrowIfNull(model);
        ArgumentNullException.ThrowIfNull(task);
        ArgumentNullException.ThrowIfNull(options);
        options.RequireEachOnce();
        if (task.NeedsTokenizer && model.Tokenizer is null)
        {
            throw new LociException($"The task {task.Name} asks in text, but the model {model.Name} has no tokenizer: put the tokenizer.json that it was trained with in its folder, or use a task of token ids, such as mqar.");
        }

        var watch = Stopwatch.StartNew();
        TaskRun run = new(model, task, progress, onExample, cancellationToken);
        var isComplete = true;
        try
        {
            run.Take(task.Load(model, options));
            if (run.Scored.Count == 0 && options.DataPath is { } path)
            {
                throw new LociException($"{path} has no question in it: the task {task.Name} reads {TaskFiles.Reads(task)}.");
            }
        }
        catch (OperationCanceledException) when (cancellationToken.IsCancellationRequested)
        {
            isComplete = false;
        }

        return new EvaluationTaskResult
        {
            Task = task.Name,
            Title = task.Title,
            Source = task.Source,
            Model = model.Name,
            Options = options,
            Metrics = task.Metrics,
            IsComplete = isComplete,
            Examples = run.Scored.Count,
            Tokens = run.Tokens,
            Seconds = watch.Elapsed.TotalSeconds,
            Values = Statistics(task.Metrics, run.Scored),
            Slices = Slice(task.Metrics, run.Scored),
            Crossings = Cross(task.Metrics, run.Scored),
        };
    }

    private static Dictionary<string, EvaluationStatistic> Statistics(IReadOnlyList<TaskMetric> metrics, IReadOnlyList<ScoredExample> examples)
    {
        Dictionary<string, EvaluationStatistic> statistics = [];
        foreach (var metric in metrics)
        {
            List<ExampleValue> values = [];
            foreach (var example in examples)
            {
                if (example.Values.TryGetValue(metric.Name, out var value))
                {
                    values.Add(value);
                }
            }

            if (EvaluationStatistic.Of(values, metric.Kind) is { } statistic)
            {
                statistics[metric.Name] = statistic;
            }
        }

        return statistics;
    }

    private static List<EvaluationSlice> Slice(IReadOnlyList<TaskMetric> metrics, IReadOnlyList<ScoredExample> examples)
    {
        OrderedDictionary<string, OrderedDictionary<string, List<ScoredExample>>> slices = [];
        foreach (var example in examples)
        {
            foreach (var (slice, value) in example.Slices)
            {
                Add(Get(slices, slice), value, example);
            }
        }

        return [.. slices.Select(slice => new EvaluationSlice(slice.Key, [.. Ascending([.. slice.Value.Keys]).Select(value => new EvaluationSliceValue(value, Statistics(metrics, slice.Value[value])))]))];
    }

    /// <summary>Numbers in ascending order, anything else as it is.</summary>
    private static IEnumerable<string> Ascending(IReadOnlyList<string> values) =>
        SliceNumbers.Parse(values) is { } numbers ? values.Zip(numbers).OrderBy(pair => pair.Second).Select(pair => pair.First) : values;

    /// <summary>Every two slices of several numbers each, such as length and depth.</summary>
    private static List<EvaluationCrossing> Cross(IReadOnlyList<TaskMetric> metrics, IReadOnlyList<ScoredExample> examples)
    {
        OrderedDictionary<string, List<string>> names = [];
        foreach (var (slice, value) in examples.SelectMany(example => example.Slices).Distinct())
        {
            Get(names, slice).Add(value);
        }

        List<string> numeric = [.. names.Where(slice => SliceNumbers.Parse(slice.Value) is not null).Select(slice => slice.Key)];
        List<EvaluationCrossing> crossings = [];
        for (var i = 0; i < numeric.Count; i++)
        {
            for (var j = i + 1; j < numeric.Count; j++)
            {
                OrderedDictionary<(string, string), List<ScoredExample>> cells = [];
                foreach (var example in examples)
                {
                    foreach (var (_, first) in example.Slices.Where(slice => slice.Slice == numeric[i]))
                    {
                        foreach (var (_, second) in example.Slices.Where(slice => slice.Slice == numeric[j]))
                        {
                            Add(cells, (first, second), example);
                        }
                    }
                }

                if (cells.Count > 0)
                {
                    crossings.Add(new EvaluationCrossing(numeric[i], numeric[j], [.. cells.OrderBy(cell => Number(cell.Key.Item1)).ThenBy(cell => Number(cell.Key.Item2)).Select(cell => new EvaluationCell(cell.Key.Item1, cell.Key.Item2, Statistics(metrics, cell.Value)))]));
                }
            }
        }

        return crossings;

        static double Number(string text) => SliceNumbers.Parse(text);
    }

    private static void Add<TKey>(OrderedDictionary<TKey, List<ScoredExample>> lists, TKey key, ScoredExample example) where TKey : notnull => Get(lists, key).Add(example);

    private static TValue Get<TKey, TValue>(OrderedDictionary<TKey, TValue> dictionary, TKey key) where TKey : notnull where TValue : new()
    {
        if (!dictionary.TryGetValue(key, out var value))
        {
            dictionary[key] = value = new TValue();
        }

        return value;
    }

    private sealed record ScoredExample(IReadOnlyList<(string Slice, string Value)> Slices, IReadOnlyDictionary<string, ExampleValue> Values);

    /// <summary>A task under way.</summary>
    private sealed class TaskRun(IEvaluationModel model, EvaluationTask task, IProgress<EvaluationProgress>? progress, Action<EvaluatedExample>? onExample, CancellationToken cancellationToken)
    {
        private readonly LanguageEvaluationModel? _counting = model as LanguageEvaluationModel;
        private readonly long _tokensBefore = (model as LanguageEvaluationModel)?.TokensRead ?? 0;
        private int? _total;
        private int _shown;

        public List<ScoredExample> Scored { get; } = [];

        public long? Tokens => _counting?.TokensRead - _tokensBefore;

        public void Take(IEnumerable<EvaluationExample> examples)
        {
            _total = examples.TryGetNonEnumeratedCount(out var count) ? count : null;
            var told = _counting?.TokenProgress;
            try
            {
                if (_counting is not null && progress is not null)
                {
                    _counting.TokenProgress = new TokenReporter(tokens =>
                    {
                        told?.Report(tokens);
                        Report();
                    });
                }

                List<(EvaluationExample Example, IReadOnlyList<EvaluationRequest> Requests)> window = [];
                long text = 0;
                foreach (var example in examples)
                {
                    cancellationToken.ThrowIfCancellationRequested();
                    var requests = example.Requests;
                    window.Add((example, requests));
                    text += requests.Sum(Length);
                    if (window.Count == MostExamples || text >= MostText)
                    {
                        Ask(window);
                        window.Clear();
                        text = 0;
                    }
                }

                Ask(window);
            }
            finally
            {
                _counting?.TokenProgress = told;
            }
        }

        private void Ask(List<(EvaluationExample Example, IReadOnlyList<EvaluationRequest> Requests)> window)
        {
            List<EvaluationRequest> all = [.. window.SelectMany(example => example.Requests)];
            var responses = new EvaluationResponse[all.Count];
            var done = 0;
            Ask<LogLikelihoodRequest>(model.LogLikelihoods);
            Ask<RollingRequest>(model.RollingLogLikelihoods);
            Ask<GenerationRequest>(model.GenerateUntil);
            if (Array.FindIndex(responses, response => response is null) is >= 0 and var unknown)
            {
                throw new NotSupportedException($"The task {task.Name} asks for a {all[unknown].GetType().Name}, which no model can answer.");
            }

            var next = 0;
            foreach (var (example, requests) in window)
            {
                EvaluationResponse[] own = responses[next..(next + requests.Count)];
                next += requests.Count;
                var values = example.Score(own);
                onExample?.Invoke(new EvaluatedExample(task.Name, model.Name, Scored.Count, example.Slices, requests, own, values));
                Scored.Add(new ScoredExample(example.Slices, values));
            }

            _shown = Scored.Count;
            Report();

            void Ask<T>(Func<IReadOnlyList<T>, IProgress<int>?, CancellationToken, IReadOnlyList<EvaluationResponse>> method) where T : EvaluationRequest
            {
                List<int> places = [.. Enumerable.Range(0, all.Count).Where(i => all[i] is T)];
                if (places.Count == 0)
                {
                    return;
                }

                var before = done;
                var given = method([.. places.Select(i => (T)all[i])], new RequestReporter(count =>
                {
                    done = before + count;
                    _shown = Scored.Count + (int)((long)window.Count * done / all.Count);
                    Report();
                }), cancellationToken);
                done = before + places.Count;
                for (var i = 0; i < places.Count; i++)
                {
                    responses[places[i]] = given[i];
                }
            }
        }

        private void Report() => progress?.Report(new EvaluationProgress(_shown, _total, Tokens));

        private static long Length(EvaluationRequest request) => request switch
        {
            LogLikelihoodRequest likelihood => Length(likelihood.Context) + Length(likelihood.Continuation),
            RollingRequest rolling => Length(rolling.Text),
            GenerationRequest generation => Length(generation.Context) + generation.MaximumTokens,
            _ => 0,
        };

        private static long Length(EvaluationText text) => text.Text?.Length ?? text.Tokens.Length;
    }

    private sealed class TokenReporter(Action<long> report) : IProgress<long>
    {
        public void Report(long value) => report(value);
    }

    private sealed class RequestReporter(Action<int> report) : IProgress<int>
    {
        public void Report(int value) => report(value);
    }
}
