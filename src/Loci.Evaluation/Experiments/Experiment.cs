using System.Globalization;
using System.Text.Json;
using System.Text.Json.Nodes;
using Loci.Data;
using Loci.Formats;
using Loci.Models;

namespace Loci.Evaluation.Experiments;

/// <summary>One of the models that an experiment compares.</summary>
/// <param name="Label">Its name in results.</param>
/// <param name="Model">Its sizes and mixers; the vocabulary is the task's.</param>
/// <param name="Against">The label of the arm that it is compared with, seed by seed; null for the first one.</param>
public sealed record ExperimentArm(string Label, ModelConfiguration Model, string? Against = null)
{
    /// <summary>The label as a part of a folder's name.</summary>
    internal string Slug => FolderName.Of(Label.ToLowerInvariant());
}

/// <summary>One training of an experiment.</summary>
/// <param name="Arm">The model.</param>
/// <param name="LearningRate">The highest learning rate.</param>
/// <param name="Seed">Decides initial weights and order of data.</param>
public sealed record ExperimentRun(ExperimentArm Arm, double LearningRate, ulong Seed)
{
    /// <summary>Its folder's name.</summary>
    public string Name => string.Create(CultureInfo.InvariantCulture, $"{Arm.Slug}-lr{LearningRate:R}-seed{Seed}");

    /// <summary>What people call it.</summary>
    public string Title => string.Create(CultureInfo.InvariantCulture, $"{Arm.Label}, learning rate {LearningRate:R}, seed {Seed}");
}

/// <summary>
/// An experiment: models that are trained in the same way on the same task, with several seeds and learning rates each. <c>docs/experiments.md</c> describes the file.
/// </summary>
public sealed class Experiment
{
    private static readonly string[] Fields = ["name", "description", "task", "model", "arms", "training", "seeds", "learningRates", "sweepSeeds", "keepModels"];
    private static readonly string[] ArmFields = ["label", "mixers", "model", "against"];

    private Experiment(string name, string? description, ExperimentTask task, ExperimentTraining training, IReadOnlyList<ExperimentArm> arms, IReadOnlyList<ulong> seeds, IReadOnlyList<double> learningRates, int sweptSeeds, bool keepsModels)
    {
        Name = name;
        Description = description;
        Task = task;
        Training = training;
        Arms = arms;
        Seeds = seeds;
        LearningRates = learningRates;
        SweptSeeds = sweptSeeds;
        KeepsModels = keepsModels;
    }

    /// <summary>Its name.</summary>
    public string Name { get; }

    /// <summary>What it is for, in a sentence or two; null for none.</summary>
    public string? Description { get; }

    /// <summary>What the models learn.</summary>
    public ExperimentTask Task { get; }

    /// <summary>How they are trained.</summary>
    public ExperimentTraining Training { get; }

    /// <summary>The models.</summary>
    public IReadOnlyList<ExperimentArm> Arms { get; }

    /// <summary>The seeds that every model is trained with.</summary>
    public IReadOnlyList<ulong> Seeds { get; }

    /// <summary>The learning rates that every model is trained with.</summary>
    public IReadOnlyList<double> LearningRates { get; }

    /// <summary>How many of the seeds, from the first, are trained with every learning rate; the others only with the one that is best on the validation examples of those.</summary>
    public int SweptSeeds { get; }

    /// <summary>Whether trained models are kept, each in the folder <c>model</c> of its run.</summary>
    public bool KeepsModels { get; }

    /// <summary>The number of trainings of the whole experiment.</summary>
    public int RunCount => Arms.Count * ((LearningRates.Count * SweptSeeds) + Seeds.Count - SweptSeeds);

    /// <summary>All trainings that there can be, those of the first seed first; of the seeds that are not swept only one learning rate for every arm is trained.</summary>
    public IEnumerable<ExperimentRun> Runs =>
        from seed in Seeds
        from rate in LearningRates
        from arm in Arms
        select new ExperimentRun(arm, rate, seed);

