namespace Loci.Evaluation.Tasks.Ruler;

/// <summary>What <see cref="RoutingMeasurement"/> measures on. With the same settings and seed these are the examples that an experiment's needle task reports on.</summary>
public sealed record RoutingOptions
{
    /// <summary>RULER's task, one of <see cref="NeedleOptions.PresetNames"/>.</summary>
    public string Needle { get; init; } = "niah-single-2";

    /// <summary>How prompts are worded.</summary>
    public NeedleTemplate Template { get; init; } = NeedleTemplate.Short;

    /// <summary>What keys are; null for what the task has.</summary>
    public NeedleKind? Keys { get; init; }

    /// <summary>Digits of numbers.</summary>
    public int Digits { get; init; } = 7;

    /// <summary>Lengths of the examples, in tokens.</summary>
    public IReadOnlyList<int> Lengths { get; init; } = [512, 1024, 2048, 4096];

    /// <summary>Depths at which the needle that is asked for stands, from 0 to 1.</summary>
    public IReadOnlyList<double> Depths { get; init; } = [0.1, 0.5, 0.9];

    /// <summary>Examples of each length and depth.</summary>
    public int Samples { get; init; } = 20;

    /// <summary>Decides what the examples are.</summary>
    public ulong Seed { get; init; }

    /// <summary>Checks the options.</summary>
    /// <returns>These options.</returns>
    /// <exception cref="LociException">They are out of range.</exception>
    public RoutingOptions Validate()
    {
        Task.Validate();
        Require(Lengths is { Count: > 0 } && Lengths.All(length => length >= 32), "The lengths of needle examples must be at least 32 tokens: give one or more.");
        Require(Depths is { Count: > 0 } && Depths.All(depth => depth is >= 0 and <= 1), "The depths of needles must be from 0 to 1: give one or more.");
        Require(Lengths.Distinct().Count() == Lengths.Count && Depths.Distinct().Count() == Depths.Count, "The lengths and depths of needles must each be given once.");
        Require(Samples >= 1, $"{Samples} examples of each length and depth are too few: use at least 1.");
        return this;

        static void Require(bool condition, string message)
        {
            if (!condition)
            {
                throw new LociException(message);
            }
        }
    }

    internal NeedleOptions Task => NeedleTokens.TaskOf(Needle, Template, Digits, Keys);
}
