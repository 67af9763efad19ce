using System.Text.RegularExpressions;

namespace Loci.Evaluation.Tasks.Babi;

/// <summary>
/// Judges answers as BABILong does (Kuratov et al., 2024, arXiv 2406.10149): what a model writes, up to the first full stop, is right if of all answers that the task knows, those of the question left out, it
/// holds the right one and no other. Answers are looked for as whole words where one of them is a part of another (as <c>one</c> is of <c>none</c>).
/// </summary>
internal sealed class BabiAnswers
{
    private readonly string[] _labels;
    private readonly bool _wholeWords;

    /// <summary>Takes the answers that a task knows.</summary>
    /// <param name="labels">The answers; several in one are separated by commas.</param>
    public BabiAnswers(IEnumerable<string> labels)
    {
        _labels = [.. labels.SelectMany(Split).Distinct(StringComparer.Ordinal).Order(StringComparer.Ordinal)];
        _wholeWords = _labels.Any(label => _labels.Any(other => other.Length > label.Length && other.Contains(label, StringComparison.Ordinal)));
    }

    /// <summary>Whether what a model writes is right.</summary>
    public bool IsRight(string written, string question, string answer)
    {
        string text = FirstSentence(written);
        string asked = question.ToLowerInvariant();
        string[] given = [.. _labels.Where(label => Mentions(text, label) && !Mentions(asked, label))];
        string[] right = Split(answer);
        return given.Length == right.Length && right.All(given.Contains);
    }

    /// <summary>Whether what a model writes first, up to the end of the line and without a full stop, is the answer itself.</summary>
    public static bool IsExact(string written, string answer) =>
        written.Trim().Split('\n')[0].Trim().TrimEnd('.').Trim().Equals(answer, StringComparison.OrdinalIgnoreCase);

    private static string FirstSentence(string written)
    {
        string text = written.ToLowerInvariant();
        foreach (string end in (string[])[".", "<context>", "<example>", "question"])
        {
            int at = text.IndexOf(end, StringComparison.Ordinal);
            text = at < 0 ? text : text[..at];
        }

        return text;
    }

    // Directions such as "s,w" are one answer; lists such as "apple,milk" are several, in any order.
    private static string[] Split(string answer)
    {
        string lower = answer.ToLowerInvariant();
        return lower.Length > 3 && lower.Contains(',', StringComparison.Ordinal) ? [.. lower.Split(',', StringSplitOptions.TrimEntries | StringSplitOptions.RemoveEmptyEntries).Distinct()] : [lower];
    }

    private bool Mentions(string text, string label) =>
        _wholeWords ? Regex.IsMatch(text, $@"(?<!\w){Regex.Escape(label)}(?!\w)", RegexOptions.CultureInvariant) : text.Contains(label, StringComparison.Ordinal);
}
