namespace Loci.Evaluation.Tasks.Metrics;

/// <summary>
/// ROUGE-L of summaries (Lin, 2004) as the Python package rouge 1.0.1 computes it, which LongBench uses: sentences end at full stops; the words that stand in a longest common subsequence of any
/// sentence of the summary and any of the reference are counted once each, against the different words of either.
/// </summary>
internal static class RougeL
{
    /// <summary>The F measure, 0 to 1; 0 where either text is empty.</summary>
    public static double Score(string written, string reference)
    {
        var summary = Sentences(written);
        var right = Sentences(reference);
        if (summary.Count == 0 || right.Count == 0)
        {
            return 0;
        }

        var common = new HashSet<string>();
        foreach (var sentence in right)
        {
            foreach (var other in summary)
            {
                AddCommon(sentence, other, common);
            }
        }

        var recall = (double)common.Count / right.SelectMany(words => words).Distinct().Count();
        var precision = (double)common.Count / summary.SelectMany(words => words).Distinct().Count();
        return 2 * (precision * recall / (precision + recall + 1e-8));
    }

    /// <summary>Parts between full stops, as words; white space alone is one empty word, as in the package.</summary>
    private static List<string[]> Sentences(string text) =>
        [.. text.Split('.').Where(part => part.Length > 0).Select(part => string.Join(' ', part.Split((char[]?)null, StringSplitOptions.RemoveEmptyEntries)).Split(' '))];

    /// <summary>Adds the words of one longest common subsequence; of several the one that the package's way back through the table finds.</summary>
    private static void AddCommon(string[] x, string[] y, HashSet<string> common)
    {
        var lengths = new int[x.Length + 1, y.Length + 1];
        for (var i = 1; i <= x.Length; i++)
        {
            for (var j = 1; j <= y.Length; j++)
            {
                lengths[i, j] = x[i - 1] == y[j - 1] ? lengths[i - 1, j - 1] + 1 : Math.Max(lengths[i - 1, j], lengths[i, j - 1]);
            }
        }

        for (var (i, j) = (x.Length, y.Length); i > 0 && j > 0;)
        {
            if (x[i - 1] == y[j - 1])
            {
                common.Add(x[i - 1]);
                i--;
                j--;
            }
            else if (lengths[i - 1, j] > lengths[i, j - 1])
            {
                i--;
            }
            else
            {
                j--;
            }
        }
    }
}
