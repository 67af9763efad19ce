using System.Diagnostics;
using Loci.Data;
using Loci.Sessions;

namespace Loci.Cli.Commands;

/// <summary>What a model wrote.</summary>
/// <param name="Tokens">How many tokens.</param>
/// <param name="Elapsed">How long it took.</param>
/// <param name="ToFirst">How long the first took; zero for none.</param>
/// <param name="EndsLine">Whether it ended with a line end.</param>
internal readonly record struct WrittenText(int Tokens, TimeSpan Elapsed, TimeSpan ToFirst, bool EndsLine)
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
        while (written < count && !cancellationToken.IsCancellationRequested)
        {
            var next = sampler.Next(session.Logits[..tokenizer.VocabularySize]);
            if (next == tokenizer.EndOfTextId)
            {
                break;
            }

            var text = decoder.Append(next);
            last = text.IsEmpty ? last : text[^1];
            Console.Out.Write(text);
            first = written++ == 0 ? Stopwatch.GetElapsedTime(begun) : first;
            if (readsLast || written < count)
            {
                session.Read(next);
            }
        }

        var elapsed = Stopwatch.GetElapsedTime(begun);
        var rest = decoder.Flush();
        last = rest.IsEmpty ? last : rest[^1];
        Console.Out.Write(rest);
        return new WrittenText(written, elapsed, first, last == '\n');
    }
}
