namespace Loci.Evaluation.Tasks.Metrics;

/// <summary>Whether a text names the right one of several classes.</summary>
internal static class ClassMetrics
{
    /// <summary>
    /// LongBench's measure: 1 divided by the number of classes that occur in what was written, if the right one is among them, otherwise 0. A class that is a part of the right one's name is not
    /// counted; like the published script, which takes it from the list that it goes through, this passes over the class after it.
    /// </summary>
    public static double Score(string written, string answer, IEnumerable<string> classes)
    {
        var named = classes.Where(name => written.Contains(name, StringComparison.Ordinal)).ToList();
        for (var i = 0; i < named.Count; i++)
        {
            if (named[i] != answer && answer.Contains(named[i], StringComparison.Ordinal))
            {
                named.RemoveAt(i);
            }
        }

        return named.Contains(answer) ? 1.0 / named.Count : 0;
    }
}
