namespace Loci.Cli.Terminal;

/// <summary>
/// A command in charge of how it ends: from here until it is disposed, the first signal cancels <see cref="Token"/> so that the command
/// can finish what must not be lost, and the second leaves at once, which is safe because files are replaced atomically. Where no command
/// is in charge, the first signal leaves at once.
/// </summary>
internal sealed class Interruption : IDisposable
{
    private readonly ProcessSignals _signals;
    private readonly CancellationTokenSource _source = new();
    private readonly Action<string> _say;
    private readonly string _message;

    /// <summary>Takes charge.</summary>
    /// <param name="message">What to say at the first signal.</param>
    /// <param name="say">Shows a line to the person; by default on standard error.</param>
    public Interruption(string message, Action<string>? say = null)
        : this(message, say, ProcessSignals.OfProcess)
    {
    }

    internal Interruption(string message, Action<string>? say, ProcessSignals signals)
    {
        _message = message;
        _say = say ?? Console.Error.WriteLine;
        _signals = signals;
        signals.Add(this);
    }

    /// <summary>Cancelled at the first signal.</summary>
    public CancellationToken Token => _source.Token;

    /// <summary>Whether a signal has come.</summary>
    public bool Requested => Code is not null;

    /// <summary>The exit code of a command that was stopped: that of the signal.</summary>
    public int ExitCode => Code ?? Door.Interrupted;

    internal int? Code { get; set; }

    /// <summary>Takes charge of training, whose step at hand is finished and saved.</summary>
    public static Interruption OfTraining(Action<string> say) => new("Stopping after this step and saving… (again to quit at once)", say);

    /// <summary>Takes charge of a text that the first signal ends without a word.</summary>
    public static Interruption OfText() => new("", _ => { });

    /// <inheritdoc/>
    public void Dispose()
    {
        _signals.Remove(this);
        _source.Dispose();
    }

    /// <summary>Stops the command in good order.</summary>
    internal void Stop()
    {
        try
        {
            _source.Cancel();
            _say(_message);
        }
        catch (Exception exception) when (exception is IOException or ObjectDisposedException or InvalidOperationException)
        {
            // The command, or its display, has just ended.
        }
    }
}
