using Loci.Memory;
using Loci.Memory.Aggregations;
using Loci.Memory.Routing;
using Loci.Memory.Segments;
using Loci.Models;
using Loci.Training;

namespace Loci.Cli.Demo;

/// <summary>What the demo does: everything its result depends on, and where it goes.</summary>
internal sealed record DemoPlan
{
    /// <summary>Steps of each model that take about <see cref="DefaultMinutes"/> for the whole demo on two free cores.</summary>
    public const long DefaultSteps = 700;

    /// <summary>About how long the demo takes by default.</summary>
    public const double DefaultMinutes = 4;

    /// <summary>Where everything goes, as the person wrote it.</summary>
    public string Folder { get; init; } = "loci-demo";

    /// <summary>Steps of each model.</summary>
    public long Steps { get; init; } = DefaultSteps;

    /// <summary>Decides weights, order of data and the sample.</summary>
    public ulong Seed { get; init; }

    /// <summary>Whether an earlier demo in the folder gives way.</summary>
    public bool Overwrite { get; init; }

    /// <summary>Width and depth of both models.</summary>
    public ModelSize Size { get; init; } = new(128, 4, 4);

    /// <summary>Number of tokens that the tokenizer learns.</summary>
    public int Vocabulary { get; init; } = 1024;

    /// <summary>Tokens per row.</summary>
    public int Context { get; init; } = 1024;

    /// <summary>Rows per step.</summary>
    public int BatchRows { get; init; } = 2;

    /// <summary>Tokens per segment of the model with a cache.</summary>
    public int SegmentLength { get; init; } = 64;

    /// <summary>What the router's bias for the online segment begins with.</summary>
    public float OnlineBias { get; init; } = 3;

    /// <summary>The highest learning rate.</summary>
    public double LearningRate { get; init; } = 4e-3;

    /// <summary>The text to learn from.</summary>
    public required string TrainingText { get; init; }

    /// <summary>The text to measure on.</summary>
    public required string ValidationText { get; init; }

    /// <summary>What the sample goes on from.</summary>
    public string Prompt { get; init; } = "ROMEO:";

    /// <summary>Tokens of the sample.</summary>
    public int SampleTokens { get; init; } = 160;

    /// <summary>Tokens per step.</summary>
    public long StepTokens => (long)Context * BatchRows;

    /// <summary>The file of the text to learn from.</summary>
    public string TrainingPath => Path.Combine(Folder, "text", "train.txt");

    /// <summary>The file of the text to measure on.</summary>
    public string ValidationPath => Path.Combine(Folder, "text", "validation.txt");

    /// <summary>The file of the report.</summary>
    public string ReportPath => Path.Combine(Folder, "report.html");

    /// <summary>Where the runs' text comes from; with full paths, so that <c>loci train --resume</c> finds it from anywhere.</summary>
    public TrainingData Data => new() { Path = Path.GetFullPath(TrainingPath), Validation = Path.GetFullPath(ValidationPath) };

    /// <summary>How both models are trained.</summary>
    public TrainingOptions Training => new()
    {
        Steps = Steps,
        Context = Context,
        BatchRows = BatchRows,
        LearningRate = new LearningRateSchedule { Peak = LearningRate, WarmupSteps = Warmup },
        EvaluateEvery = EvaluateEvery,
        SaveEvery = EvaluateEvery,
        Seed = Seed,
    };

    private int Warmup => (int)Math.Min(40, Steps / 10);

    private int EvaluateEvery => (int)Math.Clamp((Steps + 4) / 5, 1, int.MaxValue);

    /// <summary>The folder of a model.</summary>
    public string FolderOf(DemoModel model) => Path.Combine(Folder, model.Name);

    /// <summary>The configuration of a model: the two differ in their cache alone.</summary>
    public ModelConfiguration Configure(DemoModel model, int vocabularySize) => ModelPresets.Create(Size, vocabularySize, new MixerConfiguration
    {
        Cache = new CacheConfiguration
        {
            Aggregation = model.IsCached ? "grm" : "none",
            SegmentLength = SegmentLength,
            // With these two it begins as the base model, near enough: its online memory is the base's, and the gate is all but closed to the past.
            Start = model.IsCached ? SegmentStart.Checkpoint : null,
            Router = new RouterConfiguration { OnlineBias = OnlineBias },
        },
    });

    /// <summary>The arguments of <c>loci</c> that train the same model, to the bit, in another folder.</summary>
    public IReadOnlyList<string> TrainArguments(DemoModel model, string folder) =>
    [
        "train", "--data", TrainingPath, "--validation", ValidationPath, "--out", folder, "--config", Path.Combine(FolderOf(model), "config.json"),
        "--tokenizer", Invariant($"bpe:{Vocabulary}"), "--context", Invariant($"{Context}"), "--batch", Invariant($"{BatchRows}"), "--steps", Invariant($"{Steps}"),
        "--lr", Invariant($"{LearningRate}"), "--warmup", Invariant($"{Warmup}"), "--eval-every", Invariant($"{EvaluateEvery}"), "--seed", Invariant($"{Seed}"),
    ];

    private static string Invariant(FormattableString text) => FormattableString.Invariant(text);
}
