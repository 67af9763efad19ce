using Loci.Data;
using Loci.Numerics;
using Loci.Sessions;

namespace Loci.Cli.Commands;

/// <summary>What is said about a session.</summary>
internal static class SessionText
{
    private const int SnippetLength = 60;

    /// <summary>The cached segments: <c>48 segments in each of 4 layers</c>.</summary>
    public static string Segments(Session session)
    {
        int[] counts = [.. session.Segments.Select(segments => segments.Count)];
        return counts.Distinct().Count() == 1
            ? $"{Count(counts[0], "segment")} in {(counts.Length == 1 ? "1 layer" : $"each of {counts.Length} layers")}"
            : string.Join(" + ", counts) + $" segments in {counts.Length} layers";
    }

    /// <summary>The bytes that a session needs: <c>12.3 MiB</c>, and what lies in its file only.</summary>
    public static string Memory(Session session) => ByteSize.Format(session.Bytes) + (session.MappedBytes > 0 ? $" (and {ByteSize.Format(session.MappedBytes)} left in the file)" : "");

    /// <summary>A session in a few words.</summary>
    public static string Describe(Session session) => FormattableString.Invariant($"{Count(session.Position, "token")} read, memory {Memory(session)}, {Segments(session)}");

    /// <summary>What is said after a model has written.</summary>
    /// <param name="written">What it wrote.</param>
    /// <param name="reading">The time it took to read what came before.</param>
    /// <param name="session">The session.</param>
    public static string Describe(in WrittenText written, TimeSpan reading, Session session) => FormattableString.Invariant(
        $"{Count(written.Tokens, "token")}, {written.Rate:0.0} tokens/s, first after {(reading + written.ToFirst).TotalSeconds:0.00} s; position {session.Position:#,0}, memory {Memory(session)}, {Segments(session)}");

    /// <summary>How many there are: <c>1 token</c>, <c>1,234 tokens</c>.</summary>
    public static string Count(long count, string what) => FormattableString.Invariant($"{count:#,0} {what}{(count == 1 ? "" : "s")}");

    /// <summary>The beginning of a text on one line.</summary>
    public static string Snippet(Tokenizer tokenizer, ReadOnlySpan<int> tokens)
    {
        // No token is shorter than a byte, and no character longer than four.
        var text = tokenizer.Decode(tokens[..Math.Min(tokens.Length, 4 * SnippetLength)]);
        var words = string.Join(' ', text.Split((char[]?)null, StringSplitOptions.RemoveEmptyEntries));
        if (words.Length <= SnippetLength)
        {
            return words;
        }

        var length = char.IsHighSurrogate(words[SnippetLength - 2]) ? SnippetLength - 2 : SnippetLength - 1;
        return words[..length] + "…";
    }
}
