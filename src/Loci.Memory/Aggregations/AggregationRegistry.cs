namespace Loci.Memory.Aggregations;

/// <summary>The aggregations there are, by name: one vocabulary for configurations, the command line, sessions and reports.</summary>
public static class AggregationRegistry
{
    /// <summary>Those that models are trained with.</summary>
    public static IReadOnlyList<TrainedAggregation> Trained { get; } =
        [new NoCache(), new Residual(), new GatedResidual(), new MemorySoup(), new SparseSelective(), new LogLinear()];

    /// <summary>Those that read a memory that was trained without a cache (section 4.3).</summary>
    public static IReadOnlyList<Aggregation> AfterTraining { get; } =
        [new Mean(), new ExponentialMean(), new OutputMean(), .. Trained.Where(aggregation => aggregation is IReadsAfterTraining)];

    /// <summary>Finds one that models are trained with.</summary>
    /// <exception cref="LociException">There is none of that name.</exception>
    public static TrainedAggregation Find(string name) => Find(Trained, name, "aggregation");

    /// <summary>Finds one that reads a memory that was trained without a cache.</summary>
    /// <exception cref="LociException">There is none of that name.</exception>
    public static Aggregation FindAfterTraining(string name) => Find(AfterTraining, name, "read after training");

    private static T Find<T>(IReadOnlyList<T> known, string name, string what) where T : Aggregation =>
        known.FirstOrDefault(aggregation => aggregation.Name == name)
        ?? throw new LociException($"There is no {what} named '{name}': use {string.Join(", ", known.Select(aggregation => aggregation.Name))}.");
}
