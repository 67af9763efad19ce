using Loci.Evaluation.Tasks.Babi;
using Loci.Evaluation.Tasks.LongBench;
using Loci.Evaluation.Tasks.MultipleChoice;
using Loci.Evaluation.Tasks.Recall;
using Loci.Evaluation.Tasks.Retrieval;
using Loci.Evaluation.Tasks.Ruler;

namespace Loci.Evaluation;

/// <summary>The tasks that there are.</summary>
public static class EvaluationTasks
{
    /// <summary>All tasks, those of one family beside each other.</summary>
    public static IReadOnlyList<EvaluationTask> All { get; } =
    [
        new MultiQueryRecallTask(),
        new NeedleInHaystackTask("niah-single-1", "Needle in noise", "A number of a key is hidden in repeated sentences; which is it?"),
        new NeedleInHaystackTask("niah-single-2", "Needle in prose", "A number of a key is hidden in prose; which is it?"),
        new NeedleInHaystackTask("niah-single-3", "UUID in prose", "A UUID of a key is hidden in prose; which is it?"),
        new NeedleInHaystackTask("niah-multikey-1", "Needle among four", "Numbers of four keys are hidden in prose; which is that of one of them?"),
        new NeedleInHaystackTask("niah-multikey-2", "Needle among needles", "A number of a key stands among many of other keys; which is it?"),
        new NeedleInHaystackTask("niah-multikey-3", "UUID among UUIDs", "A UUID of a UUID stands among many of others; which is it?"),
        new NeedleInHaystackTask("niah-multivalue", "Four values of a key", "Four numbers of a key are hidden in prose; which are they?"),
        new NeedleInHaystackTask("niah-multiquery", "Values of four keys", "Numbers of four keys are hidden in prose; which are they?"),
        new VariableTrackingTask(),
        new CommonWordsTask(),
        new FrequentWordsTask(),
        new BabiTask(),
        new BabiLongTask(),
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
