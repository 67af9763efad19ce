using System.Text;
using System.Text.RegularExpressions;
using Loci.Cli.Terminal;
using Loci.Memory.Rules;
using Spectre.Console;
using Xunit;

namespace Loci.Cli.Tests.Terminal;

public sealed class ProgressDisplayTests
{
    private static IAnsiConsole Console(TextWriter output, bool ansi, int width = 100)
    {
        IAnsiConsole console = AnsiConsole.Create(new AnsiConsoleSettings
        {
            Ansi = ansi ? AnsiSupport.Yes : AnsiSupport.No,
            ColorSystem = ansi ? ColorSystemSupport.Standard : ColorSystemSupport.NoColors,
            Interactive = ansi ? InteractionSupport.Yes : InteractionSupport.No,
            Out = new AnsiConsoleOutput(output),
        });
        console.Profile.Width = width;
        console.Profile.Capabilities.Unicode = true;
        return console;
    }

    private static string Line(ProgressMeter meter, int width)
    {
        StringWriter output = new();
        Console(output, ansi: false, width).Write(new ProgressLine(meter));
        return output.ToString();
    }

    [Fact]
    public void RateAndTimeLeftFollowTheWork()
    {
        TestClock clock = new();
        ProgressMeter meter = new("train", 10_000, ProgressUnit.Tokens, startAt: 2_000, clock);
        Assert.True(double.IsNaN(meter.Look().Rate));
        for (int second = 1; second <= 4; second++)
        {
            clock.Advance(1);
            meter.Report(2_000 + (second * 1_000), 5 - second);
            meter.Look();
        }

        meter.Report(6_000, double.NaN); // keeps the loss
        ProgressState state = meter.Look();
        Assert.Equal(1_000, state.Rate, 1e-6); // what was done before the start does not count
        Assert.Equal(new ProgressState(6_000, 0.6, state.Rate, 1, TimeSpan.FromSeconds(4), TimeSpan.FromSeconds(4)), state);
        Assert.Equal("train: 60.0% (6,000 of 10,000 tokens), 1,000 tokens/s, loss 1.0000, 0:04 elapsed, 0:04 left", meter.PlainLine(state));

        // A change of speed is followed within a minute, and a pause between two steps does not make the rate swing.
        clock.Advance(0.5);
        Assert.Equal(state.Rate, meter.Look().Rate);
        for (int i = 0; i < 60; i++)
        {
            clock.Advance(1);
            meter.Report(6_001 + i, double.NaN);
            meter.Look();
        }

        Assert.InRange(meter.Look().Rate, 1, 30);
    }

    [Fact]
    public void UnknownTotalsAndBytesRead()
    {
        TestClock clock = new();
        ProgressMeter meter = new("read", 0, ProgressUnit.Bytes, 0, clock);
        clock.Advance(2);
        meter.Report(25_000_000, double.NaN);
        Assert.Equal("read: 25.0 MB, 12.5 MB/s, 0:02 elapsed", meter.PlainLine(meter.Look()));
        clock.Advance(3725);
        Assert.EndsWith("1:02:07 elapsed", meter.PlainLine(meter.Look()), StringComparison.Ordinal);
        Assert.Equal("2.5 steps/s", ProgressUnit.Steps.Rate(2.5));
        Assert.Equal("99.9%", ProgressMeter.Percent(0.99999));
    }

    [Fact]
    public void ShortWorkHasARateAtItsEnd()
    {
        TestClock clock = new();
        ProgressMeter meter = new("read", 300, ProgressUnit.Tokens, 0, clock);
        clock.Advance(0.1);
        meter.Report(200, double.NaN);
        Assert.True(double.IsNaN(meter.Look().Rate));
        clock.Advance(0.05);
        meter.Report(300, double.NaN);
        Assert.Equal(2_000, meter.Look().Rate, 1e-6);
    }

    [Fact]
    public void StartingOverIsNotANegativeRate()
    {
        TestClock clock = new();
        ProgressMeter meter = new("pass", 100, ProgressUnit.Steps, 0, clock);
        clock.Advance(1);
        meter.Report(100, double.NaN);
        meter.Look();
        clock.Advance(1);
        meter.Report(5, double.NaN);
        ProgressState state = meter.Look();
        Assert.Equal((100.0, 0.05), (state.Rate, state.Fraction));
        meter.Report(200, double.NaN);
        Assert.Equal(1, meter.Look().Fraction);
    }

