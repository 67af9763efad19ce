using System.Text.Json.Serialization;
using Loci.Data;
using Loci.Numerics.Optimization;

namespace Loci.Training;

/// <summary>How a model is trained. At least one of <see cref="Steps"/>, <see cref="Epochs"/> and <see cref="TimeLimit"/> is set; the first to be reached ends the run.</summary>
public sealed record TrainingOptions
{
    /// <summary>Optimizer steps of the whole run.</summary>
    public long? Steps { get; init; }

    /// <summary>Passes over the training data; rounded up to a whole step.</summary>
    public double? Epochs { get; init; }

    /// <summary>
    /// Time in which to train, evaluations and earlier parts of a resumed run included. If it is the only end, the learning rate falls with the time, so that such a run cannot be
    /// repeated exactly.
    /// </summary>
    public TimeSpan? TimeLimit { get; init; }

    /// <summary>T, the tokens of a row.</summary>
    public int Context { get; init; } = 1024;

    /// <summary>B, the rows that are computed at once.</summary>
    public int BatchRows { get; init; } = 4;

    /// <summary>Batches whose gradients make one step, each weighted by its tokens.</summary>
    public int Accumulation { get; init; } = 1;

    /// <summary>The learning rate of every step.</summary>
    public LearningRateSchedule LearningRate { get; init; } = new();

    /// <summary>Share of the mean of gradients that AdamW keeps.</summary>
    public float Beta1 { get; init; } = 0.9f;

    /// <summary>Share of the mean of squared gradients that AdamW keeps.</summary>
    public float Beta2 { get; init; } = 0.95f;

    /// <summary>What AdamW adds to the root.</summary>
    public float Epsilon { get; init; } = 1e-8f;

    /// <summary>Decay of matrices per unit of learning rate; gains, biases and gates have none.</summary>
    public float WeightDecay { get; init; } = 0.1f;

    /// <summary>Gradients of a larger norm are scaled down to it; 0 = never.</summary>
    public float MaximumGradientNorm { get; init; } = 1;

    /// <summary>Steps between evaluations on the held-out data, which also follow the last step; 0 = only then.</summary>
    public int EvaluateEvery { get; init; } = 200;

    /// <summary>Held-out tokens of an evaluation, from the beginning; null = all.</summary>
    public long? EvaluationTokens { get; init; }

    /// <summary>Steps between checkpoints, which also follow the last step; 0 = only then.</summary>
    public int SaveEvery { get; init; } = 200;

    /// <summary>Steps between lines of the metrics log.</summary>
    public int LogEvery { get; init; } = 1;

    /// <summary>Steps in a row that may be skipped because loss or gradient is not finite; one more ends the run.</summary>
    public int MaximumSkippedSteps { get; init; } = 10;

    /// <summary>Decides the initial weights, the order of the data and the dropout masks.</summary>
    public ulong Seed { get; init; }

    /// <summary>Checks that the numbers are in range.</summary>
    /// <returns>These options.</returns>
    /// <exception cref="LociException">One is not; the message says which.</exception>
    public TrainingOptions Validate()
    {
        Require(Steps is not null || Epochs is not null || TimeLimit is not null, "The training has no end: give a number of steps, a number of epochs or a time limit.");
        Require(Steps is null or > 0, $"A training of {Steps} steps is too short: use at least 1.");
        Require(
            Epochs is null or (> 0 and <= MostEpochs),
            $"A training of {Epochs} epochs is out of range: use a number above 0 and at most {MostEpochs}.");
        Require(TimeLimit is null || TimeLimit > TimeSpan.Zero, $"A time limit of {TimeLimit} is too short: use a positive one.");
        Require(Context > 0 && BatchRows > 0 && Accumulation > 0, $"Context ({Context}), batch ({BatchRows}) and accumulation ({Accumulation}) must be at least 1.");
        Require((long)Context * BatchRows <= 1 << 24, $"A batch of {BatchRows} rows of {Context} tokens is too large: use accumulation for more than {1 << 24} tokens.");
        Require(
            Steps is null || (Int128)Steps.Value * Context * BatchRows * Accumulation <= MostTokens,
            $"A training of {Steps} steps is too long: with these batches it would read more than {MostTokens} tokens.");
        Require(Accumulation <= 1 << 16, $"An accumulation of {Accumulation} batches is too large: use at most {1 << 16}.");
        Require(LearningRate is not null, "The learning rate schedule is missing.");
        LearningRate!.Validate();
        Require(Beta1 is >= 0 and < 1 && Beta2 is >= 0 and < 1, $"The betas of AdamW are {Beta1} and {Beta2}: use numbers from 0 to below 1.");
        Require(Epsilon > 0 && float.IsFinite(Epsilon), $"The epsilon of AdamW is {Epsilon}: use a small positive number.");
        Require(WeightDecay >= 0 && float.IsFinite(WeightDecay), $"The weight decay is {WeightDecay}: use 0 or more.");
        Require(
            MaximumGradientNorm >= 0 && float.IsFinite(MaximumGradientNorm),
            $"The maximum gradient norm is {MaximumGradientNorm}: use a positive number, or 0 for no clipping.");
        Require(EvaluateEvery >= 0 && SaveEvery >= 0, $"Evaluations come every {EvaluateEvery} and checkpoints every {SaveEvery} steps: use 0 or more.");
        Require(EvaluationTokens is null or > 0, $"An evaluation of {EvaluationTokens} tokens is too short: use at least 1.");
        Require(LogEvery > 0, $"The metrics log gets a line every {LogEvery} steps: use at least 1.");
        Require(MaximumSkippedSteps >= 0, $"At most {MaximumSkippedSteps} skipped steps in a row: use 0 or more.");
        return this;
    }

