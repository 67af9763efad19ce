using Xunit;

namespace Loci.Cli.Tests;

/// <summary>Text that comes to commands from outside.</summary>
public sealed class TextInputTests(TinyModels models) : IClassFixture<TinyModels>
{
    [Fact]
    public void StandardInputMayBeginWithAByteOrderMark()
    {
        string[] arguments = ["generate", "--prompt", "-", "--tokens", "3", "--seed", "1", "--model", models.Gated];
        var plain = Cli.RunWith("Hi, é", arguments);
        Assert.Equal((0, plain.Output), (plain.ExitCode, Cli.RunWith("\uFEFFHi, é", arguments).Output));
        var refused = Cli.RunWith("Hi\0", arguments);
        Assert.Equal(1, refused.ExitCode);
        Assert.Contains("Cannot read standard input: it has a NUL at byte 2, which text has not", refused.Error, StringComparison.Ordinal);
    }

    [Theory]
    [InlineData("train", "--data", "https://example.org/x", "--out", "unused", "--steps", "1")]
    [InlineData("train", "--data", "x.txt", "--validation", "https://example.org/x", "--out", "unused", "--steps", "1")]
    [InlineData("tokenizer", "train", "--data", "https://example.org/x", "--vocabulary", "300", "--out", "unused.json")]
    public void AnAddressIsNotAFile(params string[] command)
    {
        var failed = Cli.Run(command);
        Assert.Equal(2, failed.ExitCode);
        Assert.Contains("https://example.org/x is an address and not a file: download it first and give the file.", failed.Error, StringComparison.Ordinal);
    }
}
