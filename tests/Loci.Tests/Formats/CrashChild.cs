using System.Diagnostics;
using System.Globalization;
using System.Runtime.CompilerServices;
using Loci.Formats;

namespace Loci.Tests.Formats;

/// <summary>This test program started again as a process that does nothing but write files until it is killed.</summary>
internal static class CrashChild
{
    private const string Variable = "LOCI_TEST_CRASH_CHILD";

    /// <summary>What a version of the file looks like: as many floats as fit the number, all equal to it.</summary>
    public static int Elements(int version) => 50_000 + (version % 7 * 10_000);

    /// <summary>Starts the child; it prints a line after its first save.</summary>
    public static Process Start(string path)
    {
        ProcessStartInfo start = new(Environment.ProcessPath!) { RedirectStandardOutput = true, RedirectStandardError = true };
        if (System.IO.Path.GetFileNameWithoutExtension(Environment.ProcessPath) == "dotnet")
        {
            start.ArgumentList.Add(typeof(CrashChild).Assembly.Location);
        }

        start.Environment[Variable] = path;
        return Process.Start(start)!;
    }

    [ModuleInitializer]
    internal static void RunInstead()
    {
        if (Environment.GetEnvironmentVariable(Variable) is { Length: > 0 } path)
        {
            Run(path);
        }
    }

    private static void Run(string path)
    {
        using MetricsLog log = MetricsLog.Resume(path + ".jsonl", long.MaxValue);
        for (int version = 1; ; version++)
        {
            float[] values = new float[Elements(version)];
            values.AsSpan().Fill(version);
            Dictionary<string, string> metadata = new() { ["version"] = version.ToString(CultureInfo.InvariantCulture) };
            SafetensorsFile.Write(path, [TensorEntry.Float32("values", [values.Length], values)], metadata);
            log.Append(new MetricsRecord(MetricsKind.Step, version) { Loss = 1.0 / version, Text = new string('x', 500) });
            if (version == 1)
            {
                Console.WriteLine("saved");
            }
        }
    }
}
