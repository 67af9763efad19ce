using Loci.Layers;
using Loci.Numerics;

namespace Loci.Sessions;

/// <summary>Reads that also judge the tokens read.</summary>
internal static class SessionScorer
{
    private const int MostRows = 64; // logits of so many tokens at once

    /// <summary>How a token would be predicted as the next one.</summary>
    /// <exception cref="LociException">The logits are not finite.</exception>
    public static TokenScore Score(this Session session, int token)
    {
        session.RequireVocabulary([token]);
        return Finite(NextToken.Judge(session.Logits, token));
    }

    /// <summary>
    /// Reads further tokens in several sessions of one model, whose rows share the matrix products, and tells how each token was predicted.
    /// Every session gets the bits,
    /// and every token the score, that it would get alone and token by token.
    /// </summary>
    /// <param name="sessions">The sessions; each has read something.</param>
    /// <param name="tokens">The next tokens of each.</param>
    /// <param name="scores">Receives the score of every token.</param>
    /// <param name="cancellationToken">Stops it between steps.</param>
    public static void Read(
        IReadOnlyList<Session> sessions, IReadOnlyList<ReadOnlyMemory<int>> tokens, IReadOnlyList<TokenScore[]> scores, CancellationToken cancellationToken = default)
    {
        for (var i = 0; i < sessions.Count; i++)
        {
            if (!tokens[i].IsEmpty)
            {
                scores[i][0] = sessions[i].Score(tokens[i].Span[0]);
            }
        }

        var done = new int[sessions.Count];
        var ids = new int[MostRows];
        List<(int Session, int Rows)> turn = [];
        while (true)
        {
            cancellationToken.ThrowIfCancellationRequested();
            turn.Clear();
            var total = 0;
            for (var i = 0; i < sessions.Count && total < MostRows; i++)
            {
                if (done[i] < tokens[i].Length)
                {
                    var rows = sessions[i].NextRows(Math.Min(tokens[i].Length - done[i], MostRows - total));
                    tokens[i].Span.Slice(done[i], rows).CopyTo(ids.AsSpan(total));
                    turn.Add((i, rows));
                    total += rows;
                }
            }

            if (total == 0)
            {
                return;
            }

            Step(sessions, tokens, scores, done, ids.AsSpan(0, total), turn);
        }
    }

    private static void Step(
        IReadOnlyList<Session> sessions, IReadOnlyList<ReadOnlyMemory<int>> tokens, IReadOnlyList<TokenScore[]> scores, int[] done, ReadOnlySpan<int> ids,
        List<(int Session, int Rows)> turn)
    {
        var parts = new StreamPart[turn.Count];
        for (int i = 0, start = 0; i < parts.Length; start += turn[i++].Rows)
        {
            parts[i] = sessions[turn[i].Session].Begin(ids.Slice(start, turn[i].Rows));
        }

        var model = sessions[0].Model;
        using var lease = model.RentRunner();
        var (runner, tape) = (lease.Runner, lease.Runner.Tape);
        var hidden = runner.Read(ids, parts);
        var logits = runner.Logits(hidden); // [rows, V]
        var values = new float[logits.Columns];
        var first = 0;
        foreach (var (i, rows) in turn)
        {
            for (var row = 0; row < rows; row++)
            {
                if (++done[i] < tokens[i].Length)
                {
                    model.Device.CopyToHost(tape.Rows(logits, first + row, 1).Data, values);
                    scores[i][done[i]] = Finite(NextToken.Judge(values, tokens[i].Span[done[i]]));
                }
            }

            var last = first + rows - 1;
            sessions[i].Finish(ids.Slice(first, rows), tape.Rows(hidden, last, 1), tape.Rows(logits, last, 1));
            first += rows;
        }
    }

    private static TokenScore Finite(TokenScore score) => double.IsFinite(score.Loss)
        ? score
        : throw new LociException(ErrorKind.NotFinite, "The model's logits are not finite numbers: its weights are damaged, or its training diverged.");
}
