using System.Globalization;
using System.Text;
using System.Text.Json;
using System.Text.Json.Nodes;
using Loci.Data;
using Loci.Evaluation;
using Loci.Evaluation.Tasks.Ruler;
using Loci.Models;
using Loci.Numerics;
using Loci.Sessions;

namespace Loci.Evaluation.Experiments;

/// <summary>
/// Needles in a haystack, as RULER makes them: <c>"kind": "needle"</c>. Models learn on short contexts and are measured on short and long ones.
/// </summary>
public sealed record NeedleTask : ExperimentTask
{
    private const int MostTokens = 1 << 24;
    private const int MostExamples = 1 << 20;

    /// <inheritdoc/>
    public override string Kind => "needle";

    /// <summary>RULER's tasks (<see cref="NeedleOptions.PresetNames"/>) that are measured, each by itself.</summary>
    public IReadOnlyList<string> Needles { get; init; } = ["niah-single-1"];

    /// <summary>RULER's tasks that are mixed in training; empty takes <see cref="Needles"/>. Those that ask for several values teach more with every example.</summary>
    public IReadOnlyList<string> TrainingNeedles { get; init; } = [];

    /// <summary>How prompts are worded.</summary>
    public NeedleTemplate Template { get; init; } = NeedleTemplate.Short;

    /// <summary>Digits of numbers.</summary>
    public int Digits { get; init; } = 7;

    /// <summary>What keys are; null for what each of RULER's tasks has. Numbers take the fewest tokens, so that short contexts hold an example.</summary>
    public NeedleKind? Keys { get; init; }

    /// <summary>T, the tokens of a training row; several shorter examples share one, each with a memory of its own.</summary>
    public int Length { get; init; } = 512;

    /// <summary>Lengths of the examples trained on, in tokens: each row takes one at random. Empty takes <see cref="Length"/> alone.</summary>
    public IReadOnlyList<int> TrainingLengths { get; init; } = [];

    /// <summary>Rows of the training over which <see cref="TrainingLengths"/> come in, in their order; 0 mixes all from the start.</summary>
    public int CurriculumRows { get; init; }

    /// <summary>Whether training predicts all tokens of the examples, as language models do, rather than those of the answer alone.</summary>
    public bool PredictText { get; init; }

    /// <summary>Lengths that are reported, in tokens.</summary>
    public IReadOnlyList<int> TestLengths { get; init; } = [512, 1024, 2048, 4096];

    /// <summary>Depths at which the needle that is asked for stands, from 0 to 1.</summary>
    public IReadOnlyList<double> Depths { get; init; } = [0, 0.25, 0.5, 0.75, 1];

    /// <summary>Examples for every task, length and depth that are reported.</summary>
    public int TestExamples { get; init; } = 8;

    /// <summary>Examples of the longest training length, for every task and depth, that choose the learning rate; a learning curve takes the same ones.</summary>
    public int ValidationExamples { get; init; } = 16;

    /// <summary>Prose to hide needles in, as <see cref="Corpus.Open"/> takes it; null for what ships with Loci. The last fifth of it is kept for measuring.</summary>
    public string? Haystack { get; init; }

    /// <summary><c>bpe:N</c> learns N tokens from examples, <c>byte</c> takes bytes; anything else is a <c>tokenizer.json</c>.</summary>
    public string Tokenizer { get; init; } = "bpe:1024";

    /// <summary>Decides what is measured on: the same for all runs.</summary>
    public ulong EvaluationSeed { get; init; }

    /// <summary>How many tokens are to be learned; null where the tokenizer is not learned, 0 where what follows <c>bpe:</c> is no number.</summary>
    public int? VocabularyToLearn => LanguageTask.VocabularyIn(Tokenizer);

    internal override int RowLength => Length;

    private IReadOnlyList<string> TrainedNeedles => TrainingNeedles.Count > 0 ? TrainingNeedles : Needles;

    private IReadOnlyList<int> Lengths => TrainingLengths.Count > 0 ? TrainingLengths : [Length];

