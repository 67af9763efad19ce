using System.Text;
using Spectre.Console;
using Spectre.Console.Rendering;

namespace Loci.Cli.Terminal;

/// <summary>
/// Shows how far long work is, on standard error: a live line with bar, rate, loss and time left on a terminal, a plain line every few seconds
/// where the output goes to a file or a pipe.
/// </summary>
/// <remarks>
/// The display redraws on a thread of its own; <see cref="Report"/> only stores two numbers, so it may be called for every step. Only one display
/// can be open on a terminal at a time.
/// </remarks>
internal sealed class ProgressDisplay : IDisposable
{
    private static readonly TimeSpan DefaultRedraw = TimeSpan.FromMilliseconds(125);
    private static readonly TimeSpan DefaultPlain = TimeSpan.FromSeconds(10);
    private static readonly TimeSpan WorthShowing = TimeSpan.FromSeconds(1);
    private static volatile bool _cursorHidden;

    private readonly ProgressMeter _meter;
    private readonly IAnsiConsole _console;
    private readonly bool _live;
    private readonly TimeSpan _interval;
    private readonly TimeSpan _quiet;
    private readonly ManualResetEventSlim _stop = new();
    private readonly Lock _writing = new();
    private readonly Thread _thread;
    private bool _disposed;

    internal ProgressDisplay(ProgressMeter meter, IAnsiConsole console, bool live, TimeSpan interval, TimeSpan quiet = default)
    {
        _meter = meter;
        _console = console;
        _live = live;
        _interval = interval;
        _quiet = quiet;
        _thread = new Thread(Show) { IsBackground = true, Name = "progress" };
        _thread.Start();
    }

    /// <summary>Opens a display.</summary>
    /// <param name="description">What is being done, in a word or two.</param>
    /// <param name="total">All there is to do, in units; 0 when nobody knows.</param>
    /// <param name="unit">What is counted.</param>
    /// <param name="startAt">What was done before, as when a run is resumed.</param>
    /// <returns>The display; dispose it to leave its last state on the screen.</returns>
    public static ProgressDisplay Start(string description, long total, ProgressUnit unit, long startAt = 0) => Start(description, total, unit, startAt, default);

    /// <summary>Opens a display of work that mostly takes a moment: nothing is shown unless it takes longer than a second.</summary>
    /// <param name="description">What is being done, in a word or two.</param>
    /// <param name="total">All there is to do, in units.</param>
    /// <param name="unit">What is counted.</param>
    public static ProgressDisplay StartLate(string description, long total, ProgressUnit unit) => Start(description, total, unit, 0, WorthShowing);

    private static ProgressDisplay Start(string description, long total, ProgressUnit unit, long startAt, TimeSpan quiet)
    {
        IAnsiConsole console = AnsiConsole.Create(new AnsiConsoleSettings { Out = new TerminalOutput() });
        bool live = !Console.IsErrorRedirected && console.Profile.Out.IsTerminal && console.Profile.Capabilities.Ansi;
        return new ProgressDisplay(
            new ProgressMeter(Visible.Line(description), total, unit, startAt, TimeProvider.System), console, live, live ? DefaultRedraw : DefaultPlain, quiet);
    }

    /// <summary>Says how far the work is. Allocates nothing.</summary>
    /// <param name="done">Units done so far, <c>startAt</c> included.</param>
    /// <param name="loss">The loss to show; NaN keeps the one before.</param>
    public void Report(long done, double loss = double.NaN) => _meter.Report(done, loss);

    /// <summary>Says how much there is to do in all, where that becomes known, or better known, as the work goes on. Allocates nothing.</summary>
    /// <param name="total">All there is to do, in units; 0 when nobody knows.</param>
    public void SetTotal(long total) => _meter.Total = total;

    /// <summary>Writes a line above the bar.</summary>
    /// <param name="text">The line; shown as it is.</param>
    public void WriteLine(string text)
    {
        ArgumentNullException.ThrowIfNull(text);
        lock (_writing)
        {
            Guarded(() =>
            {
                if (_live)
                {
                    _console.Write(new ErasingLine(Visible.Line(text)));
                }
                else
                {
                    Plain(Visible.Line(text));
                }
            });
        }
    }

    /// <inheritdoc/>
    public void Dispose()
    {
        if (_disposed)
        {
            return;
        }

        _disposed = true;
        _stop.Set();
        _thread.Join();
        _stop.Dispose();
    }

    /// <summary>Shows the cursor again before the process leaves without closing the display.</summary>
    internal static void RestoreCursor()
    {
        if (_cursorHidden)
        {
            Visible.Error.Write("\e[?25h\n");
        }
    }

    private void Show()
    {
        if (_quiet > TimeSpan.Zero && _stop.Wait(_quiet))
        {
            return;
        }

        Guarded(_live ? DrawLive : WritePlain);
        _cursorHidden = false;
    }

    private static void Guarded(Action show)
    {
        try
        {
            show();
        }
#pragma warning disable CA1031 // A display is never worth the work that it shows.
        catch (Exception)
#pragma warning restore CA1031
        {
        }
    }

    private void DrawLive()
    {
        _cursorHidden = true;
        _console.Live(new ProgressLine(_meter)).Start(context =>
        {
            do
            {
                context.Refresh();
            }
            while (!_stop.Wait(_interval));

            context.Refresh(); // the state that stays on the screen
        });
    }

    private void WritePlain()
    {
        while (!_stop.Wait(_interval))
        {
            WriteState();
        }

        WriteState();

        void WriteState()
        {
            ProgressState state = _meter.Look();
            lock (_writing)
            {
                Plain(_meter.PlainLine(state));
            }
        }
    }

    // Past the console's own rendering, which would break the line at a width that a file does not have.
    private void Plain(string line)
    {
        _console.Profile.Out.Writer.WriteLine(line);
        _console.Profile.Out.Writer.Flush();
    }

    // Standard error itself, as far as the library asks; its control sequences are this display's own.
    private sealed class TerminalOutput : IAnsiConsoleOutput
    {
        private readonly AnsiConsoleOutput _error = new(Console.Error);

        public TextWriter Writer => Visible.Error;

        public bool IsTerminal => _error.IsTerminal;

        public int Width => _error.Width;

        public int Height => _error.Height;

        public void SetEncoding(Encoding encoding) => _error.SetEncoding(encoding);
    }

    // The line is written over the bar, of which a shorter one would leave the end.
    private sealed class ErasingLine(string text) : Renderable
    {
        protected override IEnumerable<Segment> Render(RenderOptions options, int maxWidth) => [Segment.Control("\e[2K"), new Segment(text), Segment.LineBreak];
    }
}
