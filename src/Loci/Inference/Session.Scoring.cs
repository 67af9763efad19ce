using Loci.Layers;

namespace Loci.Inference;

/// <summary>How a token was predicted.</summary>
/// <param name="Loss">-ln p, in nats.</param>
/// <param name="IsGreedy">Whether it was the most likely one; a tie with another is not.</param>
internal readonly record struct TokenScore(double Loss, bool IsGreedy);

/// <content>Reading that also judges the tokens read.</content>
public sealed partial class Session
{
    private const int ScoredRows = 64; // logits of so many tokens at once

    /// <summary>How a token would be predicted as the next one.</summary>
    internal TokenScore Score(int token)
    {
        RequireVocabulary([token]);
        return ScoreOf(Logits, token);
    }

    /// <summary>
    /// Reads further tokens in several sessions of one model, whose rows share the matrix products, and tells how each token was predicted. Every session gets the bits, and every token the score, that
    /// it would get alone and token by token.
    /// </summary>
    /// <param name="sessions">The sessions; each has read something.</param>
    /// <param name="tokens">The next tokens of each.</param>
    /// <param name="scores">Receives the score of every token.</param>
    /// <param name="cancellationToken">Stops it between steps.</param>
    internal static void Read(IReadOnlyList<Session> sessions, IReadOnlyList<ReadOnlyMemory<int>> tokens, IReadOnlyList<TokenScore[]> scores, CancellationToken cancellationToken = default)
    {
        for (var i = 0; i < sessions.Count; i++)
        {
            ObjectDisposedException.ThrowIf(sessions[i]._isDisposed, sessions[i]);
            sessions[i].RequireVocabulary(tokens[i].Span);
            if (!tokens[i].IsEmpty)
            {
                scores[i][0] = sessions[i].Score(tokens[i].Span[0]);
            }
        }

        var done = new int[sessions.Count];
        var ids = new int[ScoredRows];
        List<(int Session, int Rows)> turn = [];
        List<StreamPart> parts = [];
        while (true)
        {
            cancellationToken.ThrowIfCancellationRequested();
            turn.Clear();
            parts.Clear();
            var total = 0;
            for (var i = 0; i < sessions.Count && total < ScoredRows; i++)
            {
                if (done[i] < tokens[i].Length)
                {
                    var rows = sessions[i].NextRows(Math.Min(tokens[i].Length - done[i], ScoredRows - total));
                    tokens[i].Span.Slice(done[i], rows).CopyTo(ids.AsSpan(total));
                    turn.Add((i, rows));
                    parts.Add(new StreamPart(sessions[i]._states, rows));
                    total += rows;
                }
            }

            if (total == 0)
            {
                return;
            }

            ReadScored(sessions, tokens, scores, done, ids.AsSpan(0, total), turn, [.. parts]);
        }
    }

    private static void ReadScored(
        IReadOnlyList<Session> sessions, IReadOnlyList<ReadOnlyMemory<int>> tokens, IReadOnlyList<TokenScore[]> scores, int[] done, ReadOnlySpan<int> ids, List<(int Session, int Rows)> turn,
        StreamPart[] parts)
    {
        foreach (var (i, rows) in turn)
        {
            sessions[i].RequireRoom(rows);
        }

        var model = sessions[0].Model;
        using var lease = model.RentRunner();
        var (runner, tape) = (lease.Runner, lease.Runner.Tape);
        var hidden = runner.Read(ids, parts);
        var logits = runner.Logits(hidden); // [rows, V]
        var first = 0;
        foreach (var (i, rows) in turn)
        {
            var session = sessions[i];
            for (var row = 0; row < rows; row++)
            {
                model.Device.CopyToHost(tape.Rows(logits, first + row, 1).Data, session._logits);
                if (++done[i] < tokens[i].Length)
                {
                    scores[i][done[i]] = ScoreOf(session._logits, tokens[i].Span[done[i]]);
                }
            }

            session.Finish(ids.Slice(first, rows), tape.Rows(hidden, first + rows - 1, 1));
            first += rows;
        }
    }

    private static TokenScore ScoreOf(ReadOnlySpan<float> logits, int token)
    {
        var own = logits[token];
        var largest = float.NegativeInfinity;
        var reaching = 0; // tokens that are as likely, itself included
        foreach (var logit in logits)
        {
            largest = MathF.Max(largest, logit);
            reaching += logit >= own ? 1 : 0;
        }

        var sum = 0.0;
        foreach (var logit in logits)
        {
            sum += Math.Exp(logit - largest);
        }

        var loss = Math.Log(sum) - (own - largest);
        return double.IsFinite(loss) ? new TokenScore(loss, reaching == 1) : throw new LociException("The model's logits are not finite numbers: its weights are damaged, or its training diverged.");
    }
}