    /// <inheritdoc/>
    public override void Validate()
    {
        Require(Needles is { Count: > 0 } && TestLengths is { Count: > 0 } && Depths is { Count: > 0 }, "The needle task needs at least one of needles, testLengths and depths.");
        foreach (var name in Needles.Concat(TrainingNeedles))
        {
            OptionsOf(name).Validate();
        }

        Require(Length >= 16 && Lengths.All(length => length >= 16 && length <= Length), $"The needle task's training lengths must be from 16 to its length, {Length}.");
        Require(CurriculumRows >= 0, $"The lengths of the needle task come in over {CurriculumRows} rows: use 0 or more.");
        Require(
            TestLengths.All(length => length is >= 32 and <= MostTokens),
            $"The needle task's test lengths must be from 32 to {MostTokens} tokens.");
        Require(Depths.All(depth => depth is >= 0 and <= 1), "The needle task's depths must be from 0 to 1.");
        Require(
            IsEachOnce(Needles) && IsEachOnce(TestLengths) && IsEachOnce(Depths),
            "The needle task's needles, testLengths or depths name one twice, which would be measured twice: give each once.");
        Require(
            TestExamples is >= 1 and <= MostExamples && ValidationExamples is >= 1 and <= MostExamples,
            $"The needle task needs from 1 to {MostExamples} test and validation examples for every length and depth.");
        Require(VocabularyToLearn is null or (>= 257 and <= 1 << 24), $"The needle task's tokenizer '{Tokenizer}' is not one that can be learned: use bpe:N with N from 257 to {1 << 24}.");
    }

    /// <summary>Examples to learn a tokenizer from.</summary>
    /// <param name="haystack">The prose.</param>
    public Corpus TokenizerText(HaystackText haystack)
    {
        const int ExamplesEach = 400;
        ArgumentNullException.ThrowIfNull(haystack);
        var (training, _) = haystack.Divide();
        List<string> texts = [];
        foreach (var name in TrainedNeedles)
        {
            NeedleGenerator generator = new(OptionsOf(name), text => (Encoding.UTF8.GetByteCount(text) + 3) / 4, training);
            RandomGenerator random = new(RandomGenerator.Hash(EvaluationSeed, Prepared.TokenizerStream));
            for (var i = 0; i < ExamplesEach; i++)
            {
                var example = generator.Next(random, Length);
                texts.Add(example.Input + example.Continuation);
            }
        }

        return Corpus.FromTexts("The needle task", texts);
    }

    /// <summary>Makes the task ready to be trained and measured.</summary>
    /// <param name="tokenizer">What encodes the examples.</param>
    /// <param name="haystack">The prose to hide needles in.</param>
    /// <exception cref="LociException">The settings do not fit together.</exception>
    public IPreparedTask Prepare(Tokenizer tokenizer, HaystackText haystack)
    {
        ArgumentNullException.ThrowIfNull(tokenizer);
        ArgumentNullException.ThrowIfNull(haystack);
        Validate();
        return new Prepared(this, tokenizer, haystack);
    }

    internal override JsonObject ToJson() => JsonSerializer.SerializeToNode(this with { Haystack = null }, ExperimentJson.Default.NeedleTask)!.AsObject();

    private static bool IsEachOnce<T>(IReadOnlyList<T> values) => values.Distinct().Count() == values.Count;

    private NeedleOptions OptionsOf(string name) => NeedleTokens.TaskOf(name, Template, Digits, Keys);

    private static void Require(bool condition, string message)
    {
        if (!condition)
        {
            throw new LociException(message);
        }
    }

    /// <summary>Tokens of an example behind the beginning of a document; those from <paramref name="Answer"/> on are to be predicted.</summary>
    private sealed record Encoded(int[] Tokens, int Answer, string Needle, int Length, double Depth);

    private sealed class Prepared : IPreparedTask
    {
        public const ulong TokenizerStream = 0x6E65_6564_6C65_0000;
        private const ulong TrainingStream = 0x6E65_6564_6C65_0001;
        private const ulong ValidationStream = 0x6E65_6564_6C65_0002;

        private readonly NeedleTask _task;
        private readonly HaystackText _training;
        private readonly Lazy<IReadOnlyList<Encoded>> _validation;
        private readonly Lazy<IReadOnlyList<Encoded>> _test;

        public Prepared(NeedleTask task, Tokenizer tokenizer, HaystackText haystack)
        {
            _task = task;
            Tokenizer = tokenizer;
            (_training, var held) = haystack.Divide();
            _validation = new(() => Make(held, [task.Lengths.Max()], task.ValidationExamples, ValidationStream));
            _test = new(() => Make(held, task.TestLengths, task.TestExamples, NeedleTokens.TestStream));
            List<ExperimentMetric> metrics = [new("accuracy", "accuracy", "%", true, 1)];
            if (task.Needles.Count > 1)
            {
                metrics.AddRange(task.Needles.Select(name => new ExperimentMetric("accuracy_" + name, name, "%", true, 1)));
            }

            metrics.AddRange(task.TestLengths.Select(length => new ExperimentMetric(NameOf(length), Invariant($"at {length:#,0}"), "%", true, 1)));
            metrics.Add(new("loss", "loss", "nats per answer token", false, 4));
            Metrics = metrics;
            using MemoryStream content = new(Encoding.UTF8.GetBytes(haystack.Text));
            Fingerprint = Convert.ToHexStringLower(System.Security.Cryptography.SHA256.HashData(content))[..16] + "-" + Invariant($"{tokenizer.VocabularySize}");
        }

