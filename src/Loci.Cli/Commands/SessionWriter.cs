using System.Diagnostics;
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
/// <param name="generator">Writes it.</param>
/// <param name="options">When it ends.</param>
internal sealed class SessionWriter(TextGenerator generator, GenerationOptions options)
{
    /// <summary>Writes until the text ends or somebody interrupts.</summary>
    /// <param name="readsLast">Whether the session also reads the last token, to go on behind it.</param>
    /// <param name="cancellationToken">Ends the text.</param>
    public WrittenText Write(bool readsLast, CancellationToken cancellationToken)
    {
        var begun = Stopwatch.GetTimestamp();
        TimeSpan first = default;
        var last = '\0';
        var text = generator.Begin(options);
        while (!cancellationToken.IsCancellationRequested && text.MoveNext(CancellationToken.None))
        {
            last = text.Text.IsEmpty ? last : text.Text[^1];
            Console.Out.Write(text.Text);
            first = text.TokenCount == 1 && first == default ? Stopwatch.GetElapsedTime(begun) : first;
        }

        var elapsed = Stopwatch.GetElapsedTime(begun);
        if (readsLast)
        {
            text.Complete();
        }

        return new WrittenText(text.TokenCount, elapsed, first, last == '\n');
    }
}
