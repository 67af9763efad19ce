using System.Diagnostics;
using System.Text.Json;
using Xunit;

namespace Loci.Cli.Tests;

/// <summary><c>loci eval routing</c>.</summary>
public sealed class RoutingTests(TinyModels models) : IClassFixture<TinyModels>
{
    [Fact]
    public void RoutingIsReportedAsTextAndJson()
    {
        string[] arguments = ["eval", "routing", "--model", models.Sparse, "--needle", "niah-single-2", "--lengths", "160,256", "--depths", "0.1,0.5", "--samples", "2", "--digits", "4", "--threads", "2"];
        var text = Cli.Run(arguments);
        Assert.True(text.ExitCode == 0, text.Error);
        Assert.Contains("niah-single-2, 2 examples of each length and depth", text.Output, StringComparison.Ordinal);
        Assert.Matches(@"(?m)^all +8 +0 ", text.Output);
        Assert.Matches(@"(?m)^256 tokens +4 +0 +[\d.]+ ± [\d.]+ % +[\d.]+ % ", text.Output);
        Assert.Matches(@"(?m)^depth 0\.5 ", text.Output);
        Assert.Matches(@"(?m)^  1, 0 ", text.Output);

        var json = Cli.Run([.. arguments, "--json"]);
        using var document = JsonDocument.Parse(json.Output);
        var all = document.RootElement.GetProperty("all");
        Assert.Equal(8, all.GetProperty("examples").GetInt32());
        Assert.InRange(all.GetProperty("hit_rate").GetDouble(), 0, 1);
        Assert.Equal(6, all.GetProperty("heads").GetArrayLength());
        Assert.InRange(all.GetProperty("router").GetProperty("loss").GetDouble(), 4, 7);
        Assert.InRange(all.GetProperty("oracle").GetProperty("accuracy").GetDouble(), 0, 1);
        Assert.Equal([160, 256], document.RootElement.GetProperty("lengths").EnumerateArray().Select(slice => slice.GetProperty("length").GetInt32()));
        Assert.Equal(4, document.RootElement.GetProperty("cells").GetArrayLength());
    }

    [Fact]
    public void ModelsWithoutGatesHaveNoHitRate()
    {
        var gated = Cli.Run("eval", "routing", "--model", models.Gated, "--lengths", "160", "--depths", "0", "--samples", "1", "--digits", "4", "--template", "short", "--json");
        Assert.True(gated.ExitCode == 0, gated.Error);
        using var document = JsonDocument.Parse(gated.Output);
        Assert.False(document.RootElement.GetProperty("all").TryGetProperty("hit_rate", out _));
        Assert.Equal(JsonValueKind.Null, document.RootElement.GetProperty("all").GetProperty("gate_mass_error").ValueKind);
        foreach (var folder in (string[])[models.Plain, models.Residual])
        {
            var result = Cli.Run("eval", "routing", "--model", folder);
            Assert.Equal((1, ""), (result.ExitCode, result.Output));
            Assert.Contains("No block of this model reads cached segments through gates", result.Error, StringComparison.Ordinal);
        }

        var tooShort = Cli.Run("eval", "routing", "--model", models.Gated, "--lengths", "40");
        Assert.Equal((1, ""), (tooShort.ExitCode, tooShort.Output));
        Assert.Contains("too few for this needle task", tooShort.Error, StringComparison.Ordinal);
    }

    [Fact]
    public void SignalStops()
    {
        Assert.SkipWhen(OperatingSystem.IsWindows(), "Signals cannot be sent to another process on Windows.");
        using var process = Cli.Start("eval", "routing", "--model", models.Sparse, "--lengths", "16384", "--samples", "100", "--threads", "1");
        Thread.Sleep(2000);
        using (var kill = Process.Start("kill", ["-INT", $"{process.Id}"]))
        {
            kill.WaitForExit();
        }

        var stopped = Cli.Finish(process);
        Assert.Equal((130, ""), (stopped.ExitCode, stopped.Output));
    }
}
