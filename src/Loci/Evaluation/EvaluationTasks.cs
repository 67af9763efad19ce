namespace Loci.Evaluation;

/// <summary>The tasks that there are.</summary>
public static class EvaluationTasks
{
    /// <summary>All tasks, those of one family beside each other.</summary>
    public static IReadOnlyList<EvaluationTask> All { get; } =
    [
        new Recall.MultiQueryRecallTask(),
    ];

    /// <summary>A task by its name.</summary>
    /// <param name="name">The name.</param>
    /// <exception cref="LociException">There is no such task.</exception>
    public static EvaluationTask Find(string name) =>
        All.FirstOrDefault(task => task.Name == name)
        ?? throw new LociException($"There is no task '{name}': use {string.Join(", ", All.Select(task => task.Name))}.");
}