    /// <summary>Reads an experiment file.</summary>
    /// <exception cref="LociException">The file is missing or not a valid experiment.</exception>
    public static Experiment Load(string path)
    {
        var text = TextInput.ReadFile(path);
        return FileFailure.Naming(path, () => Parse(text));
    }

    /// <summary>Reads an experiment: JSON, in which comments are allowed.</summary>
    /// <exception cref="LociException">The text is not a valid experiment.</exception>
    public static Experiment Parse(string json)
    {
        try
        {
            var root = JsonNode.Parse(json, documentOptions: new JsonDocumentOptions { CommentHandling = JsonCommentHandling.Skip, AllowTrailingCommas = true });
            return root is JsonObject fields ? Read(fields) : throw new LociException("The experiment is not a JSON object: write one with name, task, training and arms.");
        }
        catch (Exception exception) when (exception is JsonException or ArgumentException)
        {
            throw new LociException($"The experiment is not valid JSON: {JsonProblem.Of(exception)}; correct that place.", exception);
        }
    }

    /// <summary>How a run's model is trained.</summary>
    internal Training.TrainingOptions OptionsOf(ExperimentRun run) => Training.ToOptions(Task.RowLength, run.LearningRate, run.Seed);

    private static Experiment Read(JsonObject fields)
    {
        ExperimentJson.RequireKnown(fields, Fields, "file");
        foreach (var needed in new[] { "name", "task", "training", "arms" })
        {
            Require(fields.ContainsKey(needed), $"The experiment has no {needed}: add the field '{needed}'.");
        }

        var name = ExperimentJson.Convert(fields["name"], ExperimentJson.Default.String, "name");
        Require(name.Trim().Length > 0, "The experiment's name is empty: give one.");
        var task = ReadTask(fields["task"]);
        task.Validate();
        var training = ExperimentJson.Read(fields["training"], new ExperimentTraining(), ExperimentJson.Default.ExperimentTraining, "training");
        ulong[] seeds = fields["seeds"] is { } seedsNode ? ExperimentJson.Convert(seedsNode, ExperimentJson.Default.UInt64Array, "seeds") : [0];
        double[] rates = fields["learningRates"] is { } ratesNode ? ExperimentJson.Convert(ratesNode, ExperimentJson.Default.DoubleArray, "learningRates") : [new Training.LearningRateSchedule().Peak];
        Require(seeds.Length > 0 && seeds.Distinct().Count() == seeds.Length, "The experiment's seeds are empty or name one twice: give different numbers, such as [0, 1, 2].");
        Require(rates.Length > 0 && rates.Distinct().Count() == rates.Length, "The experiment's learningRates are empty or name one twice: give different numbers, such as [0.001, 0.003].");
        foreach (var rate in rates)
        {
            _ = training.ToOptions(task.RowLength, rate, 0);
        }

        return new Experiment(
            name,
            fields["description"] is { } description ? ExperimentJson.Convert(description, ExperimentJson.Default.String, "description") : null,
            task,
            training,
            ReadArms(fields["arms"], fields["model"]),
            seeds,
            rates,
            ReadSweptSeeds(fields["sweepSeeds"], seeds.Length),
            ReadFlag(fields["keepModels"], "keepModels"));
    }

    private static int ReadSweptSeeds(JsonNode? node, int seeds)
    {
        if (node is null)
        {
            return seeds;
        }

        if (node is JsonValue value && value.TryGetValue<int>(out var count) && count >= 1 && count <= seeds)
        {
            return count;
        }

        throw new LociException($"The experiment's sweepSeeds is {node.ToJsonString()}: give the number of seeds, from 1 to {seeds}, that try all learning rates.");
    }

    private static bool ReadFlag(JsonNode? node, string name)
    {
        var flag = false;
        Require(node is null || (node is JsonValue value && value.TryGetValue(out flag)), $"The experiment's {name} is {node?.ToJsonString()}: use true or false.");
        return flag;
    }