        public Tokenizer Tokenizer { get; }

        public int VocabularySize => Tokenizer.VocabularySize;

        public string Fingerprint { get; }

        public IReadOnlyList<ExperimentMetric> Metrics { get; }

        public bool HasTest => true;

        public IReadOnlyList<string> Describe() =>
        [
            Invariant($"Needles in a haystack as in RULER (Hsieh et al., 2024, arXiv 2404.06654): {string.Join(", ", _task.Needles)}{(_task.TrainingNeedles.Count > 0 ? Invariant($" (training mixes {string.Join(", ", _task.TrainingNeedles)})") : "")}, with the {(_task.Template == NeedleTemplate.Short ? "short wording of Loci" : "wording of RULER")} and numbers of {_task.Digits} digits{(_task.Keys is { } keys ? $" and {keys.ToString().ToLowerInvariant()} as keys" : "")}. Models are trained on contexts of {string.Join(", ", _task.Lengths.Select(length => Invariant($"{length:#,0}")))} tokens, in rows of {_task.Length:#,0}{(_task.CurriculumRows > 0 ? Invariant($", the longer ones coming in over the first {_task.CurriculumRows:#,0} rows") : "")}, to predict {(_task.PredictText ? "every token" : "the tokens of the answer and nothing else")}; the vocabulary has {VocabularySize:#,0} tokens."),
            Invariant($"Accuracy is the part of the examples in which every token of the answer is the most likely one, which is when greedy decoding writes it. Measured on {_task.TestExamples} examples for each task, length and depth ({string.Join(", ", _task.Depths.Select(depth => Invariant($"{depth:0.##}")))}), in other prose than is trained on; {_task.ValidationExamples} further ones for each task and depth, at {_task.Lengths.Max():#,0} tokens, choose the learning rate."),
        ];

        public ITrainingBatches CreateBatches(ulong seed) => new Batches(this, RandomGenerator.Hash(seed, TrainingStream));

        public ExperimentMeasurement Measure(LanguageModel model, ExperimentSet set, CancellationToken cancellationToken)
        {
            var examples = set == ExperimentSet.Test ? _test.Value : _validation.Value;
            List<(Encoded Example, bool IsRight)> judged = [];
            double nats = 0;
            long answerTokens = 0;
            using Tape tape = new(model.Device) { IsRecording = false };
            SequenceLayout layout = new();
            foreach (var example in examples)
            {
                cancellationToken.ThrowIfCancellationRequested();
                var inputs = model.Device.Allocate<int>(example.Tokens.Length - 1);
                try
                {
                    model.Device.CopyFromHost<int>(example.Tokens.AsSpan(0, example.Tokens.Length - 1), inputs);
                    layout.Set([0], example.Tokens.Length - 1);
                    tape.Reset();
                    var hidden = model.Hidden(tape, inputs, layout);
                    var count = example.Tokens.Length - example.Answer;
                    var logits = new float[count * model.Configuration.VocabularySize];
                    model.Device.CopyToHost(model.Logits(tape, tape.Rows(hidden, example.Answer - 1, count)).Data, logits);
                    var isRight = true;
                    for (var i = 0; i < count; i++)
                    {
                        var (loss, isGreatest) = NextToken.Judge(logits.AsSpan(i * model.Configuration.VocabularySize, model.Configuration.VocabularySize), example.Tokens[example.Answer + i]);
                        nats += loss;
                        isRight &= isGreatest;
                    }

                    answerTokens += count;
                    judged.Add((example, isRight));
                }
                finally
                {
                    model.Device.Free(inputs);
                }
            }

            Dictionary<string, double> values = new() { ["accuracy"] = Accuracy(judged), ["loss"] = nats / answerTokens };
            foreach (var name in _task.Needles.Count > 1 ? _task.Needles : [])
            {
                values["accuracy_" + name] = Accuracy(judged.Where(one => one.Example.Needle == name));
            }

            List<ExperimentBreakdown> breakdowns = [];
            if (set == ExperimentSet.Test)
            {
                foreach (var length in _task.TestLengths)
                {
                    values[NameOf(length)] = Accuracy(judged.Where(one => one.Example.Length == length));
                }

                breakdowns.Add(new("Accuracy by length", "tokens of the context", "accuracy", [.. _task.TestLengths.Order().Select(length => Point(length, judged.Where(one => one.Example.Length == length)))]));
                foreach (var name in _task.Needles.Count > 1 ? _task.Needles : [])
                {
                    breakdowns.Add(new($"Accuracy by length, {name}", "tokens of the context", "accuracy", [.. _task.TestLengths.Order().Select(length => Point(length, judged.Where(one => one.Example.Length == length && one.Example.Needle == name)))]));
                }

                breakdowns.AddRange(_task.TestLengths.Order().Select(length => new ExperimentBreakdown(
                    Invariant($"Accuracy by depth, {length:#,0} tokens"), "depth of the needle, %", "accuracy",
                    [.. _task.Depths.Order().Select(depth => Point((int)Math.Round(100 * depth), judged.Where(one => one.Example.Length == length && one.Example.Depth == depth)))])));
            }

            return new ExperimentMeasurement(values, breakdowns);
        }

        private static string NameOf(int length) => Invariant($"accuracy_{length}");

        private static double Accuracy(IEnumerable<(Encoded Example, bool IsRight)> judged) => judged.Average(one => one.IsRight ? 1.0 : 0.0);

        private static ExperimentPoint Point(int at, IEnumerable<(Encoded Example, bool IsRight)> judged) => new(at, at, judged.Count(), Accuracy(judged));

        private List<Encoded> Make(HaystackText text, IEnumerable<int> lengths, int count, ulong stream)
        {
            List<Encoded> examples = [];
            foreach (var name in _task.Needles)
            {
                NeedleGenerator generator = new(_task.OptionsOf(name), Tokenizer, text);
                foreach (var length in lengths)
                {
                    foreach (var depth in _task.Depths)
                    {
                        var random = NeedleTokens.RandomFor(_task.EvaluationSeed, stream, length, depth);
                        for (var i = 0; i < count; i++)
                        {
                            var (tokens, answer, _) = NeedleTokens.Encode(Tokenizer, generator.Next(random, length - 1, depth));
                            examples.Add(new Encoded(tokens, answer, name, length, depth));
                        }
                    }
                }
            }

            return examples;
        }

        private static string Invariant(FormattableString text) => text.ToString(CultureInfo.InvariantCulture);

        private sealed class Batches(Prepared prepared, ulong seed) : ITrainingBatches
        {
            private readonly NeedleGenerator[] _generators = [.. prepared._task.TrainedNeedles.Select(name => new NeedleGenerator(prepared._task.OptionsOf(name), prepared.Tokenizer, prepared._training))];
            private readonly RandomGenerator _random = new(0);
            private long _taken;

            public string Name => "The needle task";

            public int VocabularySize => prepared.VocabularySize;

            public int Length => prepared._task.Length;

            public long? RowsPerEpoch => null;

            public long RowsTaken
            {
                get => _taken;
                set
                {
                    ArgumentOutOfRangeException.ThrowIfNegative(value);
                    _taken = value;
                }
            }

            public void Next(TokenBatch batch)
            {
                ArgumentNullException.ThrowIfNull(batch);
                if (batch.Length != Length)
                {
                    throw new ArgumentException($"The batch has rows of {batch.Length} positions, the needle task of {Length}.", nameof(batch));
                }

                batch.Clear();
                for (var row = 0; row < batch.Rows; row++)
                {
                    var number = _taken++;
                    _random.Reset(seed, (ulong)number);
                    var lengths = prepared._task.Lengths;
                    var available = number >= prepared._task.CurriculumRows ? lengths.Count : 1 + (int)(number * (lengths.Count - 1) / prepared._task.CurriculumRows);
                    var length = lengths[_random.NextInt32(available)];
                    int position = row * Length, end = position + Length;
                    for (; position + length <= end; position += length)
                    {
                        var (tokens, answer, _) = NeedleTokens.Encode(prepared.Tokenizer, _generators[_random.NextInt32(_generators.Length)].Next(_random, length - 1));
                        Add(batch, position, length, tokens, answer);
                    }

                    batch.AddPadding(position, prepared.Tokenizer.EndOfTextId, end - position);
                }
            }

            private void Add(TokenBatch batch, int position, int length, int[] tokens, int answer)
            {
                var count = tokens.Length - 1;
                var inputs = batch.Inputs.AsSpan(position, length);
                var targets = batch.Targets.AsSpan(position, length);
                inputs[count..].Fill(prepared.Tokenizer.EndOfTextId);
                targets.Fill(TokenBatch.Ignored);
                tokens.AsSpan(0, count).CopyTo(inputs);
                var first = prepared._task.PredictText ? 1 : answer;
                tokens.AsSpan(first).CopyTo(targets[(first - 1)..]);
                batch.AddSequence(position, tokens.Length - first);
            }
        }
    }
}
