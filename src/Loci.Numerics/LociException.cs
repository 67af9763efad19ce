namespace Loci;

/// <summary>
/// A failure that the person running the program can act on: its message is one sentence that says what is wrong and what to do.
/// The command line prints the message without a stack trace and exits with code 1, or 2.
/// </summary>
public sealed class LociException : Exception
{
    /// <summary>
    /// Whether what was asked for is wrong in itself, such as a setting out of range, rather than what was found: the command line then
    /// exits with code 2.
    /// </summary>
    public bool IsUsage { get; init; }

    /// <summary>Creates the failure without a message of its own.</summary>
    public LociException()
    {
    }

    /// <summary>Creates the failure.</summary>
    /// <param name="message">One sentence that says what is wrong and what to do.</param>
    public LociException(string message) : base(message)
    {
    }

    /// <summary>Creates the failure with its cause.</summary>
    /// <param name="message">One sentence that says what is wrong and what to do.</param>
    /// <param name="innerException">The cause.</param>
    public LociException(string message, Exception innerException) : base(message, innerException)
    {
    }
}
