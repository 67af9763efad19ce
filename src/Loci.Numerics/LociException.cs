namespace Loci;

/// <summary>
/// A failure that the person running the program can act on: its message is one sentence that says what is wrong and what to do.
/// The command line prints the message without a stack trace and exits with code 1, or 2 for <see cref="ErrorKind.Usage"/>.
/// </summary>
public sealed class LociException : Exception
{
    /// <summary>Creates the failure without a message of its own.</summary>
    public LociException()
    {
    }

    /// <summary>Creates the failure.</summary>
    /// <param name="message">One sentence that says what is wrong and what to do.</param>
    public LociException(string message) : base(message)
    {
    }

    /// <summary>Creates the failure with its cause, of whose kind it is.</summary>
    /// <param name="message">One sentence that says what is wrong and what to do.</param>
    /// <param name="innerException">The cause.</param>
    public LociException(string message, Exception innerException) : base(message, innerException) =>
        Kind = innerException is LociException { Kind: var kind } ? kind : ErrorKind.Other;

    /// <summary>Creates the failure.</summary>
    /// <param name="kind">What is to be told apart.</param>
    /// <param name="message">One sentence that says what is wrong and what to do.</param>
    /// <param name="innerException">The cause.</param>
    public LociException(ErrorKind kind, string message, Exception? innerException = null) : base(message, innerException) => Kind = kind;

    /// <summary>What is to be told apart.</summary>
    public ErrorKind Kind { get; }
}
