using System.Runtime.InteropServices;

namespace Loci.Cli.Terminal;

/// <summary>
/// Lets a long command stop in good order: the first Ctrl+C (or a polite kill, SIGTERM) cancels <see cref="Token"/>, the second leaves at once,
/// which is safe because files are replaced atomically.
/// </summary>
internal sealed class Interruption : IDisposable
{
    private const int Terminated = 143;

    private readonly CancellationTokenSource _source = new();
    private readonly Action<string> _say;
    private readonly Action<int> _exit;
    private readonly PosixSignalRegistration _interrupt;
    private readonly PosixSignalRegistration _terminate;
    private int _signals;

    /// <summary>Listens from now until disposed.</summary>
    /// <param name="say">Shows a line to the person; by default on standard error.</param>
    /// <param name="message">What to say at the first signal.</param>
    public Interruption(Action<string>? say = null, string message = "Stopping after this step and saving… (again to quit at once)")
        : this(say, message, Environment.Exit)
    {
    }

    internal Interruption(Action<string>? say, string message, Action<int> exit)
    {
        Message = message;
        _say = say ?? Console.Error.WriteLine;
        _exit = exit;
        _interrupt = PosixSignalRegistration.Create(PosixSignal.SIGINT, OnSignal);
        _terminate = PosixSignalRegistration.Create(PosixSignal.SIGTERM, OnSignal);
    }

    /// <summary>Cancelled at the first signal.</summary>
    public CancellationToken Token => _source.Token;

    /// <summary>Whether a signal has come.</summary>
    public bool Requested => _source.IsCancellationRequested;

    private string Message { get; }

    public void Dispose()
    {
        _interrupt.Dispose();
        _terminate.Dispose();
        _source.Dispose();
    }

    internal void OnSignal(PosixSignalContext context)
    {
        context.Cancel = true;
        if (Interlocked.Increment(ref _signals) == 1)
        {
            // First, so that a display that cannot be written to does not keep the command from stopping.
            _source.Cancel();
            Guarded(() => _say(Message));
            return;
        }

        Guarded(ProgressDisplay.RestoreCursor);
        _exit(context.Signal == PosixSignal.SIGTERM ? Terminated : Door.Interrupted);
    }

    private static void Guarded(Action action)
    {
        try
        {
            action();
        }
        catch (Exception exception) when (exception is IOException or ObjectDisposedException or InvalidOperationException)
        {
            // The terminal is gone, or the display has just been closed.
        }
    }
}
