using System.Globalization;
using System.Text.Json;
using System.Text.Json.Nodes;
using Loci.Data;
using Loci.Evaluation.Tasks.Recall;
using Loci.Models;

namespace Loci.Evaluation.Experiments;

/// <summary>Multi-query associative recall: <c>"kind": "recall"</c>.</summary>
public sealed record RecallTask : ExperimentTask
{
    private const int Most = 1 << 24;

    private static readonly MultiQueryRecallOptions Defaults = new();

    /// <inheritdoc/>
    public override string Kind => "recall";

    /// <summary>V, the token ids; see <see cref="MultiQueryRecallOptions.VocabularySize"/>.</summary>
    public int VocabularySize { get; init; } = Defaults.VocabularySize;

    /// <summary>T, the tokens of a row.</summary>
    public int Length { get; init; } = Defaults.Length;

    /// <summary>Pairs of a row; of several numbers every row of the training takes one at random, and each is measured.</summary>
    public IReadOnlyList<int> Pairs { get; init; } = Defaults.Pairs;

    /// <summary>Sizes of sequences that are mixed instead of <see cref="Length"/> and <see cref="Pairs"/>; null for none.</summary>
    public IReadOnlyList<RecallSize>? Sizes { get; init; }

    /// <summary>Rows of the training over which <see cref="Sizes"/> come in, in their order; 0 mixes all from the start.</summary>
    public int CurriculumRows { get; init; }

    /// <summary>The exponent of the power law of the queries' places.</summary>
    public double PowerA { get; init; } = Defaults.PowerA;

    /// <summary>Whether positions without a query are random tokens.</summary>
    public bool RandomNonQueries { get; init; } = Defaults.RandomNonQueries;

    /// <summary>Rows, for every number of pairs, of a point of a learning curve: the first of the validation rows.</summary>
    public int CurveRows { get; init; } = 128;

    /// <summary>Rows, for every number of pairs, that choose the learning rate.</summary>
    public int ValidationRows { get; init; } = 512;

    /// <summary>Rows, for every number of pairs, that are reported.</summary>
    public int TestRows { get; init; } = 1024;

    /// <summary>Decides the rows that are measured on: the same for all runs.</summary>
    public ulong EvaluationSeed { get; init; }

    internal override int RowLength => Length;

    internal MultiQueryRecallOptions Options => new() { VocabularySize = VocabularySize, Length = Length, Pairs = Pairs, Sizes = Sizes, CurriculumRows = CurriculumRows, PowerA = PowerA, RandomNonQueries = RandomNonQueries };

    /// <inheritdoc/>
    public override void Validate()
    {
        Options.Validate();
        if (VocabularySize > Most || Math.Max(ValidationRows, TestRows) > Most)
        {
            throw new LociException(
                $"The recall task has {VocabularySize} tokens, {ValidationRows} validation and {TestRows} test rows: "
                + $"use at most {Most} of each.");
        }

        if (CurveRows < 1 || ValidationRows < CurveRows || TestRows < 1)
        {
            throw new LociException(
                $"The recall task measures on {CurveRows} rows during training, {ValidationRows} validation and {TestRows} test rows: use at least 1 of each, and no more during training than for validation.");
        }
    }

    /// <summary>Makes the task ready to be trained and measured.</summary>
    /// <exception cref="LociException">The settings do not fit together.</exception>
    public IPreparedTask Prepare()
    {
        Validate();
        return new Prepared(this);
    }

    /// <inheritdoc/>
    internal override JsonObject ToJson()
    {
        var json = JsonSerializer.SerializeToNode(this, ExperimentJson.Default.RecallTask)!.AsObject();
        if (Sizes is null)
        {
            json.Remove("sizes"); // as in results from before there were sizes
        }

        if (CurriculumRows == 0)
        {
            json.Remove("curriculumRows");
        }

        return json;
    }

    private sealed class Prepared(RecallTask task) : IPreparedTask
    {
        // Streams of random numbers that nothing else takes: the seeds of measurements are another family than those of trainings.
        private const ulong TrainingStream = 0x7265_6361_6C6C_0001;
        private const ulong ValidationStream = 0x7265_6361_6C6C_0002;
        private const ulong TestStream = 0x7265_6361_6C6C_0003;

        public int VocabularySize => task.VocabularySize;

        public string Fingerprint => "generated";

