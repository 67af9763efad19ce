namespace Loci.Formats;

/// <summary>What a line of a metrics log tells.</summary>
internal enum MetricsKind
{
    /// <summary>An optimizer step was taken.</summary>
    Step,

    /// <summary>A step was left out because its loss or gradient was not finite.</summary>
    SkippedStep,

    /// <summary>The model was evaluated.</summary>
    Evaluation,

    /// <summary>A checkpoint was saved.</summary>
    Saved,

    /// <summary>The run continued from a checkpoint.</summary>
    Resumed,

    /// <summary>Anything else worth a line.</summary>
    Message,
}

/// <summary>One line of a metrics log. Values that were not measured are null and take no room in the file.</summary>
internal readonly record struct MetricsRecord
{
    /// <summary>Describes one event.</summary>
    /// <param name="kind">What happened.</param>
    /// <param name="step">The number of optimizer steps taken when it happened.</param>
    public MetricsRecord(MetricsKind kind, long step)
    {
        ArgumentOutOfRangeException.ThrowIfNegative(step);
        Kind = kind;
        Step = step;
    }

    /// <summary>What happened.</summary>
    public MetricsKind Kind { get; }

    /// <summary>The number of optimizer steps taken when it happened.</summary>
    public long Step { get; }

    /// <summary>When it happened; the log fills it in when it is left out.</summary>
    public DateTimeOffset? Time { get; init; }

    /// <summary>Tokens trained on so far.</summary>
    public long? Tokens { get; init; }

    /// <summary>Mean loss per token, in nats.</summary>
    public double? Loss { get; init; }

    /// <summary>The learning rate of the step.</summary>
    public double? LearningRate { get; init; }

    /// <summary>The norm of the whole gradient before clipping.</summary>
    public double? GradientNorm { get; init; }

    /// <summary>Tokens per second.</summary>
    public double? TokensPerSecond { get; init; }

    /// <summary>What was evaluated or saved.</summary>
    public string? Name { get; init; }

    /// <summary>Words for a person.</summary>
    public string? Text { get; init; }

    /// <summary>Further results by name, such as <c>bits_per_byte</c>.</summary>
    public IReadOnlyDictionary<string, double>? Values { get; init; }
}
