using System.Diagnostics;
using System.Globalization;
using System.Runtime.InteropServices;
using Loci.Cli.Terminal;
using Xunit;

namespace Loci.Cli.Tests.Terminal;

public sealed class InterruptionTests
{
    private readonly TestClock _clock = new();
    private readonly List<string> _said = [];
    private readonly List<int> _left = [];
    private readonly ProcessSignals _signals;

    public InterruptionTests() => _signals = new ProcessSignals(_left.Add, _clock);

    [Theory]
    [InlineData(PosixSignal.SIGINT, 130)]
    [InlineData(PosixSignal.SIGTERM, 143)]
    [InlineData(PosixSignal.SIGHUP, 129)]
    public void WhereNobodyIsInChargeASignalLeavesAtOnce(PosixSignal signal, int code)
    {
        Send(signal);
        Assert.Equal([code], _left);
        using (new Interruption("stopping", _said.Add, _signals))
        {
        }

        Send(signal);
        Assert.Equal([code, code], _left);
        Assert.Empty(_said);
    }

    [Fact]
    public void TheFirstSignalStopsInOrderAndTheSecondLeaves()
    {
        using Interruption interruption = new("stopping", _said.Add, _signals);
        Assert.False(interruption.Requested);
        PosixSignalContext first = new(PosixSignal.SIGTERM);
        _signals.OnSignal(first);
        Assert.True(first.Cancel && interruption.Requested && interruption.Token.IsCancellationRequested);
        Assert.Equal(["stopping"], _said);
        Assert.Empty(_left);
        _clock.Advance(1);
        Send(PosixSignal.SIGINT);
        Assert.Equal([130], _left);
        Assert.Equal(143, interruption.ExitCode);
        Assert.Single(_said);
    }

    [Fact]
    public void ARequestThatComesTwiceIsOne()
    {
        using Interruption interruption = new("stopping", _said.Add, _signals);
        Send(PosixSignal.SIGTERM);
        Send(PosixSignal.SIGTERM);
        _clock.Advance(60);
        Send(PosixSignal.SIGHUP);
        Assert.Empty(_left);
        Assert.Single(_said);
        Send(PosixSignal.SIGTERM);
        Assert.Equal([143], _left);
    }

    [Fact]
    public void ATerminalThatIsGoneDoesNotKeepTheCommandFromStopping()
    {
        using Interruption interruption = new("stopping", _ => throw new IOException(), _signals);
        Send(PosixSignal.SIGHUP);
        Assert.True(interruption.Token.IsCancellationRequested);
        Assert.Equal(129, interruption.ExitCode);
    }

    [Theory]
    [InlineData("INT", false, 130)]
    [InlineData("TERM", false, 143)]
    [InlineData("HUP", false, 129)]
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
            Thread.Sleep(500); // a person who asks again
            Send(child, signal);
        }

        Assert.True(child.WaitForExit(10_000));
        Assert.Equal(code, child.ExitCode);
    }

    private void Send(PosixSignal signal) => _signals.OnSignal(new PosixSignalContext(signal));

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
