namespace Loci.Cli.Terminal;

/// <summary>The command line itself is wrong: an unknown option, a value out of range. The message is one sentence; the exit code is 2.</summary>
internal sealed class UsageException : Exception
{
    public UsageException()
    {
    }

    public UsageException(string message) : base(message)
    {
    }

    public UsageException(string message, Exception innerException) : base(message, innerException)
    {
    }
}
