using System.Diagnostics;
using System.Text;

namespace Loci.Cli.Tests;

/// <summary>What a run of the program left behind.</summary>
internal sealed record CliResult(int ExitCode, string Output, string Error);

/// <summary>The program as a process of its own.</summary>
internal static class Cli
{
    private static readonly TimeSpan Patience = TimeSpan.FromSeconds(60);

    public static CliResult Run(params string[] arguments)
    {
        using var process = Start(arguments);
        return Finish(process);
    }

    /// <summary>Runs the program with a text as its standard input.</summary>
    public static CliResult RunWith(string input, params string[] arguments)
    {
        using var process = StartOpen(arguments);
        process.StandardInput.Write(input);
        process.StandardInput.Close();
        return Finish(process);
    }

    public static Process Start(params string[] arguments)
    {
        var process = StartOpen(arguments);
        process.StandardInput.Close();
        return process;
    }

    /// <summary>Starts the program with a standard input that stays open until somebody closes it.</summary>
    public static Process StartOpen(params string[] arguments) => Start("dotnet", [Program, .. arguments]);

    /// <summary>Runs the program in a shell, which redirects or closes its streams as in <c>2>&amp;-</c>.</summary>
    public static CliResult RunInShell(string redirections, params string[] arguments)
    {
        using var process = StartInShell("", redirections, arguments);
        process.StandardInput.Close();
        return Finish(process);
    }

    /// <summary>Starts the program in a shell that does something first.</summary>
    public static Process StartInShell(string before, string redirections, params string[] arguments) =>
        Start("/bin/sh", ["-c", $"{before} exec dotnet \"$0\" \"$@\" {redirections}", Program, .. arguments]);

    /// <summary>Sends a signal.</summary>
    public static void Signal(Process process, string signal)
    {
        using var kill = Process.Start("kill", [$"-{signal}", $"{process.Id}"]);
        kill.WaitForExit();
    }

    private static string Program => Path.Combine(AppContext.BaseDirectory, "Loci.Cli.dll");

    private static Process Start(string program, string[] arguments)
    {
        ProcessStartInfo information = new(program)
        {
            RedirectStandardOutput = true,
            RedirectStandardError = true,
            RedirectStandardInput = true,
            StandardOutputEncoding = Encoding.UTF8,
            StandardErrorEncoding = Encoding.UTF8,
            StandardInputEncoding = new UTF8Encoding(false),
        };
        foreach (var argument in arguments)
        {
            information.ArgumentList.Add(argument);
        }

        return Process.Start(information)!;
    }

    public static CliResult Finish(Process process)
    {
        var output = process.StandardOutput.ReadToEndAsync();
        var error = process.StandardError.ReadToEndAsync();
        if (!process.WaitForExit(Patience))
        {
            process.Kill();
            throw new TimeoutException($"The program did not end within {Patience}.");
        }

        return new CliResult(process.ExitCode, output.GetAwaiter().GetResult(), error.GetAwaiter().GetResult());
    }
}

/// <summary>A folder that goes away with the test.</summary>
internal sealed class TemporaryFolder : IDisposable
{
    public string Path { get; } = Directory.CreateTempSubdirectory("loci-cli-test-").FullName;

    public string In(string name) => System.IO.Path.Combine(Path, name);

    public void Dispose() => Directory.Delete(Path, recursive: true);
}
