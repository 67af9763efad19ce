namespace Loci.Sessions;

/// <summary>How a session is taken up from its file.</summary>
public sealed record SessionOpenOptions
{
    /// <summary>Whether the session goes on in memory only: the file stays as it is, and several processes may read it at once.</summary>
    public bool IsReadOnly { get; init; }

    /// <summary>Whether all of the file is read and its checksums compared before anything else. Without, damage to cached states goes unnoticed.</summary>
    public bool Verifies { get; init; } = true;

    /// <summary>As <see cref="SessionOptions.MemoryBudget"/>.</summary>
    public long? MemoryBudget { get; init; }
}