        public IReadOnlyList<ExperimentMetric> Metrics { get; } =
        [
            new("accuracy", "accuracy", "%", true, 2),
            .. (task.Sizes is null ? [] : task.Options.MeasuredSizes).Select(size => new ExperimentMetric(NameOf(size), Invariant($"{size.Pairs} pairs in {size.Length}"), "%", true, 2)),
            new("loss", "loss", "nats per query", false, 4),
        ];

        public bool HasTest => true;

        public IReadOnlyList<string> Describe()
        {
            var pairs = string.Join(", ", task.Pairs);
            if (task.Sizes is not null)
            {
                return
                [
                    Invariant($"Multi-query associative recall (Arora et al., 2023, arXiv 2312.04927): sequences begin with pairs of a key and a value; later every key comes once more, and the model is to name its value. Sizes are mixed in training{(task.CurriculumRows > 0 ? Invariant($", coming in one after the other over the first {task.CurriculumRows:#,0} rows,") : "")} and measured by themselves: {string.Join(", ", task.Options.MeasuredSizes.Select(size => Invariant($"{size.Pairs} pairs in {size.Length} tokens")))}. Vocabulary {task.VocabularySize:#,0}, half of it keys; the distances of the queries from the pairs follow a power law (a = {task.PowerA}); the other positions are {(task.RandomNonQueries ? "random tokens" : "blank")}."),
                    Invariant($"Accuracy is the part of the queries at which the most likely token is the right one; the first column is over the queries of all sizes. Naming any value at random is right in {100.0 / (task.VocabularySize - (task.VocabularySize / 2)):0.00} %. Measured on {task.TestRows:#,0} test sequences of each size, the same for all runs and from another random stream than those trained on; {task.ValidationRows:#,0} further ones choose the learning rate."),
                ];
            }

            return
            [
                Invariant($"Multi-query associative recall (Arora et al., 2023, arXiv 2312.04927): rows of {task.Length} tokens begin with {pairs} pairs of a key and a value; later every key comes once more, and the model is to name its value. Vocabulary {task.VocabularySize:#,0}, half of it keys; the distances of the queries from the pairs follow a power law (a = {task.PowerA}); the other positions are {(task.RandomNonQueries ? "random tokens" : "blank")}."),
                Invariant($"Accuracy is the part of the queries at which the most likely token is the right one. Naming one of the row's values at random would be right in {string.Join(", ", task.Pairs.Select(count => Invariant($"{100.0 / count:0.0} %")))} of the queries, naming any value in {100.0 / (task.VocabularySize - (task.VocabularySize / 2)):0.00} %. Measured on {task.TestRows:#,0} test rows for each number of pairs, the same for all runs and from another random stream than those trained on; {task.ValidationRows:#,0} further ones choose the learning rate."),
            ];
        }

        public ITrainingBatches CreateBatches(ulong seed) => new MultiQueryRecall(task.Options, RandomGenerator.Hash(seed, TrainingStream));

        public ExperimentMeasurement Measure(LanguageModel model, ExperimentSet set, CancellationToken cancellationToken)
        {
            var rows = set switch { ExperimentSet.Curve => task.CurveRows, ExperimentSet.Validation => task.ValidationRows, _ => task.TestRows };
            var stream = set == ExperimentSet.Test ? TestStream : ValidationStream;
            var result = RecallMeasurement.Measure(model, task.Options, rows, RandomGenerator.Hash(task.EvaluationSeed, stream), cancellationToken);
            List<ExperimentBreakdown> breakdowns = [Breakdown("Accuracy by distance", "tokens from the key to the query", result.ByDistance)];
            if (result.ByPairs.Count > 1)
            {
                breakdowns.Insert(0, Breakdown("Accuracy by number of pairs", "pairs in the row", result.ByPairs));
            }

            Dictionary<string, double> values = new() { ["accuracy"] = result.Accuracy, ["loss"] = result.Loss };
            foreach (var size in task.Sizes is null ? [] : task.Options.MeasuredSizes)
            {
                values[NameOf(size)] = result.BySize[size].Accuracy;
            }

            return new ExperimentMeasurement(values, breakdowns);
        }

        private static string NameOf(RecallSize size) => Invariant($"accuracy_{size.Length}_{size.Pairs}");

        private static ExperimentBreakdown Breakdown(string title, string axis, IReadOnlyList<RecallCount> counts) =>
            new(title, axis, "accuracy", [.. counts.Select(count => new ExperimentPoint(count.From, count.To, count.Queries, count.Accuracy))]);

        private static string Invariant(FormattableString text) => text.ToString(CultureInfo.InvariantCulture);
    }
}
