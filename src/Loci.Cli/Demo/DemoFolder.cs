using Loci.Formats;
using Loci.Models;
using Loci.Training;

namespace Loci.Cli.Demo;

/// <summary>The demo's folder: made ready for a new demo, or found to hold one that goes on.</summary>
internal static class DemoFolder
{
    /// <summary>Makes the folder ready, and writes the text into it.</summary>
    /// <exception cref="LociException">It cannot be written to, or holds something else than this very demo.</exception>
    public static void Prepare(DemoPlan plan)
    {
        foreach (var model in DemoModel.Both)
        {
            var folder = plan.FolderOf(model);
            if (!TrainingRun.Exists(folder))
            {
                TrainingRun.RequireUnused(folder);
                continue;
            }

            var description = TrainingRun.ReadDescription(folder);
            if (description.Data != plan.Data && !IsMoved(description.Data))
            {
                throw new LociException($"{folder} holds a training run that is not the demo's: choose another folder with --out.");
            }

            if (plan.Overwrite)
            {
                Delete(folder);
            }
            else if (description.Training != plan.Training || !IsSameModel(plan, model) || !HasSameText(plan))
            {
                throw new LociException(
                    $"{plan.Folder} holds a demo with other settings ({description.Training.Steps} steps, seed {description.Training.Seed}): give --overwrite to replace it, or another folder with --out.");
            }
            else
            {
                RequireResumable(folder, plan);
            }
        }

        try
        {
            Directory.CreateDirectory(Path.GetDirectoryName(plan.TrainingPath)!);
        }
        catch (Exception exception) when (exception is IOException or UnauthorizedAccessException)
        {
            throw new LociException($"The folder {plan.Folder} cannot be made or written to: choose another one with --out. ({exception.Message.TrimEnd('.')})", exception);
        }

        AtomicFile.WriteAllText(plan.TrainingPath, plan.TrainingText);
        AtomicFile.WriteAllText(plan.ValidationPath, plan.ValidationText);
    }

    private static void RequireResumable(string folder, DemoPlan plan)
    {
        try
        {
            TrainingRun.RequireResumable(folder, plan.Training);
        }
        catch (LociException exception)
        {
            throw new LociException(
                $"{plan.Folder} holds a demo that cannot go on: give --overwrite to replace it, or another folder with --out. "
                + $"({exception.Message.TrimEnd('.')})", exception);
        }
    }

    /// <summary>Whether data is that of a demo whose folder had another path when it began.</summary>
    private static bool IsMoved(TrainingData? data) => data is { Validation: { } validation }
        && Path.GetFileName(data.Path) == "train.txt" && Path.GetFileName(validation) == "validation.txt"
        && Path.GetDirectoryName(data.Path) is { } folder && folder == Path.GetDirectoryName(validation) && Path.GetFileName(folder) == "text";

    private static bool IsSameModel(DemoPlan plan, DemoModel model)
    {
        var saved = ModelConfiguration.Load(Path.Combine(plan.FolderOf(model), "config.json"));
        return saved.ToJson() == plan.Configure(model, saved.VocabularySize).ToJson();
    }

    private static bool HasSameText(DemoPlan plan) =>
        IsText(plan.TrainingPath, plan.TrainingText) && IsText(plan.ValidationPath, plan.ValidationText);

    // A text that is missing is written again.
    private static bool IsText(string path, string text) => !File.Exists(path) || File.ReadAllText(path) == text;

    private static void Delete(string folder)
    {
        try
        {
            // A process that trains in the folder holds this file.
            using (new FileStream(Path.Combine(folder, ".lock"), FileMode.OpenOrCreate, FileAccess.ReadWrite, FileShare.None))
            {
            }

            // First what makes the folder a run, so that one that is deleted only in part is not taken for one.
            File.Delete(Path.Combine(folder, "training.json"));
            Directory.Delete(folder, recursive: true);
        }
        catch (Exception exception) when (exception is IOException or UnauthorizedAccessException)
        {
            throw new LociException($"{folder} cannot be replaced: close what uses it, or choose another folder with --out. ({exception.Message.TrimEnd('.')})", exception);
        }
    }
}
