using System.CommandLine;
using Loci.Evaluation;

namespace Loci.Cli.Commands;

/// <summary><c>loci eval list</c>.</summary>
internal static class EvalListCommand
{
    public static Command Create()
    {
        var command = new Command("list", "Shows the tasks: what they ask, where they come from and which data they need.");
        command.SetAction(_ =>
        {
            foreach (var group in EvaluationTasks.All.GroupBy(task => task.Group))
            {
                if (group.Count() > 1)
                {
                    Console.WriteLine($"{group.Key}: {string.Join(", ", group.Select(task => task.Name))}\n");
                }

                foreach (var task in group)
                {
                    Write(task);
                }
            }

            return 0;
        });
        return command;
    }

    private static void Write(EvaluationTask task)
    {
        Console.WriteLine($"{task.Name}: {task.Title}");
        Console.WriteLine($"  {task.Description}");
        Console.WriteLine($"  measures  {string.Join(", ", task.Metrics.Select(metric => metric.Title))}");
        Console.WriteLine($"  source    {task.Source}");
        Console.WriteLine($"  data      {task.DataSource ?? "ships with Loci or is generated"}");
        if (task.SettingNames.Count > 0)
        {
            Console.WriteLine($"  settings  {string.Join(", ", task.SettingNames.Select(name => $"{task.Name}.{name}"))}");
        }

        Console.WriteLine();
    }
}
