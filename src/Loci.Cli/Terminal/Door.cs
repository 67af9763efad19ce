namespace Loci.Cli.Terminal;

/// <summary>
/// The outermost frame of the command line, through which every command goes: signals end it, standard output and standard error are
/// safe to write to, and every failure leaves as one sentence on standard error and an exit code, never as a stack trace.
/// </summary>
internal static class Door
{
    /// <summary>Exit code of a failure.</summary>
    public const int Failure = 1;

    /// <summary>Exit code of a command line that is wrong.</summary>
    public const int Usage = 2;

    /// <summary>Exit code after SIGHUP, as shells expect it.</summary>
    public const int HungUp = 129;

    /// <summary>Exit code after Ctrl+C, as shells expect it.</summary>
    public const int Interrupted = 130;

    /// <summary>Exit code after SIGTERM, as shells expect it.</summary>
    public const int Terminated = 143;

    /// <summary>Runs the command of this process.</summary>
    /// <param name="command">The command; returns the exit code.</param>
    /// <returns>The exit code.</returns>
    public static int Open(Func<int> command)
    {
        ProcessSignals.OfProcess.Listen();
        StandardStreams.Install();
        Visible.Install();
        return Run(() =>
        {
            var code = command();
            StandardStreams.Complete();
            return code;
        });
    }

    /// <summary>Runs a command and reports its failure.</summary>
    /// <param name="command">The command; returns the exit code.</param>
    /// <returns>The exit code.</returns>
    public static int Run(Func<int> command)
    {
        ArgumentNullException.ThrowIfNull(command);
        try
        {
            return command();
        }
#pragma warning disable CA1031 // Catching everything is what this is for.
        catch (Exception exception)
#pragma warning restore CA1031
        {
            return Report(exception, Console.Error, Environment.GetEnvironmentVariable("LOCI_DEBUG") == "1");
        }
    }

    /// <summary>Says what went wrong in one sentence.</summary>
    /// <param name="exception">What was thrown.</param>
    /// <param name="error">Where to say it.</param>
    /// <param name="debug">Whether the stack trace follows.</param>
    /// <returns>The exit code.</returns>
    internal static int Report(Exception exception, TextWriter error, bool debug)
    {
        Exception cause = Unwrap(exception);
        if (cause is OutputException { IsClosedPipe: true })
        {
            return 0; // whoever read the output has had enough
        }

        (int code, string sentence) = cause switch
        {
            LociException { Kind: ErrorKind.Usage } => (Usage, "usage error: " + OneLine(cause.Message)),
            LociException or OutputException => (Failure, "error: " + OneLine(cause.Message)),
            UsageException => (Usage, "usage error: " + OneLine(cause.Message)),
            OperationCanceledException => (ProcessSignals.OfProcess.Code ?? Interrupted, "interrupted"),
            OutOfMemoryException =>
                (Failure, "error: there is not enough memory; use a smaller batch, a shorter context or a smaller model."),
            FileNotFoundException or DirectoryNotFoundException or UnauthorizedAccessException or IOException =>
                (Failure, "error: " + OneLine(cause.Message)),
            _ => (Failure, $"internal error: {cause.GetType().Name}: {OneLine(cause.Message)} This is a bug in loci; please report it with the command you "
                + "ran (LOCI_DEBUG=1 adds the details)."),
        };
        error.WriteLine(sentence);
        if (debug)
        {
            error.WriteLine(exception);
        }

        return code;
    }

    private static Exception Unwrap(Exception exception) => exception switch
    {
        AggregateException { InnerExceptions: [var only] } => Unwrap(only),
        TypeInitializationException { InnerException: { } inner } => Unwrap(inner),
        _ => exception,
    };

    private static string OneLine(string message)
    {
        string line = Visible.Line(string.Join(' ', message.Split((char[]?)null, StringSplitOptions.RemoveEmptyEntries)));
        return line.Length > 0 && line[^1] is '.' or '!' or '?' ? line : line + ".";
    }
}
