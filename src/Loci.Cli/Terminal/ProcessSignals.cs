using System.Runtime.InteropServices;

namespace Loci.Cli.Terminal;

/// <summary>
/// What signals do to the process. SIGINT (Ctrl+C), SIGTERM (a polite kill) and SIGHUP (the terminal was closed) end it at once with 128
/// and the signal's number as the exit code, wherever it is, unless a command has taken charge with an <see cref="Interruption"/>.
/// </summary>
/// <param name="leave">Ends the process with an exit code.</param>
/// <param name="clock">Tells the time between signals.</param>
internal sealed class ProcessSignals(Action<int> leave, TimeProvider clock)
{
    // What closes a terminal, and timeout(1), send their signal twice: to the process and to its group.
    private static readonly TimeSpan SameRequest = TimeSpan.FromMilliseconds(250);
    private static readonly TimeSpan PatienceWithTerminal = TimeSpan.FromMilliseconds(100);

    private readonly Lock _lock = new();
    private readonly List<Interruption> _inCharge = [];
    private readonly List<PosixSignalRegistration> _registrations = [];
    private long _stoppedAt;

    /// <summary>The signals of this process.</summary>
    public static ProcessSignals OfProcess { get; } = new(Leave, TimeProvider.System);

    /// <summary>The exit code that the last signal asked for; null where none has come.</summary>
    public int? Code { get; private set; }

    /// <summary>Listens from now on. A signal that was ignored when the process began, as SIGHUP under nohup, stays ignored.</summary>
    public void Listen()
    {
        foreach (var signal in new[] { PosixSignal.SIGINT, PosixSignal.SIGTERM, PosixSignal.SIGHUP })
        {
            _registrations.Add(PosixSignalRegistration.Create(signal, OnSignal));
        }
    }

    internal void OnSignal(PosixSignalContext context)
    {
        context.Cancel = true;
        var code = context.Signal switch
        {
            PosixSignal.SIGHUP => Door.HungUp,
            PosixSignal.SIGTERM => Door.Terminated,
            _ => Door.Interrupted,
        };
        List<Interruption> stopping;
        lock (_lock)
        {
            stopping = _inCharge.FindAll(one => !one.Requested);
            var isSame = context.Signal == PosixSignal.SIGHUP || clock.GetElapsedTime(_stoppedAt) < SameRequest;
            if (stopping.Count == 0 && _inCharge.Count > 0 && isSame)
            {
                return; // nobody asked again
            }

            Code = code;
            stopping.ForEach(one => one.Code = code);
            _stoppedAt = clock.GetTimestamp();
        }

        if (stopping.Count == 0)
        {
            leave(code);
        }

        stopping.ForEach(one => one.Stop());
    }

    internal void Add(Interruption interruption)
    {
        lock (_lock)
        {
            _inCharge.Add(interruption);
        }
    }

    internal void Remove(Interruption interruption)
    {
        lock (_lock)
        {
            _inCharge.Remove(interruption);
        }
    }

    private static void Leave(int code)
    {
        // On a thread of its own: a terminal that takes nothing more must not keep the process.
        var restoring = new Thread(ProgressDisplay.RestoreCursor) { IsBackground = true };
        restoring.Start();
        restoring.Join(PatienceWithTerminal);
        Environment.Exit(code);
    }
}
