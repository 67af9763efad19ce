using Loci.Training;

namespace Loci.Evaluation.Experiments;

/// <summary>How all models of an experiment are trained; learning rate and seed come from its lists, the tokens of a row from its task.</summary>
public sealed record ExperimentTraining
{
    private const int LongestDefaultWarmup = 100;

    /// <summary>Optimizer steps of a run; either this or <see cref="Tokens"/> is given.</summary>
    public long? Steps { get; init; }

    /// <summary>Tokens that a run reads, rounded up to a whole step.</summary>
    public long? Tokens { get; init; }

    /// <summary>B, the rows that are computed at once.</summary>
    public int Batch { get; init; } = 8;

    /// <summary>Batches whose gradients make one step.</summary>
    public int Accumulation { get; init; } = 1;

    /// <summary>How the learning rate falls after the warm-up.</summary>
    public ScheduleKind Schedule { get; init; } = ScheduleKind.Cosine;

    /// <summary>Steps in which the learning rate rises; null takes a tenth of the run, but at most 100.</summary>
    public int? Warmup { get; init; }

    /// <summary>The last learning rate as a fraction of the highest.</summary>
    public double FinalFraction { get; init; } = 0.1;

    /// <summary>The last part of a warm-up, stable, decay schedule in which it falls.</summary>
    public double DecayFraction { get; init; } = 0.2;

    /// <summary>Decay of matrices per unit of learning rate.</summary>
    public double WeightDecay { get; init; } = 0.1;

    /// <summary>Share of the mean of gradients that AdamW keeps.</summary>
    public double Beta1 { get; init; } = 0.9;

    /// <summary>Share of the mean of squared gradients that AdamW keeps.</summary>
    public double Beta2 { get; init; } = 0.95;

    /// <summary>Gradients of a larger norm are scaled down to it; 0 = never.</summary>
    public double Clip { get; init; } = 1;

    /// <summary>Points of a learning curve: evaluations on held-out examples, evenly spaced, the last at the end.</summary>
    public int Evaluations { get; init; } = 10;

    /// <summary>The options of one run.</summary>
    /// <param name="context">T, the tokens of a row.</param>
    /// <param name="learningRate">The highest learning rate.</param>
    /// <param name="seed">Decides initial weights and order of data.</param>
    /// <exception cref="LociException">A number is out of range; the message says which.</exception>
    public TrainingOptions ToOptions(int context, double learningRate, ulong seed)
    {
        if (Steps is null == Tokens is null)
        {
            throw new LociException(Steps is null
                ? "The experiment's training has no end: give steps or tokens."
                : "The experiment's training has two ends: give steps or tokens, not both.");
        }

        if (Tokens is < 1)
        {
            throw new LociException($"A training of {Tokens} tokens is too short: use at least 1.");
        }

        if (Evaluations < 1)
        {
            throw new LociException($"A learning curve of {Evaluations} points is too short: use at least 1 evaluation.");
        }

        var stepTokens = Math.Max(1, (long)context * Batch * Accumulation);
        var steps = Steps ?? ((Tokens!.Value + stepTokens - 1) / stepTokens);
        return new TrainingOptions
        {
            Steps = steps,
            Context = context,
            BatchRows = Batch,
            Accumulation = Accumulation,
            LearningRate = new LearningRateSchedule
            {
                Kind = Schedule,
                Peak = learningRate,
                WarmupSteps = Warmup ?? (int)Math.Min(LongestDefaultWarmup, steps / 10),
                FinalFraction = FinalFraction,
                DecayFraction = DecayFraction,
            },
            Beta1 = (float)Beta1,
            Beta2 = (float)Beta2,
            WeightDecay = (float)WeightDecay,
            MaximumGradientNorm = (float)Clip,
            EvaluateEvery = (int)Math.Clamp((steps + Evaluations - 1) / Evaluations, 1, int.MaxValue),
            Seed = seed,
        }.Validate();
    }
}
