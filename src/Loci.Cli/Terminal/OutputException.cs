namespace Loci.Cli.Terminal;

/// <summary>Standard output cannot be written.</summary>
internal sealed class OutputException : Exception
{
    public OutputException()
    {
    }

    public OutputException(string message) : base(message)
    {
    }

    public OutputException(string message, Exception innerException) : base(message, innerException)
    {
    }

    /// <summary>Whether whoever read it has had enough, as in a pipe to head.</summary>
    public bool IsClosedPipe { get; init; }
}
