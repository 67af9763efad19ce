using Loci.Evaluation.LongBench;
using Loci.Evaluation.MultipleChoice;
using Loci.Evaluation.Retrieval;

namespace Loci.Evaluation;

/// <summary>The tasks that there are.</summary>
public static class EvaluationTasks
{
    /// <summary>All tasks, those of one family beside each other.</summary>
    public static IReadOnlyList<EvaluationTask> All { get; } =
    [
        new LambadaTask(),
        new PiqaTask(),
        new HellaSwagTask(),
        new WinoGrandeTask(),
        new ArcEasyTask(),
        new ArcChallengeTask(),
        new SiqaTask(),
        new BoolQTask(),
        new SwdeTask(),
        new FdaTask(),
        new SquadTask(),
        new TriviaQaTask(),
        new DropTask(),
        new NqTask(),
        new XquadTask(),
        new RecordsTask(),
        .. LongBenchTask.All,
    ];

    /// <summary>A task by its name.</summary>
    /// <param name="name">The name.</param>
    /// <exception cref="LociException">There is no such task.</exception>
    public static EvaluationTask Find(string name) =>
        All.FirstOrDefault(task => task.Name == name)
        ?? throw new LociException($"There is no task '{name}': use {string.Join(", ", All.Select(task => task.Name))}.");
}
