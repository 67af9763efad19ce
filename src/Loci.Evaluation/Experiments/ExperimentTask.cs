using System.Globalization;
using System.Text.Json.Nodes;
using System.Text.Json.Serialization;
using Loci.Data;
using Loci.Models;

namespace Loci.Evaluation.Experiments;

/// <summary>What an experiment measures.</summary>
/// <param name="Name">Its name in results, such as <c>bits_per_byte</c>.</param>
/// <param name="Title">What people call it.</param>
/// <param name="Unit">The unit in which tables show it; empty for none. A part of 1 is shown in <c>%</c>.</param>
/// <param name="HigherIsBetter">Whether more is better.</param>
/// <param name="Decimals">Digits after the point in tables.</param>
public sealed record ExperimentMetric(string Name, string Title, string Unit, bool HigherIsBetter, int Decimals)
{
    /// <summary>Title and unit.</summary>
    [JsonIgnore]
    public string Heading => Unit.Length > 0 ? $"{Title}, {Unit}" : Title;

    /// <summary>What a value is multiplied by to be shown in the unit.</summary>
    [JsonIgnore]
    public double Scale => Unit == "%" ? 100 : 1;

    /// <summary>A value as tables show it, in the unit.</summary>
    /// <param name="value">The value.</param>
    public string Format(double value) => (value * Scale).ToString("F" + Decimals.ToString(CultureInfo.InvariantCulture), CultureInfo.InvariantCulture);
}

/// <summary>What a task is measured on.</summary>
public enum ExperimentSet
{
    /// <summary>The part of the validation examples that points of learning curves are measured on.</summary>
    Curve,

    /// <summary>Held-out examples that choose the learning rate.</summary>
    Validation,

    /// <summary>Held-out examples that choose nothing: what is reported.</summary>
    Test,
}

/// <summary>A point of a result taken apart, such as the accuracy at some distances.</summary>
/// <param name="From">The least number of what it is taken apart by.</param>
/// <param name="To">The greatest.</param>
/// <param name="Count">How many queries or tokens it covers.</param>
/// <param name="Value">The value.</param>
public sealed record ExperimentPoint(int From, int To, long Count, double Value);

/// <summary>A result taken apart.</summary>
/// <param name="Title">What it shows.</param>
/// <param name="Axis">What it is taken apart by, with its unit.</param>
/// <param name="Unit">What the values are.</param>
/// <param name="Points">The values.</param>
public sealed record ExperimentBreakdown(string Title, string Axis, string Unit, IReadOnlyList<ExperimentPoint> Points);

/// <summary>What was measured.</summary>
/// <param name="Values">Every metric's value by its name; metrics that are not known are left out.</param>
/// <param name="Breakdowns">The same taken apart.</param>
public sealed record ExperimentMeasurement(IReadOnlyDictionary<string, double> Values, IReadOnlyList<ExperimentBreakdown> Breakdowns);

/// <summary>
/// A task as an experiment file describes it, before its data is read. <see cref="RecallTask"/>, <see cref="LanguageTask"/> and <see cref="NeedleTask"/> are the ones there are.
/// </summary>
public abstract record ExperimentTask
{
    /// <summary>Its name in experiment files.</summary>
    public abstract string Kind { get; }

    /// <summary>T, the tokens of a training row.</summary>
    internal abstract int RowLength { get; }

    /// <summary>Checks that the numbers fit together.</summary>
    /// <exception cref="LociException">They do not; the message says what to change.</exception>
    public abstract void Validate();

    /// <summary>The settings as an experiment file has them.</summary>
    internal abstract JsonObject ToJson();
}

/// <summary>
/// A task with its data at hand. All members but <see cref="Metrics"/> and the sizes may be used by several threads at once.
/// </summary>
public interface IPreparedTask
{
    /// <summary>Token ids are below this.</summary>
    int VocabularySize { get; }

    /// <summary>What turns text into the model's tokens; null where the task has no text.</summary>
    Tokenizer? Tokenizer => null;

    /// <summary>Tells this task's data from any other; runs on other data are not comparable.</summary>
    string Fingerprint { get; }

    /// <summary>What is measured; the first decides.</summary>
    IReadOnlyList<ExperimentMetric> Metrics { get; }

    /// <summary>Whether there are test examples beside the validation ones.</summary>
    bool HasTest { get; }

    /// <summary>What the task is, in sentences for a report.</summary>
    IReadOnlyList<string> Describe();

    /// <summary>The batches of one training.</summary>
    /// <param name="seed">Decides them: the same for the same seed, whatever the model.</param>
    ITrainingBatches CreateBatches(ulong seed);

    /// <summary>Measures a model.</summary>
    /// <param name="model">The model.</param>
    /// <param name="set">On what.</param>
    /// <param name="cancellationToken">Stops the measurement.</param>
    /// <exception cref="OperationCanceledException">The measurement was stopped.</exception>
    ExperimentMeasurement Measure(LanguageModel model, ExperimentSet set, CancellationToken cancellationToken);
}
