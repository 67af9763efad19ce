using System.Diagnostics;
using Loci.Data;
using Loci.Inference;

namespace Loci.Cli.Commands;

/// <summary>What a model wrote.</summary>
/// <param name="Tokens">How many tokens.</param>
/// <param name="Elapsed">How long it took.</param>
/// <param name="ToFirst">How long the first took; zero for none.</param>
/// <param name="EndsLine">Whether it ended with a line end.</param>
/// <param name="IsHeard">Whether somebody read all of it: not so where a pipe was closed.</param>
internal readonly record struct WrittenText(int Tokens, TimeSpan Elapsed, TimeSpan ToFirst, bool EndsLine, bool IsHeard)
{
    /// <summary>Tokens per second.</summary>
    public double Rate => Tokens / Math.Max(1e-9, Elapsed.TotalSeconds);
}

/// <summary>Lets a session go on by itself and shows the text as it comes.</summary>
internal sealed class SessionWriter(Session session, Tokenizer tokenizer, Sampler sampler)
{
    /// <summary>Writes until the text ends, so many tokens are written or somebody interrupts.</summary>
    /// <param name="count">Tokens at most.</param>
    /// <param name="readsLast">Whether the session also reads the last token, to go on behind it.</param>
    /// <param name="cancellationToken">Ends the text.</param>
    public WrittenText Write(int count, bool readsLast, CancellationToken cancellationToken)
    {
        var decoder = tokenizer.CreateDecoder();
        var begun = Stopwatch.GetTimestamp();
        TimeSpan first = default;
        var written = 0;
        var last = '\0';
        var isHeard = true;
        while (written < count && isHeard && !cancellationToken.IsCancellationRequested)
        {
            var next = sampler.Next(session.Logits[..tokenizer.VocabularySize]);
            if (next == tokenizer.EndOfTextId)
            {
                break;
            }

            var text = decoder.Append(next);
            last = text.IsEmpty ? last : text[^1];
            isHeard = Show(text);
            first = written++ == 0 ? Stopwatch.GetElapsedTime(begun) : first;
            if (readsLast || written < count)
            {
                session.Read(next);
            }
        }

        var elapsed = Stopwatch.GetElapsedTime(begun);
        var rest = decoder.Flush();
        last = rest.IsEmpty ? last : rest[^1];
        return new WrittenText(written, elapsed, first, last == '\n', Show(rest) && isHeard);
    }

    /// <summary>Writes to standard output at once.</summary>
    /// <returns>Whether somebody reads it: not so in a pipe that has been closed.</returns>
    public static bool Show(ReadOnlySpan<char> text)
    {
        try
        {
            Console.Out.Write(text);
            Console.Out.Flush();
            return true;
        }
        catch (IOException)
        {
            return false;
        }
    }
}
