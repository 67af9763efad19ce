using System.Text.Json;
using Xunit;

namespace Loci.Cli.Tests;

public sealed class BenchTests
{
    private static readonly string[] s_small = ["bench", "decode", "--size", "tiny", "--vocabulary", "300", "--tokens", "3", "--threads", "1"];

    [Fact]
    public void DecodingIsMeasuredForEveryFormFormatAndContext()
    {
        var run = Cli.Run([.. s_small, "--forms", "base,residual,grm,ssc,attention", "--segment-length", "64", "--aggregation", "grm", "--context", "64,1K", "--json"]);
        Assert.Equal(0, run.ExitCode);
        using var document = JsonDocument.Parse(run.Output);
        var rows = document.RootElement.GetProperty("rows").EnumerateArray().ToList();
        Assert.Equal(5 * 2 * 2, rows.Count);
        Assert.Equal(["base", "residual", "grm", "ssc", "attention"], rows.Select(row => row.GetProperty("form").GetString()!).Distinct());
        foreach (var row in rows)
        {
            Assert.True(row.GetProperty("fits").GetBoolean());
            Assert.True(row.GetProperty("tokens_per_second").GetDouble() > 0);
            Assert.True(row.GetProperty("milliseconds_median").GetDouble() <= row.GetProperty("milliseconds_95").GetDouble());
            Assert.True(row.GetProperty("state_bytes").GetInt64() > 0);
            Assert.True(row.GetProperty("prefill_tokens_per_second").GetDouble() > 0);
            var bytesPerWeight = row.GetProperty("weight_bytes").GetDouble() / row.GetProperty("parameters").GetInt64();
            Assert.True(row.GetProperty("weights").GetString() == "int8" ? bytesPerWeight is > 1 and < 1.7 : bytesPerWeight == 4);
        }

        // A cached state for each full segment of each of the two layers.
        Assert.Equal(2 * 16, rows.First(row => row.GetProperty("form").GetString() == "grm" && row.GetProperty("context").GetInt32() == 1024).GetProperty("cached_states").GetInt32());
    }

    [Fact]
    public void TheTableNamesModelAndDevice()
    {
        var run = Cli.Run([.. s_small, "--context", "16", "--weights", "int8"]);
        Assert.Equal(0, run.ExitCode);
        foreach (var part in new[] { "gated-linear; dimension 64", "cpu (1 thread", "tokens/s", "ms 95 %", "int8", "prefill/s" })
        {
            Assert.Contains(part, run.Output, StringComparison.Ordinal);
        }

        Assert.DoesNotContain("float32", run.Output, StringComparison.Ordinal);
    }

    [Theory]
    [InlineData("--weights", "int4")]
    [InlineData("--forms", "base,none")]
    [InlineData("--context", "1K,x")]
    [InlineData("--context", "99M")]
    [InlineData("--context", ",")]
    public void WrongListsAreUsageErrors(string option, string value)
    {
        var run = Cli.Run([.. s_small, option, value]);
        Assert.Equal(2, run.ExitCode);
        Assert.Contains(option, run.Error, StringComparison.Ordinal);
    }
}