    private const double MostEpochs = 1e6;
    private const long MostTokens = 1L << 62;

    internal AdamWOptions AdamW => new()
    {
        Beta1 = Beta1,
        Beta2 = Beta2,
        Epsilon = Epsilon,
        WeightDecay = WeightDecay,
        MaximumGradientNorm = MaximumGradientNorm > 0 ? MaximumGradientNorm : float.PositiveInfinity,
    };

    /// <summary>The options without those that may change when a run is resumed: its end, and how often it reports.</summary>
    internal TrainingOptions Essence => this with
    {
        Steps = null,
        Epochs = null,
        TimeLimit = null,
        EvaluateEvery = 0,
        EvaluationTokens = null,
        SaveEvery = 0,
        LogEvery = 1,
        MaximumSkippedSteps = 0,
    };

    private static void Require(bool condition, string message)
    {
        if (!condition)
        {
            throw new LociException(message);
        }
    }
}

/// <summary>Where a run's text comes from.</summary>
public sealed record TrainingData
{
    /// <summary>The training text: a file or folder as <see cref="Corpus.Open"/> takes it.</summary>
    public required string Path { get; init; }

    /// <summary>Held-out text; null where it is split off, or there is none.</summary>
    public string? Validation { get; init; }

    /// <summary>The part of the documents that is held out where there is no validation file; 0 = none.</summary>
    public double ValidationFraction { get; init; }

    /// <summary>What divides the text into documents.</summary>
    public DocumentSeparator Separator { get; init; }

    /// <summary>Opens the corpora.</summary>
    /// <param name="seed">Decides which documents are held out.</param>
    /// <exception cref="LociException">A file is missing, or the text cannot be split.</exception>
    public (Corpus Training, Corpus? Validation) Open(ulong seed)
    {
        var corpus = Corpus.Open(Path, Separator);
        return Validation is not null
            ? (corpus, Corpus.Open(Validation, Separator))
            : ValidationFraction > 0 ? corpus.Split(ValidationFraction, seed) : (corpus, null);
    }
}

/// <summary>What a run folder's <c>training.json</c> says.</summary>
internal sealed record RunDescription
{
    /// <summary>How the model is trained.</summary>
    public required TrainingOptions Training { get; init; }

    /// <summary>Where the text comes from; null where the program that trains knows.</summary>
    public TrainingData? Data { get; init; }
}

[JsonSourceGenerationOptions(
    WriteIndented = true,
    PropertyNamingPolicy = JsonKnownNamingPolicy.CamelCase,
    UnmappedMemberHandling = JsonUnmappedMemberHandling.Disallow,
    DefaultIgnoreCondition = JsonIgnoreCondition.WhenWritingNull,
    RespectNullableAnnotations = true,
    UseStringEnumConverter = true)]
[JsonSerializable(typeof(RunDescription))]
[JsonSerializable(typeof(TrainingOptions))]
internal sealed partial class TrainingJson : JsonSerializerContext;
