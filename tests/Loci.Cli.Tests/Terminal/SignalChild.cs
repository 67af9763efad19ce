using System.Diagnostics;
using System.Runtime.CompilerServices;
using Loci.Cli.Terminal;

namespace Loci.Cli.Tests.Terminal;

/// <summary>This test program started again as a command that waits to be interrupted.</summary>
internal static class SignalChild
{
    private const string Variable = "LOCI_TEST_SIGNAL_CHILD";

    /// <summary>Starts the child; it prints <c>ready</c>, and <c>saving</c> when it was asked to stop.</summary>
    /// <param name="stubborn">Whether it then goes on for ever, or stops in good order.</param>
    public static Process Start(bool stubborn)
    {
        ProcessStartInfo start = new(Environment.ProcessPath!) { RedirectStandardOutput = true, RedirectStandardError = true };
        if (Path.GetFileNameWithoutExtension(Environment.ProcessPath) == "dotnet")
        {
            start.ArgumentList.Add(typeof(SignalChild).Assembly.Location);
        }

        start.Environment[Variable] = stubborn ? "stubborn" : "orderly";
        return Process.Start(start)!;
    }

    [ModuleInitializer]
    internal static void RunInstead()
    {
        if (Environment.GetEnvironmentVariable(Variable) is { Length: > 0 } mode)
        {
            Environment.Exit(Door.Open(() =>
            {
                using var interruption = Interruption.OfTraining(Console.Error.WriteLine);
                Console.WriteLine("ready");
                interruption.Token.WaitHandle.WaitOne(TimeSpan.FromSeconds(20));
                Console.WriteLine("saving");
                Thread.Sleep(mode == "stubborn" ? TimeSpan.FromSeconds(20) : TimeSpan.Zero);
                interruption.Token.ThrowIfCancellationRequested();
                return 0;
            }));
        }
    }
}
