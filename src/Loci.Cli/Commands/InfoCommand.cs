using System.CommandLine;
using System.CommandLine.Parsing;
using Loci.Formats;
using Loci.Models;
using Loci.Training;

namespace Loci.Cli.Commands;

/// <summary><c>loci info</c>.</summary>
internal static class InfoCommand
{
    public static Command Create()
    {
        var folder = Options.Text("--model", "Folder of the model: a run, or any folder with its files.", "FOLDER", required: true);
        var command = new DocumentedCommand(
            "info",
            "Says what a model or run is, and how far it has been trained.",
            """
            Example:
              loci info --model runs/grm
            """)
        {
            folder,
        };
        command.SetAction(result =>
        {
            var path = result.GetValue(folder)!;
            LoadedModel.Require(path);
            var configuration = ModelConfiguration.Load(Path.Combine(path, "config.json"));
            using (var weights = SafetensorsFile.Open(Path.Combine(path, "model.safetensors")))
            {
                Console.WriteLine(FormattableString.Invariant($"parameters  {weights.Tensors.Sum(tensor => tensor.ElementCount):#,0} in {weights.Tensors.Count} tensors"));
            }

            Console.WriteLine("model       " + ModelOptions.Describe(configuration));
            var tokenizer = TrainingRun.LoadTokenizer(path);
            Console.WriteLine(FormattableString.Invariant($"tokenizer   {(tokenizer is Data.ByteTokenizer ? "bytes" : "byte-level BPE")}, {tokenizer.VocabularySize:#,0} tokens"));
            if (TrainingRun.Exists(path))
            {
                DescribeRun(path);
            }

            return 0;
        });
        return command;
    }

    private static void DescribeRun(string folder)
    {
        var description = TrainingRun.ReadDescription(folder);
        Console.WriteLine($"data        {description.Data?.Path ?? "given by the program that trains"}");
        var metrics = Path.Combine(folder, "metrics.jsonl");
        if (!File.Exists(metrics))
        {
            return;
        }

        MetricsRecord? step = null, best = null;
        foreach (var record in MetricsLog.Read(metrics))
        {
            if (record.Kind == MetricsKind.Step)
            {
                step = record;
            }
            else if (record.Kind == MetricsKind.Evaluation && record.Loss is { } loss && !(loss >= best?.Loss))
            {
                best = record;
            }
        }

        if (step is { } last)
        {
            Console.WriteLine(FormattableString.Invariant($"trained     {last.Step:#,0} steps, {last.Tokens:#,0} tokens, last loss {last.Loss:0.0000}"));
        }

        if (best is { } evaluation)
        {
            Console.WriteLine(FormattableString.Invariant($"validation  loss {evaluation.Loss:0.0000} at step {evaluation.Step:#,0}")
                + string.Concat((evaluation.Values ?? new Dictionary<string, double>()).Select(value => FormattableString.Invariant($", {value.Key.Replace('_', ' ')} {value.Value:0.0000}"))));
        }
    }
}
