using System.Diagnostics;
using System.Globalization;
using System.Runtime.InteropServices;
using Loci.Cli.Terminal;
using Xunit;

namespace Loci.Cli.Tests.Terminal;

public sealed class InterruptionTests
{
    [Fact]
    public void TheFirstSignalStopsInOrderAndTheSecondLeaves()
    {
        List<string> said = [];
        int? left = null;
        using Interruption interruption = new(said.Add, "stopping", code => left = code);
        Assert.False(interruption.Requested);
        PosixSignalContext first = new(PosixSignal.SIGINT);
        interruption.OnSignal(first);
        Assert.True(first.Cancel && interruption.Token.IsCancellationRequested);
        Assert.Equal(["stopping"], said);
        Assert.Null(left);
        interruption.OnSignal(new PosixSignalContext(PosixSignal.SIGINT));
        Assert.Equal(130, left);
        interruption.OnSignal(new PosixSignalContext(PosixSignal.SIGTERM));
        Assert.Equal(143, left);
        Assert.Single(said);
    }

    [Fact]
    public void ATerminalThatIsGoneDoesNotKeepTheCommandFromStopping()
    {
        using Interruption interruption = new(_ => throw new IOException(), "stopping", _ => { });
        interruption.OnSignal(new PosixSignalContext(PosixSignal.SIGTERM));
        Assert.True(interruption.Requested);
    }

    [Theory]
    [InlineData("INT", false, 130)]
    [InlineData("TERM", false, 130)]
    [InlineData("INT", true, 130)]
    [InlineData("TERM", true, 143)]
    public void ARealSignalReachesARealProcess(string signal, bool stubborn, int code)
    {
        Assert.SkipWhen(OperatingSystem.IsWindows(), "Unix signals.");
        Assert.SkipWhen(signal == "INT" && InterruptIsIgnored(), "Started in the background, where Ctrl+C is ignored.");
        using Process child = SignalChild.Start(stubborn);
        Assert.Equal("ready", child.StandardOutput.ReadLine());
        Send(child, signal);
        Assert.Equal("saving", child.StandardOutput.ReadLine());
        Assert.StartsWith("Stopping after this step and saving…", child.StandardError.ReadLine(), StringComparison.Ordinal);
        if (stubborn)
        {
            Send(child, signal);
        }

        Assert.True(child.WaitForExit(10_000));
        Assert.Equal(code, child.ExitCode);
    }

    private static void Send(Process child, string signal)
    {
        using Process kill = Process.Start("/bin/sh", ["-c", string.Create(CultureInfo.InvariantCulture, $"kill -{signal} {child.Id}")]);
        kill.WaitForExit();
    }

    private static bool InterruptIsIgnored()
    {
        string? mask = File.Exists("/proc/self/status") ? File.ReadLines("/proc/self/status").FirstOrDefault(line => line.StartsWith("SigIgn:", StringComparison.Ordinal)) : null;
        return mask is not null && (ulong.Parse(mask.AsSpan(7).Trim(), NumberStyles.HexNumber, CultureInfo.InvariantCulture) & 2) != 0;
    }
}
