using Loci.Layers;
using Loci.Models;

namespace Loci.Sessions;

/// <summary>
/// Steps independent sessions of one model together: each reads a token of its own, and the weights are read once for all of them. Every session gets the bits that it would get alone.
/// </summary>
public sealed class SessionBatch
{
    private readonly Session[] _sessions;
    private readonly StreamPart[] _parts;

    /// <summary>Makes a batch.</summary>
    /// <param name="sessions">At least one session, all of the same model and no one twice; at most 256.</param>
    /// <exception cref="ArgumentException">They are not.</exception>
    public SessionBatch(IEnumerable<Session> sessions)
    {
        ArgumentNullException.ThrowIfNull(sessions);
        _sessions = [.. sessions];
        if (_sessions.Length is 0 or > ModelRunner.MostRows)
        {
            throw new ArgumentException($"A batch has 1 to {ModelRunner.MostRows} sessions, not {_sessions.Length}.", nameof(sessions));
        }

        if (_sessions.Any(session => session.Model != _sessions[0].Model) || _sessions.Distinct().Count() < _sessions.Length)
        {
            throw new ArgumentException("The sessions of a batch belong to one model, and each is in it once.", nameof(sessions));
        }

        _parts = new StreamPart[_sessions.Length];
    }

    /// <summary>The sessions.</summary>
    public IReadOnlyList<Session> Sessions => _sessions;

    /// <summary>Session i reads token i.</summary>
    /// <param name="tokens">Token ids, one a session.</param>
    /// <exception cref="ArgumentException">Their number is wrong, or one is not of the vocabulary.</exception>
    public void Read(ReadOnlySpan<int> tokens)
    {
        if (tokens.Length != _sessions.Length)
        {
            throw new ArgumentException($"A batch of {_sessions.Length} sessions reads as many tokens, not {tokens.Length}.", nameof(tokens));
        }

        Session.Read(_sessions, tokens, _parts);
    }
}