    private static ExperimentTask ReadTask(JsonNode? node)
    {
        if (node is not JsonObject given || given["kind"] is not JsonValue value || !value.TryGetValue<string>(out var kind))
        {
            throw new LociException("The experiment's task does not say what it is: give an object with the kind recall, language or needle.");
        }

        var settings = given.DeepClone().AsObject();
        settings.Remove("kind");
        return kind switch
        {
            "recall" => ExperimentJson.Read(settings, new RecallTask(), ExperimentJson.Default.RecallTask, "task"),
            "language" => ExperimentJson.Read(settings, new LanguageTask(), ExperimentJson.Default.LanguageTask, "task"),
            "needle" => ExperimentJson.Read(settings, new NeedleTask(), ExperimentJson.Default.NeedleTask, "task"),
            _ => throw new LociException($"There is no task of the kind '{kind}': use recall, language or needle."),
        };
    }

    private static List<ExperimentArm> ReadArms(JsonNode? node, JsonNode? model)
    {
        Require(model is null or JsonObject, "The experiment's model is not a JSON object: write one in braces.");
        Require(node is JsonArray { Count: > 0 }, "The experiment has no arms: give a list of objects with label and mixers.");
        List<ExperimentArm> arms = [];
        foreach (var entry in node!.AsArray())
        {
            Require(entry is JsonObject, "An arm of the experiment is not a JSON object: write one with label and mixers.");
            var arm = entry!.AsObject();
            ExperimentJson.RequireKnown(arm, ArmFields, "arm");
            var label = arm["label"] is { } text ? ExperimentJson.Convert(text, ExperimentJson.Default.String, "arm's label") : "";
            var against = arm["against"] is { } other ? ExperimentJson.Convert(other, ExperimentJson.Default.String, $"arm '{label}'") : null;
            arms.Add(new ExperimentArm(label, ReadModel(label, model as JsonObject, arm), against));
            Require(arms[^1].Slug.Length > 0, "An arm of the experiment has no label: give each one of its own.");
            Require(
                arms.Count(other => other.Slug == arms[^1].Slug) == 1,
                $"Two arms of the experiment have labels that would share a folder, '{arms.Find(other => other.Slug == arms[^1].Slug)!.Label}' and '{label}': give them different ones.");
        }

        foreach (var arm in arms.Where(arm => arm.Against is not null))
        {
            Require(
                arm.Against != arm.Label && arms.Exists(other => other.Label == arm.Against),
                $"The arm '{arm.Label}' is to be compared with '{arm.Against}', which is not another arm of the experiment: give the label of one.");
        }

        return arms;
    }

    private static ModelConfiguration ReadModel(string label, JsonObject? shared, JsonObject arm)
    {
        Require(arm["mixers"] is JsonArray, $"The arm '{label}' has no mixers: give the list that a model's configuration has.");
        Require(arm["model"] is null or JsonObject, $"The model of the arm '{label}' is not a JSON object: write one in braces.");
        JsonObject model = [];
        foreach (var part in new[] { shared, arm["model"] as JsonObject })
        {
            foreach (var (name, value) in part ?? [])
            {
                Require(name != "vocabularySize", "The vocabulary comes from the task, so a model of the experiment cannot set vocabularySize: leave it out.");
                Require(name != "mixers", "The mixers are what the arms differ in, so the experiment's model cannot set them: give them in every arm.");
                model[name] = value?.DeepClone();
            }
        }

        model["vocabularySize"] = 2; // until the task is ready
        model["mixers"] = arm["mixers"]!.DeepClone();
        try
        {
            return ModelConfiguration.FromJson(model.ToJsonString());
        }
        catch (LociException exception)
        {
            throw new LociException($"The arm '{label}' is not a model: {exception.Message}", exception);
        }
    }

    private static void Require(bool condition, string message)
    {
        if (!condition)
        {
            throw new LociException(message);
        }
    }
}
