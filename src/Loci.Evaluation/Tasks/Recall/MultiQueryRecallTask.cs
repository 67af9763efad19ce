using System.Globalization;
using Loci.Data;

namespace Loci.Evaluation.Tasks.Recall;

/// <summary>
/// Multi-query associative recall (Zoology: Arora et al., 2023, arXiv 2312.04927) in the rows of <see cref="MultiQueryRecall"/>. Every query is an example: the row up to its key is the context and the
/// value the continuation, so that the contexts of a row go on from each other.
/// </summary>
internal sealed class MultiQueryRecallTask : EvaluationTask
{
    private const int DefaultRows = 100;

    private static readonly TaskMetric Accuracy = new("accuracy", "Accuracy");
    private static readonly TaskMetric Loss = new("loss", "Loss", "nats", HigherIsBetter: false);

    public override string Name => "mqar";

    public override string Title => "Multi-query associative recall";

    public override string Description => "A row of key and value tokens, then keys in any order: which value belongs to each?";

    public override string Source => "Zoology, Arora et al., 2023 (arXiv 2312.04927)";

    public override bool NeedsTokenizer => false;

    public override IReadOnlyList<string> SettingNames => ["vocabulary", "length", "pairs", "power", "random-non-queries"];

    public override IReadOnlyList<TaskMetric> Metrics => [Accuracy, Loss];

    public override IEnumerable<EvaluationExample> Load(IEvaluationModel model, TaskOptions options)
    {
        ArgumentNullException.ThrowIfNull(model);
        ArgumentNullException.ThrowIfNull(options);
        MultiQueryRecallOptions defaults = new();
        var vocabulary = Whole(options, "vocabulary") ?? model.VocabularySize;
        if (vocabulary > model.VocabularySize)
        {
            throw new LociException($"The recall task has {vocabulary} token ids, but the model {model.VocabularySize}: use the vocabulary the model was trained with.");
        }

        List<MultiQueryRecallOptions> sizes = [];
        foreach (var length in options.Lengths is { Count: > 0 } given ? given : [Whole(options, "length") ?? defaults.Length])
        {
            sizes.Add(TaskOptions.Checked(new MultiQueryRecallOptions
            {
                VocabularySize = vocabulary,
                Length = length,
                Pairs = Pairs(options) ?? defaults.Pairs,
                PowerA = Read<double>(options, "power", "a number such as 0.01", text => double.TryParse(text, NumberStyles.Float, CultureInfo.InvariantCulture, out var number) ? number : null) ?? defaults.PowerA,
                RandomNonQueries = Read<bool>(options, "random-non-queries", "true or false", text => bool.TryParse(text, out var flag) ? flag : null) ?? defaults.RandomNonQueries,
            }.Validate));
        }

        return Examples(sizes, options.Samples ?? DefaultRows, options.Seed);
    }

    /// <summary>The same rows as <see cref="RecallMeasurement"/> measures on with the same seed.</summary>
    private static IEnumerable<EvaluationExample> Examples(List<MultiQueryRecallOptions> sizes, int rows, ulong seed)
    {
        foreach (var size in sizes)
        {
            TokenBatch batch = new(1, size.Length);
            foreach (var pairs in size.Pairs.Distinct().Order())
            {
                MultiQueryRecall task = new(size with { Pairs = [pairs] }, RandomGenerator.Hash(seed, (ulong)pairs));
                for (var row = 0; row < rows; row++)
                {
                    task.Next(batch);
                    var tokens = batch.Inputs.ToArray();
                    Dictionary<int, int> keys = [];
                    for (var i = 0; i < pairs; i++)
                    {
                        keys[tokens[2 * i]] = 2 * i;
                    }

                    for (var position = 2 * pairs; position < tokens.Length; position++)
                    {
                        if (batch.Targets[position] is >= 0 and var value)
                        {
                            yield return new Query(tokens.AsMemory(0, position + 1), value, pairs, position - keys[tokens[position]], sizes.Count > 1 ? size.Length : null);
                        }
                    }
                }
            }
        }
    }

    private static List<int>? Pairs(TaskOptions options)
    {
        if (!options.Settings.TryGetValue("pairs", out var text))
        {
            return null;
        }

        List<int> pairs = [];
        foreach (var part in text.Split(','))
        {
            var number = Number(part.Trim()) ?? throw Wrong("pairs", "whole numbers such as 4,8,16", text);
            pairs.Add(pairs.Contains(number) ? throw Wrong("pairs", "each number once", text) : number);
        }

        return pairs;
    }

    private static int? Whole(TaskOptions options, string name) => Read<int>(options, name, "a whole number", Number);

    private static int? Number(string text) => int.TryParse(text, NumberStyles.None, CultureInfo.InvariantCulture, out var number) ? number : null;

    private static T? Read<T>(TaskOptions options, string name, string expected, Func<string, T?> parse) where T : struct =>
        options.Settings.TryGetValue(name, out var text) ? parse(text) ?? throw Wrong(name, expected, text) : null;

    private static LociException Wrong(string name, string expected, string text) => new(ErrorKind.Usage, $"The setting {name} of the task mqar takes {expected}, not '{text}'.");

    private sealed class Query(ReadOnlyMemory<int> context, int value, int pairs, int distance, int? length) : EvaluationExample
    {
        public override IReadOnlyList<EvaluationRequest> Requests => [new LogLikelihoodRequest(new EvaluationText(context), new EvaluationText(new[] { value }))];

        public override IReadOnlyList<(string Slice, string Value)> Slices
        {
            get
            {
                var from = 1 << int.Log2(distance);
                (string, string)[] own = [("pairs", Text(pairs)), ("distance", $"{Text(from)}-{Text((2 * from) - 1)}")];
                return length is { } known ? [("length", Text(known)), .. own] : own;
            }
        }

        public override IReadOnlyDictionary<string, ExampleValue> Score(IReadOnlyList<EvaluationResponse> responses)
        {
            var response = (LogLikelihood)responses[0];
            return new Dictionary<string, ExampleValue> { [Accuracy.Name] = new(response.IsGreedy ? 1 : 0), [Loss.Name] = new(-response.LogProbability) };
        }

        private static string Text(int number) => number.ToString(CultureInfo.InvariantCulture);
    }
}
