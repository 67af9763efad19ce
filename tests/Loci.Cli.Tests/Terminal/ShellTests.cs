using System.Diagnostics;
using Loci.Cli.Terminal;
using Xunit;

namespace Loci.Cli.Tests.Terminal;

public sealed class ShellTests
{
    public static TheoryData<string> Words =>
    [
        "runs/grm", "my runs/grm 2", "it's", "\"quoted\"", "$HOME", "`id`", "a\\b", "wow!", "~", "~/runs", "-x", "", "*", "a;b", "a&b", "(a)", "#a", "a\nb", "модель", "'\"$`\\!", "a=b", "JULIET:",
    ];

    [Theory]
    [MemberData(nameof(Words))]
    public void ShellTakesTheWordAsItIs(string word)
    {
        Assert.SkipWhen(OperatingSystem.IsWindows(), "There is no sh on Windows.");
        using var shell = Process.Start(new ProcessStartInfo("sh", ["-c", $"printf '<%s>' {Shell.Quote(word)}"]) { RedirectStandardOutput = true })!;
        Assert.Equal($"<{word}>", shell.StandardOutput.ReadToEnd());
        shell.WaitForExit();
    }

    [Fact]
    public void PlainWordsStayPlain() => Assert.Equal(
        "loci train --resume runs/grm-2 \"my runs/a\" 'a$b'", Shell.Command("loci", "train", "--resume", "runs/grm-2", "my runs/a", "a$b"));
}
