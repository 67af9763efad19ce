using System.CommandLine;
using System.CommandLine.Parsing;
using Loci.Cli.Demo;
using Loci.Cli.Terminal;

namespace Loci.Cli.Commands;

/// <summary><c>loci demo</c>.</summary>
internal static class DemoCommand
{
    public static Command Create()
    {
        var folder = Options.Text("--out", "Folder for the models and the report (default loci-demo).", "FOLDER");
        var minutes = Options.Number("--minutes", FormattableString.Invariant($"About how long it may take on two free cores: decides the steps (default {DemoPlan.DefaultMinutes})."), 0.1, 10_000);
        var steps = Options.Whole("--steps", FormattableString.Invariant($"Steps to train each model, instead of --minutes (default {DemoPlan.DefaultSteps})."), 1L, 100_000_000L);
        var seed = Options.Whole("--seed", "Decides weights, order of data and the sample (default 0).", 0UL);
        var overwrite = Options.Flag("--overwrite", "Replaces an earlier demo in the folder.");
        var threads = Options.Threads();
        var command = new Command(
            "demo",
            """
            Trains two small models on a megabyte of Shakespeare that comes with the program, one whose memory has a fixed size and one whose memory grows,
            compares them on held-out text, lets the second one write, and draws a report. It takes about four minutes on two cores.

            Example:
              loci demo

            Ctrl+C saves and stops; the same command goes on from there. What is finished is not done again unless --overwrite is given.
            """)
        {
            folder, minutes, steps, seed, overwrite, threads,
        };
        command.SetAction(result =>
        {
            if (result.IsGiven(minutes) && result.IsGiven(steps))
            {
                throw new UsageException("--minutes and --steps both say how long to train; give one of them.");
            }

            var plan = new DemoPlan
            {
                TrainingText = DemoText.Training,
                ValidationText = DemoText.Validation,
                Steps = result.GetValue(steps) ?? StepsFor(result.GetValue(minutes) ?? DemoPlan.DefaultMinutes),
                Seed = result.GetValue(seed) ?? 0,
                Overwrite = result.GetValue(overwrite),
            };
            plan = plan with { Folder = result.GetValue(folder) ?? plan.Folder };
            using var device = Options.Device(result.GetValue(threads));
            return new DemoRun(plan, device, Console.Out).Run(Again(result, [folder, minutes, steps, seed, threads]));
        });
        return command;
    }

    /// <summary>The steps for a time. A function of the minutes alone, so that the same command gives the same models everywhere.</summary>
    internal static long StepsFor(double minutes) => Math.Max(1, (long)Math.Round(DemoPlan.DefaultSteps * minutes / DemoPlan.DefaultMinutes));

    /// <summary>The command line that goes on: the one at hand without --overwrite, which would begin again.</summary>
    private static string Again(ParseResult result, IReadOnlyList<Option> options)
    {
        List<string> words = ["loci", "demo"];
        foreach (var option in options)
        {
            if (result.GetResult(option) is { Implicit: false } given)
            {
                words.Add(option.Name);
                words.AddRange(given.Tokens.Select(token => Shell.Quote(token.Value)));
            }
        }

        return string.Join(' ', words);
    }
}
