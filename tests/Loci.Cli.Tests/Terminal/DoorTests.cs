using Loci.Cli.Terminal;
using Xunit;

namespace Loci.Cli.Tests.Terminal;

public sealed class DoorTests
{
    public static TheoryData<Exception, int, string> Failures => new()
    {
        { new LociException("The file is bad;\n fetch it again"), 1, "error: The file is bad; fetch it again." },
        { new UsageException("Unknown option --x."), 2, "usage error: Unknown option --x." },
        { new OperationCanceledException(), 130, "interrupted" },
        { new TaskCanceledException(), 130, "interrupted" },
        { new InsufficientMemoryException(), 1, "error: there is not enough memory; use a smaller batch, a shorter context or a smaller model." },
        { new FileNotFoundException("Could not find x."), 1, "error: Could not find x." },
        { new UnauthorizedAccessException("Access denied"), 1, "error: Access denied." },
        { new AggregateException(new LociException("a.")), 1, "error: a." },
        { new OutputException("Standard output cannot be written: x"), 1, "error: Standard output cannot be written: x." },
        { new TypeInitializationException("T", new LociException("b.")), 1, "error: b." },
    };

    [Theory]
    [MemberData(nameof(Failures), DisableDiscoveryEnumeration = true)]
    public void EveryFailureIsOneSentenceAndACode(Exception exception, int code, string sentence)
    {
        StringWriter error = new() { NewLine = "\n" };
        Assert.Equal(code, Door.Report(exception, error, debug: false));
        Assert.Equal(sentence + "\n", error.ToString());
    }

    [Fact]
    public void ABugIsNamedAsOneAndShowsItsTraceOnlyOnRequest()
    {
        Exception bug = Assert.Throws<InvalidOperationException>(Throw);
        StringWriter error = new();
        Assert.Equal(1, Door.Report(bug, error, debug: false));
        Assert.StartsWith("internal error: InvalidOperationException: Two lines. This is a bug in loci; please report it", error.ToString(), StringComparison.Ordinal);
        Assert.Single(error.ToString().TrimEnd().Split('\n'));
        Door.Report(bug, error, debug: true);
        Assert.Contains($"   at {typeof(DoorTests).FullName}.", error.ToString(), StringComparison.Ordinal);

        static void Throw() => throw new InvalidOperationException("Two\nlines");
    }

    [Fact]
    public void ResultsPassThrough()
    {
        Assert.Equal(7, Door.Run(() => 7));
    }

    [Fact]
    public void ClosedPipeIsAQuietEnd()
    {
        using StringWriter error = new();
        Assert.Equal(0, Door.Report(new OutputException("x") { IsClosedPipe = true }, error, debug: true));
        Assert.Equal("", error.ToString());
    }
}
