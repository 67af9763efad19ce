using System.Text;
using System.Text.RegularExpressions;

namespace Loci.Evaluation.Tasks.Metrics;

/// <summary>How near a written answer is to a right one. Values are 0 to 1.</summary>
internal static partial class AnswerMetrics
{
    private const string Punctuation = "!\"#$%&'()*+,-./:;<=>?@[\\]^_`{|}~";

    /// <summary>Whether an answer occurs in what was written, upper and lower case being the same (Arora et al., 2024, arXiv 2402.18668).</summary>
    public static bool Contains(string written, string answer) => written.Contains(answer, StringComparison.OrdinalIgnoreCase);

    /// <summary>
    /// The form in which SQuAD compares answers (Rajpurkar et al., 2016): lower case, without ASCII punctuation, without the articles a, an and the, words divided by single spaces.
    /// </summary>
    public static string Normalize(string text)
    {
        var kept = new StringBuilder(text.Length);
        foreach (var character in text.ToLowerInvariant())
        {
            if (!Punctuation.Contains(character))
            {
                kept.Append(character);
            }
        }

        return string.Join(' ', Words(Articles().Replace(kept.ToString(), " ")));
    }

    /// <summary>Whether the normalised texts are the same.</summary>
    public static double ExactMatch(string written, string answer) => Normalize(written) == Normalize(answer) ? 1 : 0;

    /// <summary>The harmonic mean of the parts of the words of either normalised text that the other has as well, a word counting as often as both have it.</summary>
    public static double F1(string written, string answer)
    {
        var predicted = Words(Normalize(written));
        var right = Words(Normalize(answer));
        var left = right.CountBy(word => word).ToDictionary();
        var same = 0;
        foreach (var word in predicted)
        {
            if (left.TryGetValue(word, out var count) && count > 0)
            {
                left[word] = count - 1;
                same++;
            }
        }

        if (same == 0)
        {
            return 0;
        }

        var precision = (double)same / predicted.Length;
        var recall = (double)same / right.Length;
        return 2 * precision * recall / (precision + recall);
    }

    private static string[] Words(string text) => text.Split((char[]?)null, StringSplitOptions.RemoveEmptyEntries);

    [GeneratedRegex(@"\b(a|an|the)\b")]
    private static partial Regex Articles();
}
