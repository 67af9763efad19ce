using Loci.Cli.Terminal;
using Xunit;

namespace Loci.Cli.Tests;

/// <summary>Command lines that are wrong: one sentence that names the option and says what to do, before any work is done.</summary>
public sealed class UsageTests
{
    [Theory]
    [InlineData("train --stepz 5", "There is no option '--stepz' here; did you mean --steps? See loci train --help.")]
    [InlineData("trian --steps 5", "There is no command 'trian' here; did you mean train? See loci --help.")]
    [InlineData("eval speed", "There is no task 'speed'. See loci eval list.")]
    [InlineData("tokenizer speed", "There is no command 'speed' here. See loci tokenizer --help.")]
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
    [InlineData("read --model x --into y", "'TEXT' missing")]
    [InlineData("read x --model y", "--into")]
    [InlineData("read x --into y", "--model")]
    [InlineData("read x --model y --into z --checkpoints float8", "--checkpoints takes one of float32, float16, int8, not 'float8'")]
    [InlineData("read x --model y --into z --memory-budget much", "--memory-budget takes a size such as 512M or 2G, not 'much'")]
    [InlineData("read x --model y --into z --memory-budget 0", "--memory-budget takes")]
    [InlineData("read x --model y --into z --append --overwrite", "--append and --overwrite contradict each other")]
    [InlineData("read x --model y --into ./x --overwrite", "TEXT and --into are the same file")]
    [InlineData("read - --model y --into z --separator line", "--separator is for files")]
    [InlineData("read x --model y --into z --after-training median", "--after-training takes one of mean, ema, output-mean, residual, grm, soup, ssc")]
    [InlineData("read x --model y --into z --segment-length 64", "--segment-length needs --after-training")]
    [InlineData("read x --model y --into z --after-training mean --rho 0.5", "--rho needs --after-training ema")]
    [InlineData("read x --model y --into z --after-training ema --rho 1", "--rho takes a number above 0")]
    [InlineData("read x --model y --into z --after-training soup --top-k 2", "--top-k needs --after-training ssc")]
    [InlineData("read x --model y --into z --after-training mean --online-bias 2", "--online-bias needs --after-training grm, soup or ssc")]
    [InlineData("ask --model x --memory y", "'QUESTION' missing")]
    [InlineData("ask --model x question", "--memory")]
    [InlineData("ask --model x --memory y question --tokens 0", "--tokens takes")]
    [InlineData("chat", "--model")]
    [InlineData("chat --model x --temperature -1", "--temperature takes")]
    [InlineData("inspect --model x", "nothing to inspect: name a memory with --memory or a text with --text")]
    [InlineData("inspect --model x --memory y --text z", "--memory and --text contradict each other")]
    [InlineData("inspect --model x --memory y --html z", "--html shows what a text reads: add --prompt")]
    [InlineData("inspect --model x --memory y --prompt z --layer -1", "--layer takes")]
    [InlineData("eval", "loci eval needs a task, such as ")]
    [InlineData("tokenizer", "loci tokenizer needs a command: train. See loci tokenizer --help.")]
    [InlineData("eval perplexity --model x", "--data")]
    [InlineData("eval routing", "--model")]
    [InlineData("eval routing --model x --needle niah", "--needle takes one of niah-single-1, ")]
    [InlineData("eval routing --model x --lengths 512,many", "--lengths takes whole numbers of tokens from 32 to 16777216 such as 1024,4096 or 1K,4K, not '512,many'")]
    [InlineData("eval routing --model x --depths 0.5,2", "--depths takes numbers from 0 to 1")]
    [InlineData("eval routing --model x --samples 0", "--samples takes")]
    [InlineData("eval routing --model x --template long", "--template takes one of short, ruler")]
    [InlineData("tokenizer train --data x", "--out")]
    [InlineData("tokenizer train --data x --out y --vocabulary 12", "--vocabulary takes a whole number from 257")]
    [InlineData("info", "--model")]
    [InlineData("eval routing --model x --lengths 1K,512,1024", "--lengths gives 1K twice; give it once.")]
    [InlineData("eval routing --model x --depths 0.5,0.50", "--depths gives 0.5 twice; give it once.")]
    [InlineData("bench decode --forms base,grm,base", "--forms gives base twice; give it once.")]
    [InlineData("bench decode --weights int8,int8", "--weights gives int8 twice; give it once.")]
    [InlineData("bench decode --context 1K,1024", "--context gives 1K twice; give it once.")]
    [InlineData("bench decode --size 1K", "with a vocabulary of 50,257 tokens, embeddings included, the smallest has 1.6M; choose that or a larger size")]
    [InlineData("generate --model x --top-p 1e-46", "--top-p takes a number above 0 and at most 1, not '1e-46', which is too small to be told from 0.")]
    [InlineData("generate --model x --temperature 1e-400", "--temperature takes a number of at least 0 and at most 100, not '1e-400', which is too small to be told from 0.")]
    [InlineData("generate --model x --temperature 1e400", "not '1e400'.")]
    [InlineData("train --clip 1e39", "--clip takes a number of at least 0, not '1e39'.")]
    [InlineData("train --clip Infinity", "not 'Infinity'.")]
    [InlineData("train --lr -NaN", "not '-NaN'.")]
    [InlineData("train --lr 0x1p-3", "not '0x1p-3'.")]
    [InlineData("train --steps 0x10", "not '0x10'.")]
    [InlineData("train --steps 1,000", "not '1,000'.")]
    [InlineData("train --steps 1_000", "not '1_000'.")]
    [InlineData("train --steps ١٢", "not '١٢'.")]
    [InlineData("train --lr ０.１", "not '０.１'.")]
    [InlineData("train --time 1e-9s", "not '1e-9s'.")]
    [InlineData("train --time 0.00000001s", "not '0.00000001s'.")]
    [InlineData("chat --model x --memory-budget 10KBB", "not '10KBB'.")]
    [InlineData("chat --model x --memory-budget 10i", "not '10i'.")]
    [InlineData("chat --model x --memory-budget 0.1", "not '0.1'.")]
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
    [InlineData("--tokenizer bpe:many", "--tokenizer takes bpe:N with N from 257 to 16777216, byte or a file, not 'bpe:many'.")]
    [InlineData("--tokenizer bpe:256", "not 'bpe:256'.")]
    [InlineData("--tokenizer bpe:99999999", "not 'bpe:99999999'.")]
    [InlineData("--context 4096 --batch 8192", "too large: use accumulation")]
    [InlineData("--tokenizer byte --size 1K", "There is no model of about 1K parameters: with a vocabulary of 257 tokens, embeddings included, the smallest has 51.3K; choose that or a larger size")]
    [InlineData("--size 1K", "with a vocabulary of 8,192 tokens, embeddings included, the smallest has 559.1K;")]
    [InlineData("--size 999B", "the largest has 14B; choose that or a smaller size")]
    public void OptionsThatContradictEachOtherAreRefused(string options, string part)
    {
        using TemporaryFolder folder = new();
        File.WriteAllText(folder.In("text.txt"), "some text");
        var failure = Assert.Throws<UsageException>(() => CommandLine.Run(["train", "--data", folder.In("text.txt"), "--out", folder.In("run"), "--steps", "1", .. options.Split(' ')]));
        Assert.Contains(part, failure.Message, StringComparison.Ordinal);
        Assert.False(Directory.Exists(folder.In("run")));
    }

    [Theory]
    [InlineData("read", "TEXT", "--into", "--append", "--overwrite", "--separator", "--checkpoints", "--memory-budget", "--no-rewind", "--after-training", "--rho", "the same command goes on from there")]
    [InlineData("ask", "QUESTION", "--memory", "--keep", "--temperature", "--top-k", "--top-p", "--seed", "--memory-budget", "loci ask --memory book.memory")]
    [InlineData("chat", "--memory", "--checkpoints", "--tokens", "/rewind @N", "/save FILE", "/memory", "/quit", "Ctrl+C")]
    [InlineData("inspect", "--memory", "--text", "--prompt", "--tokens", "--layer", "--html", "--json", "add up")]
    public void HelpSaysEverything(string command, params string[] parts)
    {
        var help = Cli.Run(command, "--help");
        Assert.Equal((0, ""), (help.ExitCode, help.Error));
        Assert.All(parts, part => Assert.Contains(part, help.Output, StringComparison.Ordinal));
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
