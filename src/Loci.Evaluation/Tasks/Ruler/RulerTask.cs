using System.Globalization;
using Loci.Data;

namespace Loci.Evaluation.Tasks.Ruler;

/// <summary>What the tasks of RULER have in common: lengths, samples, and the part of the answers that stand in what the model writes.</summary>
internal abstract class RulerTask : EvaluationTask
{
    /// <summary>The metric that RULER reports.</summary>
    public const string Accuracy = "accuracy";

    protected const int DefaultSamples = 20;

    private static readonly int[] DefaultLengths = [1024, 2048, 4096];

    public override string Group => "ruler";

    public override string Source => "RULER, Hsieh et al., 2024, arXiv 2404.06654, github.com/NVIDIA/RULER";

    public override IReadOnlyList<TaskMetric> Metrics { get; } = [new(Accuracy, "Answers given"), .. AnswerExample.LikelihoodMetrics];

    /// <summary>RULER's string_match_all: the part of the answers that a text holds, whatever the case.</summary>
    public static double MatchAll(string text, IReadOnlyList<string> answers) => answers.Count(answer => text.Contains(answer, StringComparison.OrdinalIgnoreCase)) / (double)answers.Count;

    /// <summary>RULER's string_match_part: whether a text holds one of the answers, whatever the case.</summary>
    public static double MatchPart(string text, IReadOnlyList<string> answers) => answers.Any(answer => text.Contains(answer, StringComparison.OrdinalIgnoreCase)) ? 1 : 0;

    public sealed override IEnumerable<EvaluationExample> Load(IEvaluationModel model, TaskOptions options)
    {
        ArgumentNullException.ThrowIfNull(model);
        ArgumentNullException.ThrowIfNull(options);
        Tokenizer tokenizer = TokenizerOf(model, Name);
        return Generate(tokenizer, options, LengthsOf(options), SamplesOf(options, DefaultSamples));
    }

    /// <summary>The tokenizer of a model; generated tasks cannot do without.</summary>
    internal static Tokenizer TokenizerOf(IEvaluationModel model, string task) =>
        model.Tokenizer ?? throw new LociException($"The task {task} is text, and {model.Name} has no tokenizer; use a model that reads text.");

    /// <summary>The lengths that are asked for.</summary>
    internal static IReadOnlyList<int> LengthsOf(TaskOptions options)
    {
        foreach (int length in options.Lengths)
        {
            if (length < 1)
            {
                throw new LociException($"A length of {length} tokens is not possible; use lengths of at least 1.");
            }
        }

        return options.Lengths.Count > 0 ? options.Lengths : DefaultLengths;
    }

    /// <summary>The samples that are asked for.</summary>
    internal static int SamplesOf(TaskOptions options, int otherwise) => options.Samples switch
    {
        null => otherwise,
        < 1 => throw new LociException($"{options.Samples} samples measure nothing; use at least 1."),
        _ => options.Samples.Value,
    };

    /// <summary>Counts tokens; for one thread at a time.</summary>
    internal static Func<string, int> Counter(Tokenizer tokenizer)
    {
        List<int> ids = [];
        return text =>
        {
            ids.Clear();
            tokenizer.Encode(text, ids);
            return ids.Count;
        };
    }

    /// <summary>The largest prompt that fits, from a builder of prompts of growing size.</summary>
    /// <param name="task">The task, for the message.</param>
    /// <param name="minimum">The smallest size.</param>
    /// <param name="build">Builds the prompt of a size.</param>
    /// <param name="count">Counts tokens.</param>
    /// <param name="most">The most tokens of the prompt.</param>
    /// <param name="length">The length that was asked for, for the message.</param>
    /// <typeparam name="T">What is built.</typeparam>
    internal static T Largest<T>(string task, int minimum, Func<int, (string Input, T Built)> build, Func<string, int> count, int most, int length)
    {
        (string input, T best) = build(minimum);
        int tokens = count(input);
        if (tokens > most)
        {
            throw new LociException($"{length} tokens are too few for the task {task}, which needs {length - most + tokens} at least; use a longer length.");
        }

        // Doubles the size until it does not fit, then halves the interval.
        int fits = minimum;
        int step = Math.Max(1, minimum);
        int? tooLarge = null;
        while (tooLarge is null || tooLarge - fits > 1)
        {
            int size = tooLarge is null ? fits + step : (fits + tooLarge.Value) / 2;
            (string text, T built) = build(size);
            if (count(text) <= most)
            {
                (fits, best) = (size, built);
                step *= 2;
            }
            else
            {
                tooLarge = size;
            }
        }

        return best;
    }

    /// <summary>The random numbers of one example, whatever others there are.</summary>
    protected RandomGenerator RandomOf(TaskOptions options, int length, int sample, int depth = 0)
    {
        ulong name = 0;
        foreach (char letter in Name)
        {
            name = RandomGenerator.Hash(name, letter);
        }

        return new RandomGenerator(RandomGenerator.Hash(options.Seed, name), RandomGenerator.Hash((ulong)length, ((ulong)depth << 32) + (ulong)sample));
    }

    /// <summary>An example of a length.</summary>
    protected static AnswerExample Example(TaskOptions options, string input, string continuation, IReadOnlyList<string> answers, int maximumTokens, int length, string? depth = null)
    {
        List<(string, string)> slices = [("length", length.ToString(CultureInfo.InvariantCulture))];
        if (depth is not null)
        {
            slices.Add(("depth", depth));
        }

        AnswerMeasure measure = RulerSettings.Choice(options, "measure", AnswerMeasure.Both);
        return new AnswerExample(input, continuation, maximumTokens, [], measure, slices, text => [(Accuracy, MatchAll(text, answers))]);
    }

    protected abstract IEnumerable<EvaluationExample> Generate(Tokenizer tokenizer, TaskOptions options, IReadOnlyList<int> lengths, int samples);
}
