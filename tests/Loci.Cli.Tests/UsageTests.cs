using Loci.Cli.Terminal;
using Xunit;

namespace Loci.Cli.Tests;

/// <summary>Command lines that are wrong: one sentence that names the option and says what to do, before any work is done.</summary>
public sealed class UsageTests
{
    [Theory]
    [InlineData("train --stepz 5", "There is no option '--stepz' here; did you mean --steps? See loci train --help.")]
    [InlineData("trian --steps 5", "There is no command 'trian' here; did you mean train? See loci --help.")]
    [InlineData("eval speed", "There is no command 'speed' here. See loci eval --help.")]
    [InlineData("train extra", "There is no argument 'extra' here.")]
    [InlineData("train --steps", "--steps")]
    [InlineData("train --steps five", "--steps takes a whole number of at least 1, not 'five'")]
    [InlineData("train --steps 0", "--steps takes a whole number of at least 1, not '0'")]
    [InlineData("train --steps 1.5", "--steps takes")]
    [InlineData("train --steps 99999999999999999999", "--steps takes")]
    [InlineData("train --steps 5 --steps 6", "--steps")]
    [InlineData("train --batch -3", "--batch takes a whole number from 1 to 65536, not '-3'")]
    [InlineData("train --lr nan", "--lr takes a number above 0 and at most 10, not 'nan'")]
    [InlineData("train --lr 1,5", "--lr takes")]
    [InlineData("train --dropout 1", "--dropout takes")]
    [InlineData("train --schedule cosin", "--schedule takes one of cosine, linear, wsd, constant, not 'cosin'")]
    [InlineData("train --aggregation mean", "--aggregation takes one of none, residual, grm, soup, ssc")]
    [InlineData("train --separator tab", "--separator takes one of file, blank-line, line, endoftext, wikitext")]
    [InlineData("train --time 5", "--time takes a length of time such as 90s, 30m or 2h")]
    [InlineData("train --time -5m", "--time takes")]
    [InlineData("train --seed -1", "--seed takes")]
    [InlineData("train --threads 0", "--threads takes")]
    [InlineData("train", "--data")]
    [InlineData("train --data x", "--out")]
    [InlineData("train --data x --out y", "no end")]
    [InlineData("train --data x --out y --steps 1 --validation v --validation-fraction 0.1", "--validation-fraction")]
    [InlineData("train --resume x --lr 0.1", "--lr cannot be given with --resume")]
    [InlineData("train --resume x --out y", "--out cannot be given with --resume")]
    [InlineData("generate", "--model")]
    [InlineData("generate --model", "--model")]
    [InlineData("generate --model x --tokens 0", "--tokens takes")]
    [InlineData("generate --model x --temperature -1", "--temperature takes a number of at least 0")]
    [InlineData("generate --model x --top-p 0", "--top-p takes a number above 0 and at most 1")]
    [InlineData("eval", "loci eval needs a command: perplexity. See loci eval --help.")]
    [InlineData("eval perplexity --model x", "--data")]
    [InlineData("tokenizer train --data x", "--out")]
    [InlineData("tokenizer train --data x --out y --vocabulary 12", "--vocabulary takes a whole number from 257")]
    [InlineData("info", "--model")]
    public void WrongCommandLineIsOneSentence(string line, string part)
    {
        var failure = Assert.Throws<UsageException>(() => CommandLine.Run(line.Split(' ')));
        Assert.Contains(part, failure.Message, StringComparison.Ordinal);
        using StringWriter error = new();
        Assert.Equal(2, Door.Report(failure, error, debug: false));
        Assert.Single(error.ToString().TrimEnd().Split('\n'));
    }

    [Theory]
    [InlineData("--memory attention --aggregation grm", "--aggregation")]
    [InlineData("--segment-length 64", "--segment-length needs --aggregation")]
    [InlineData("--segments logarithmic", "--segments needs --aggregation")]
    [InlineData("--top-k 3", "--top-k needs --aggregation")]
    [InlineData("--config model.json --size 8M", "--size")]
    [InlineData("--tokenizer bpe:many", "--tokenizer")]
    public void OptionsThatContradictEachOtherAreRefused(string options, string part)
    {
        using TemporaryFolder folder = new();
        File.WriteAllText(folder.In("text.txt"), "some text");
        var failure = Assert.Throws<UsageException>(() => CommandLine.Run(["train", "--data", folder.In("text.txt"), "--out", folder.In("run"), "--steps", "1", .. options.Split(' ')]));
        Assert.Contains(part, failure.Message, StringComparison.Ordinal);
        Assert.False(Directory.Exists(folder.In("run")));
    }

    [Fact]
    public void ExitCodesReachTheShell()
    {
        var usage = Cli.Run("train", "--stepz");
        Assert.Equal((2, ""), (usage.ExitCode, usage.Output));
        Assert.StartsWith("usage error: ", usage.Error, StringComparison.Ordinal);
        Assert.Contains("loci train --help", usage.Error, StringComparison.Ordinal);
        var help = Cli.Run("train", "--help");
        Assert.Equal((0, ""), (help.ExitCode, help.Error));
        Assert.Contains("loci train --resume", help.Output, StringComparison.Ordinal);
        Assert.Equal(0, Cli.Run().ExitCode);
        var version = Cli.Run("--version");
        Assert.Equal(0, version.ExitCode);
        Assert.Matches(@"^\d+\.\d+\.\d+", version.Output);
    }
}
