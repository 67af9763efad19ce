using System.Diagnostics;
using Loci.Cli.Terminal;
using Loci.Sessions;

namespace Loci.Cli.Commands;

/// <summary>
/// Reads long texts, in pieces short enough for a signal to be heard at once. A session's bits do not depend on how a text is split.
/// </summary>
internal static class SessionReader
{
    private const int MostTokens = 256; // where a step of a session ends anyway
    private const int LeastTokens = 16;
    private static readonly TimeSpan LongestPiece = TimeSpan.FromMilliseconds(100);

    /// <summary>Is told of a piece that has been read: its tokens, and -ln p of each, NaN for the first token of all.</summary>
    public delegate void Measured(ReadOnlySpan<int> tokens, ReadOnlySpan<float> losses);

    /// <summary>Reads a text, with a progress display where that takes a while.</summary>
    /// <param name="session">Reads it.</param>
    /// <param name="tokens">The text.</param>
    /// <param name="cancellationToken">Stops it between pieces.</param>
    /// <returns>Whether all was read.</returns>
    public static bool Read(Session session, ReadOnlySpan<int> tokens, CancellationToken cancellationToken)
    {
        using var display = ProgressDisplay.StartLate("reading", tokens.Length, ProgressUnit.Tokens);
        return Read(session, tokens, done => display.Report(done), null, cancellationToken) == tokens.Length;
    }

    /// <summary>Reads a text.</summary>
    /// <param name="session">Reads it.</param>
    /// <param name="tokens">The text.</param>
    /// <param name="progress">Is told how many tokens have been read.</param>
    /// <param name="measured">Is told how well they were predicted, which takes time; null leaves it out.</param>
    /// <param name="cancellationToken">Stops it between pieces.</param>
    /// <returns>How many tokens were read.</returns>
    public static int Read(
        Session session, ReadOnlySpan<int> tokens, Action<int>? progress, Measured? measured, CancellationToken cancellationToken)
    {
        var losses = measured is null ? [] : new float[MostTokens];
        var (done, length) = (0, MostTokens);
        while (done < tokens.Length && !cancellationToken.IsCancellationRequested)
        {
            var piece = tokens.Slice(done, Math.Min(length - (session.Position % length), tokens.Length - done));
            var begun = Stopwatch.GetTimestamp();
            session.Read(piece, losses.AsSpan(0, measured is null ? 0 : piece.Length), CancellationToken.None); // whole: a piece is short
            measured?.Invoke(piece, losses.AsSpan(0, piece.Length));
            done += piece.Length;
            progress?.Invoke(done);
            if (Stopwatch.GetElapsedTime(begun) > LongestPiece)
            {
                length = Math.Max(LeastTokens, length / 2);
            }
        }

        return done;
    }
}