    [Theory]
    [InlineData(100, "train ━━━━━━━━━━━━━━━━━━━━━━━━━━━━━━━━━━━━━━━━   50.0%  250 tokens/s  loss 2.5000  0:02  0:02 left")]
    [InlineData(80, "train ━━━━━━━━━━━━━━━━━━━━━   50.0%  250 tokens/s  loss 2.5000  0:02  0:02 left")]
    [InlineData(60, "train ━━━━━━━━━━━━━━━━━━   50.0%  250 tokens/s  loss 2.5000")]
    [InlineData(40, "train ━━━━━━━━━━━━   50.0%  loss 2.5000")]
    [InlineData(16, "train   50.0%")]
    [InlineData(5, "trai")]
    public void TheLineFitsEveryWidth(int width, string expected)
    {
        TestClock clock = new();
        ProgressMeter meter = new("train", 1_000, ProgressUnit.Tokens, 0, clock);
        clock.Advance(2);
        meter.Report(500, 2.5);
        string line = Line(meter, width);
        Assert.True(line.Length < width, line);
        Assert.Equal(expected, line);
    }

    [Fact]
    public void WithoutATerminalThereArePlainLinesOnly()
    {
        StringWriter output = new() { NewLine = "\n" };
        TestClock clock = new();
        string text = "[red]step 1[/] " + new string('x', 200);
        using (ProgressDisplay progress = new(new ProgressMeter("train", 100, ProgressUnit.Steps, 0, clock), Console(output, ansi: false), live: false, TimeSpan.FromHours(1)))
        {
            clock.Advance(10);
            progress.Report(50, 1.25);
            progress.WriteLine(text);
        }

        Assert.Equal(text + "\ntrain: 50.0% (50 of 100 steps), 5.0 steps/s, loss 1.2500, 0:10 elapsed, 0:10 left\n", output.ToString());
    }

    [Fact]
    public void PlainLinesComeByThemselves()
    {
        StringWriter output = new();
        TextWriter shared = TextWriter.Synchronized(output);
        using (ProgressDisplay progress = new(new ProgressMeter("train", 100, ProgressUnit.Steps, 0, TimeProvider.System), Console(shared, ansi: false), live: false,
            TimeSpan.FromMilliseconds(5)))
        {
            Assert.True(SpinWait.SpinUntil(() => Written().Split("train:").Length > 3, TimeSpan.FromSeconds(10)));
        }

        string Written()
        {
            lock (shared) // what the synchronised writer locks
            {
                return output.ToString();
            }
        }
    }

    [Fact]
    public void OnATerminalLinesGoAboveTheBarAndTheLastStateStays()
    {
        StringWriter output = new();
        TestClock clock = new();
        ProgressMeter meter = new("train", 100, ProgressUnit.Steps, 0, clock);
        using (ProgressDisplay progress = new(meter, Console(output, ansi: true), live: true, TimeSpan.FromMilliseconds(10)))
        {
            Thread.Sleep(50);
            progress.Report(40);
            progress.WriteLine("step [40]: saved");
            Thread.Sleep(50);
            progress.Report(100);
        }

        string[] rows = output.ToString().Split('\n').Select(Shown).ToArray();
        Assert.Equal("step [40]: saved", rows[0]);
        Assert.StartsWith("train ━", rows[1], StringComparison.Ordinal);
        Assert.Contains("100.0%", rows[1], StringComparison.Ordinal);
        Assert.Equal(["", ""], [rows[^1], string.Concat(rows[2..])]);
        Assert.EndsWith("\e[?25h", output.ToString().TrimEnd(), StringComparison.Ordinal); // the cursor is back
    }

    /// <summary>What a terminal shows of a row: later characters replace those that they are written over.</summary>
    private static string Shown(string row)
    {
        StringBuilder cells = new();
        int column = 0;
        foreach (Match match in Regex.Matches(row, "\e\\[[0-9;?]*[A-Za-z]|."))
        {
            switch (match.Value)
            {
                case "\r":
                    column = 0;
                    break;
                case "\e[2K":
                    cells.Clear().Append(' ', column);
                    break;
                case [var character]:
                    cells.Length = Math.Max(cells.Length, column + 1);
                    cells[column++] = character;
                    break;
                default: // colours, and the cursor's looks
                    break;
            }
        }

        return cells.ToString().TrimEnd();
    }

    [Fact]
    public void ReportingAllocatesNothing()
    {
        using ProgressDisplay progress = new(new ProgressMeter("train", 100, ProgressUnit.Steps, 0, TimeProvider.System), Console(TextWriter.Null, ansi: false),
            live: false, TimeSpan.FromHours(1));
        progress.Report(1, 1);
        long before = GC.GetAllocatedBytesForCurrentThread();
        for (int i = 0; i < 1000; i++)
        {
            progress.Report(i, i);
        }

        Assert.Equal(0, GC.GetAllocatedBytesForCurrentThread() - before);
    }
}
