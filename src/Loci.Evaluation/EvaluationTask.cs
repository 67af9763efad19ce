using Loci.Data;
using Loci.Memory.Aggregations;

namespace Loci.Evaluation;

/// <summary>How the values of examples become one number.</summary>
public enum MetricKind
{
    /// <summary>Their weighted mean.</summary>
    Mean,

    /// <summary>exp of their weighted mean, such as a perplexity from losses in nats.</summary>
    ExponentialOfMean,
}

/// <summary>What a task measures.</summary>
/// <param name="Name">Its name in results, such as <c>accuracy</c>.</param>
/// <param name="Title">What people call it.</param>
/// <param name="Unit">The unit in which tables show it; empty for none. A part of 1 is shown in <c>%</c>.</param>
/// <param name="HigherIsBetter">Whether more is better.</param>
/// <param name="Kind">How the values of examples become one number.</param>
public sealed record TaskMetric(string Name, string Title, string Unit = "%", bool HigherIsBetter = true, MetricKind Kind = MetricKind.Mean);

/// <summary>What an example counts for in a metric.</summary>
/// <param name="Value">The value; for accuracies 0 to 1.</param>
/// <param name="Weight">How much it counts, such as the number of tokens of a loss.</param>
public readonly record struct ExampleValue(double Value, double Weight = 1);

/// <summary>One example of a task: what is asked of the model, and how its answers are judged.</summary>
public abstract class EvaluationExample
{
    /// <summary>What the model is asked, in the order of the responses.</summary>
    public abstract IReadOnlyList<EvaluationRequest> Requests { get; }

    /// <summary>What results are taken apart by, such as <c>("length", "4096")</c>; the values of a slice are shown in the order in which the examples bring them, numbers in ascending order.</summary>
    public virtual IReadOnlyList<(string Slice, string Value)> Slices => [];

    /// <summary>Judges the responses.</summary>
    /// <param name="responses">One for each request.</param>
    /// <returns>The value of each metric by its name; a metric may be left out.</returns>
    public abstract IReadOnlyDictionary<string, ExampleValue> Score(IReadOnlyList<EvaluationResponse> responses);
}

/// <summary>What a task may be told; tasks ignore what does not concern them.</summary>
public sealed record TaskOptions
{
    /// <summary>Where the task's data is; null where it ships with Loci or is not given.</summary>
    public string? DataPath { get; init; }

    /// <summary>Text in which generated tasks hide what is asked for: a file or folder as <see cref="Corpus.Open"/> takes it; null for what ships with Loci.</summary>
    public string? HaystackPath { get; init; }

    /// <summary>The most examples of a data set (the first ones), or examples for each length and depth of a generated task; null for the task's default.</summary>
    public int? Samples { get; init; }

    /// <summary>Lengths, in the model's tokens, of the contexts of generated tasks; empty for the task's default.</summary>
    public IReadOnlyList<int> Lengths { get; init; } = [];

    /// <summary>Depths, from 0 (beginning) to 1 (end of the context), at which needles stand; empty for the task's default.</summary>
    public IReadOnlyList<double> Depths { get; init; } = [];

    /// <summary>Decides what generated tasks hold.</summary>
    public ulong Seed { get; init; }

    /// <summary>Further settings of single tasks by name, as text.</summary>
    public IReadOnlyDictionary<string, string> Settings { get; init; } = new Dictionary<string, string>();

    /// <summary>Takes what follows from options alone, so that what is wrong about it is wrong in them.</summary>
    internal static T Checked<T>(Func<T> validate)
    {
        try
        {
            return validate();
        }
        catch (LociException exception)
        {
            throw new LociException(ErrorKind.Usage, exception.Message, exception);
        }
    }

    /// <summary>Checks that every length and depth is given once: twice, the same examples would be counted twice.</summary>
    internal void RequireEachOnce()
    {
        RequireEachOnce(Lengths, "lengths");
        RequireEachOnce(Depths, "depths");

        static void RequireEachOnce<T>(IReadOnlyList<T> values, string what)
        {
            if (values.GroupBy(value => value).FirstOrDefault(group => group.Count() > 1) is { } twice)
            {
                throw new LociException(ErrorKind.Usage, FormattableString.Invariant($"The {what} of the contexts name {twice.Key} twice: give it once."));
            }
        }
    }
}

/// <summary>A task that models are measured on: one file and one class each. <see cref="EvaluationTasks"/> lists them.</summary>
public abstract class EvaluationTask
{
    /// <summary>Its name on the command line: lower-case letters, digits and dashes.</summary>
    public abstract string Name { get; }

    /// <summary>A name by which the tasks of one family are asked for together; the task's own where it has none.</summary>
    public virtual string Group => Name;

    /// <summary>What people call it.</summary>
    public abstract string Title { get; }

    /// <summary>What it asks, in a sentence.</summary>
    public abstract string Description { get; }

    /// <summary>Where its definition comes from: paper, repository.</summary>
    public abstract string Source { get; }

    /// <summary>Where its data can be had and in which format; null where it ships with Loci or is generated.</summary>
    public virtual string? DataSource => null;

    /// <summary>Whether it asks in text, for which the model needs a tokenizer, rather than in token ids.</summary>
    public virtual bool NeedsTokenizer => true;

    /// <summary>The names of the <see cref="TaskOptions.Settings"/> that it knows.</summary>
    public virtual IReadOnlyList<string> SettingNames => [];

    /// <summary>What it measures; the first decides.</summary>
    public abstract IReadOnlyList<TaskMetric> Metrics { get; }

    /// <summary>Reads or generates the examples; they may be made one by one as they are taken.</summary>
    /// <param name="model">Whom they are for: its tokenizer measures lengths.</param>
    /// <param name="options">What the task is told.</param>
    /// <exception cref="LociException">The data is missing or not in its format, or the options do not fit the task; the message says what to do.</exception>
    public abstract IEnumerable<EvaluationExample> Load(IEvaluationModel model, TaskOptions options);
}
