using System.Diagnostics;
using Xunit;

namespace Loci.Cli.Tests;

/// <summary>Texts with control sequences: a pipe gets them as they are, a terminal and tables escaped.</summary>
public sealed class ControlCharacterTests(TinyModels models) : IClassFixture<TinyModels>, IDisposable
{
    private const string Red = "\e[31mred\u202E\u009B";
    private const string Shown = @"\u001B[31mred\u202E\u009B";

    private readonly TemporaryFolder _folder = new();

    public void Dispose() => _folder.Dispose();

    [Fact]
    public void InspectShowsThemEscapedUnlessRaw()
    {
        File.WriteAllText(_folder.In("text.txt"), $"{Red} and more text, so that there is a segment");
        string[] inspect = ["inspect", "--model", models.Gated, "--text", _folder.In("text.txt")];
        var shown = Cli.Run(inspect);
        Assert.Equal(0, shown.ExitCode);
        Assert.Contains(@"\u001B[31mred", shown.Output, StringComparison.Ordinal);
        Assert.DoesNotContain('\e', shown.Output);
        Assert.DoesNotContain('\u202E', shown.Output);
        Assert.Contains("\e[31mred", Cli.Run([.. inspect, "--raw"]).Output, StringComparison.Ordinal);
    }

    [Fact]
    public void PipeGetsWhatTheModelWritesAsItIs()
    {
        var piped = Cli.Run("generate", "--model", models.Gated, "--prompt", Red, "--tokens", "1", "--seed", "1");
        Assert.Equal(0, piped.ExitCode);
        Assert.StartsWith(Red, piped.Output, StringComparison.Ordinal);
    }

    [Fact]
    public void TerminalGetsItEscapedUnlessRaw()
    {
        string[] generate = ["generate", "--model", models.Gated, "--prompt", Red, "--tokens", "1", "--seed", "1"];
        Assert.StartsWith(Shown, OnTerminal(generate), StringComparison.Ordinal);
        Assert.StartsWith(Red, OnTerminal([.. generate, "--raw"]), StringComparison.Ordinal);
    }

    [Fact]
    public void SentencesShowThemEscaped()
    {
        foreach (var arguments in new string[][] { [Red], ["train", "--steps", Red], ["info", "--model", Red], ["experiment", Red], ["eval", Red], ["train", "--" + Red] })
        {
            var failed = Cli.Run(arguments);
            Assert.Contains(Shown, failed.Error, StringComparison.Ordinal);
            Assert.DoesNotContain('\e', failed.Error);
            Assert.DoesNotContain('\e', OnTerminal(arguments));
        }
    }

    /// <summary>What a terminal gets on which a command runs.</summary>
    private static string OnTerminal(string[] arguments)
    {
        Assert.SkipUnless(File.Exists("/usr/bin/script") && OperatingSystem.IsLinux(), "There is no program here that makes a terminal.");
        var command = Loci.Cli.Terminal.Shell.Command(["dotnet", Path.Combine(AppContext.BaseDirectory, "Loci.Cli.dll"), .. arguments]);
        using var process = Process.Start(new ProcessStartInfo("/usr/bin/script", ["-qec", command, "/dev/null"])
        {
            RedirectStandardOutput = true,
            RedirectStandardInput = true,
            RedirectStandardError = true,
            StandardOutputEncoding = System.Text.Encoding.UTF8,
        })!;
        process.StandardInput.Close();
        return Cli.Finish(process).Output.Replace("\e[?1h\e=", "", StringComparison.Ordinal); // with which .NET begins
    }
}
