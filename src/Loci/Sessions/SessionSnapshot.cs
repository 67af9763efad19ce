namespace Loci.Sessions;

/// <summary>A session as it was at some moment. It shares cached states with the session and its forks, none of which can change it.</summary>
public sealed class SessionSnapshot : IDisposable
{
    internal SessionSnapshot(Session kept)
    {
        Kept = kept;
    }

    /// <summary>Number of tokens read.</summary>
    public int Position => Kept.Position;

    /// <summary>A fork that reads nothing.</summary>
    internal Session Kept { get; }

    /// <inheritdoc/>
    public void Dispose() => Kept.Dispose();
}
